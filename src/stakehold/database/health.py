"""What an operator and a readiness probe ask of a database."""

from dataclasses import dataclass

from stakehold.database.migrate import pending
from stakehold.database.port import Connection


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a database says of itself. `now_ms` is its clock, in milliseconds since the Unix epoch."""

    version: str
    default_isolation: str
    now_ms: int
    pending_migrations: tuple[str, ...]


_FACTS = """
SELECT version() AS version,
       current_setting('default_transaction_isolation') AS default_isolation,
       (extract(epoch FROM clock_timestamp()) * 1000)::INT8 AS now_ms
"""


async def server_facts(connection: Connection) -> ServerFacts:
    """The server's version, default isolation and clock, and the migrations it lacks."""
    row = await connection.fetchrow(_FACTS)
    assert row is not None
    missing = await pending(connection)
    return ServerFacts(row["version"], row["default_isolation"], row["now_ms"], tuple(missing))
