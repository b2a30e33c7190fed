"""What an operator and a readiness probe ask of a database."""

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Overdue:
    """For how long the stake, and the event, that is due longest has been so, in seconds; 0: none is due."""

    stake_s: float
    event_s: float


_BUCKETS: Final = 16
_OVERDUE = f"""
SELECT COALESCE(max(extract(epoch FROM now() - s.due_at)), 0)::FLOAT8 AS stake_s,
       COALESCE(max(extract(epoch FROM now() - e.due_at)), 0)::FLOAT8 AS event_s
  FROM generate_series(0, {_BUCKETS - 1}) AS b (bucket)
  LEFT JOIN LATERAL (SELECT d.due_at FROM stakes d WHERE d.bucket = b.bucket AND d.due_at <= now()
                      ORDER BY d.due_at LIMIT 1) s ON true
  LEFT JOIN LATERAL (SELECT d.due_at FROM events d WHERE d.bucket = b.bucket AND d.due_at <= now()
                      ORDER BY d.due_at LIMIT 1) e ON true
"""  # noqa: S608 - only a constant is put in


async def overdue(connection: Connection) -> Overdue:
    """How far settlement and the telling of events are behind. The schema must be there."""
    row = await connection.fetchrow(_OVERDUE)
    assert row is not None
    return Overdue(row["stake_s"], row["event_s"])


def _milliseconds(setting: str) -> int:
    """A setting of time as a server shows it: PostgreSQL in the largest unit that fits, CockroachDB in ms."""
    number = setting.rstrip("dhimns")
    return int(number) * _UNITS_MS[setting[len(number) :]]
