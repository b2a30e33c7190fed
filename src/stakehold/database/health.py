"""What an operator and a readiness probe ask of a database."""

from dataclasses import dataclass

from stakehold.database.migrate import pending
from stakehold.database.port import Connection


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a database says of itself. `now_ms` is its clock, in milliseconds since the Unix epoch.

    `statement_timeout_ms` is the session's, as it was set for it, its role or its database; 0 is none.
    """

    version: str
    default_isolation: str
    now_ms: int
    statement_timeout_ms: int
    pending_migrations: tuple[str, ...]


_UNITS_MS = {"": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}

_FACTS = """
SELECT version() AS version,
       current_setting('default_transaction_isolation') AS default_isolation,
       current_setting('statement_timeout') AS statement_timeout,
       (extract(epoch FROM clock_timestamp()) * 1000)::INT8 AS now_ms
"""


async def server_facts(connection: Connection) -> ServerFacts:
    """The server's version, default isolation, clock and timeout, and the migrations it lacks."""
    row = await connection.fetchrow(_FACTS)
    assert row is not None
    missing = await pending(connection)
    return ServerFacts(
        row["version"],
        row["default_isolation"],
        row["now_ms"],
        _milliseconds(row["statement_timeout"]),
        tuple(missing),
    )


def _milliseconds(setting: str) -> int:
    """A setting of time as a server shows it: PostgreSQL in the largest unit that fits, CockroachDB in ms."""
    number = setting.rstrip("dhimns")
    return int(number) * _UNITS_MS[setting[len(number) :]]
