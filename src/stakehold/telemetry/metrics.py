"""Counters of what an operator wants to know, by documented name."""

from typing import Final

NAMES: Final[dict[str, str]] = {
    "background_refused": "Work behind an answer was dropped because too much of it was under way.",
    "cache_bypass": "A read met a write under way: the database was asked, and nothing was stored.",
    "cache_down": "A read found Redis away: the database was asked.",
    "cache_fills": "A page or user entry was stored.",
    "cache_fills_refused": "A page or user entry was not stored, because the user had written meanwhile.",
    "cache_fresh": "A read was answered from a fresh entry.",
    "cache_miss": "A read found no entry: the database was asked.",
    "cache_repairs": "A user's pages were dropped on the return of Redis, for a write made without it.",
    "cache_stale": "A read was answered from a stale entry, which was then read again.",
    "limits_blocked": "A request was refused without a trip: its limit was known to be used up.",
    "limits_denied": "A request was refused by Redis: a limit was used up.",
    "limits_local_admissions": "A request was admitted by this process's own share of a limit.",
    "limits_local_denials": "A request was refused by this process's own share of a limit.",
    "limits_not_released": "A charge could not be given back; it leaves with its window.",
    "limits_platform_denials": "A request was refused by the platform's limiter, asked while Redis was away.",
    "limits_platform_failures": "The platform's limiter did not answer: our own share of a limit decided.",
    "redis_connect_failures": "An attempt to connect to Redis failed.",
    "redis_connections_lost": "An established connection to Redis ended, or a REST request got no reply.",
    "redis_forgot": "Redis had been emptied since this process last asked it.",
    "redis_losses": "Redis went away, as this process sees it.",
    "redis_refused": "A command was not sent to Redis because too many were in flight.",
    "redis_retries": "A REST request to Redis was sent again.",
    "redis_returns": "Redis came back, as this process sees it.",
    "redis_stalls": "Redis did not answer in time, and its connection was ended for that.",
    "refresh_reuse": "A spent refresh token was presented; its session was ended.",
    "rows_swept": "Something expired was deleted: a key, a session, an event.",
    "sql_conflicts": "Work met a concurrent write (40001, 40P01) and was run again if time allowed.",
    "sql_connect_failures": "An attempt to connect to the database failed.",
    "sql_connects": "A connection to the database was made.",
    "sql_disconnects": "A connection to the database was ended: old, broken or distrusted.",
    "sql_no_connection": "Work could not begin for want of a connection.",
    "sql_pool_checks_failed": "A connection that had been idle was found dead.",
    "sql_pool_refused": "A request got no connection in time, or too many were waiting.",
    "sql_refused": "The database undid a statement for good, at its timeout for example.",
    "sql_unknown_outcomes": "A connection was lost while a statement was under way.",
    "stakes_not_settled": "A stake that was due could not be settled; the next round tries again.",
    "stakes_settled": "A stake was paid out, renewed, or released after its cooldown.",
    "unfenced_writes": "A write was made without a fence, since Redis was away.",
    "webhooks_delivered": "An event was sent to the webhook, and taken.",
    "webhooks_expired": "An event that was still to be sent was deleted: it was 30 days old.",
    "webhooks_failed": "An attempt to send an event failed.",
    "webhooks_given_up": (
        "An event was sent for the last time, in vain: `stakehold webhooks list --failed` has it."
    ),
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

    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: count for name, count in self.snapshot().items() if count}
