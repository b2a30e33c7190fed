"""Counters of what an operator wants to know, by documented name."""

from typing import Final

NAMES: Final[dict[str, str]] = {
    "redis_connect_failures": "An attempt to connect to Redis failed.",
    "redis_connections_lost": "An established connection to Redis ended, or a REST request got no reply.",
    "redis_refused": "A command was not sent to Redis because too many were in flight.",
    "redis_retries": "A REST request to Redis was sent again.",
    "redis_stalls": "Redis did not answer in time, and its connection was ended for that.",
    "refresh_reuse": "A spent refresh token was presented; its session was ended.",
    "sql_conflicts": "A statement or transaction was undone by a conflict with another.",
    "sql_connect_failures": "An attempt to connect to the database failed.",
    "sql_connects": "A connection to the database was established.",
    "sql_disconnects": "A connection to the database was closed: too old, broken, or in an unknown state.",
    "sql_no_connection": "A statement was not sent because there was no connection.",
    "sql_pool_checks_failed": "An idle connection to the database turned out to be dead.",
    "sql_pool_refused": "A request found too many waiting for a connection, or waited too long itself.",
    "sql_refused": "The database refused a statement; nothing was committed.",
    "sql_unknown_outcomes": "The database did not confirm a statement; it may have been committed.",
}
"""Every counter there is, and what one more of it means."""


class Metrics:
    """Counts since the process started; implements `Counters`.

    Meant for the event loop's thread. Counting from another thread is safe, and may now and then lose a
    count; nothing here is worth a lock on the path of a request.
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(NAMES, 0)

    def count(self, name: str, amount: int = 1) -> None:
        """Add `amount` to `name`; KeyError for a name that is not documented in NAMES."""
        self._counts[name] += amount

    def snapshot(self) -> dict[str, int]:
        """Every counter's value now, zeros included."""
        return dict(self._counts)
