"""A database whose `now()` a test sets: by a function of that name in a schema that is searched first.

    clock = await DatabaseClock.install(database_url)   # before anybody connects
    await clock.set(moment_ms)                          # every transaction begun from now on begins then
    await clock.advance(seconds)

What has been compiled into the schema (defaults of columns) keeps the real time. PostgreSQL only.
"""

from dataclasses import dataclass

import asyncpg

_INSTALL = (
    "CREATE SCHEMA IF NOT EXISTS clock",
    "CREATE TABLE IF NOT EXISTS clock.moment (id INT8 PRIMARY KEY, at TIMESTAMPTZ NOT NULL)",
    """
    CREATE OR REPLACE FUNCTION clock.now() RETURNS TIMESTAMPTZ LANGUAGE SQL STABLE AS
    'SELECT COALESCE((SELECT m.at FROM clock.moment m WHERE m.id = 1), pg_catalog.now())'
    """,
    "GRANT USAGE ON SCHEMA clock TO PUBLIC",
    "GRANT SELECT ON clock.moment TO PUBLIC",
)
_SET = """
INSERT INTO clock.moment (id, at) VALUES (1, to_timestamp(0) + $1::FLOAT8 * INTERVAL '1 millisecond')
ON CONFLICT (id) DO UPDATE SET at = excluded.at
"""
_ADVANCE = "UPDATE clock.moment SET at = at + $1::FLOAT8 * INTERVAL '1 second'"


@dataclass(frozen=True)
class DatabaseClock:
    """The clock of one database, which stands still where it was set."""

    url: str

    @classmethod
    async def install(cls, url: str) -> "DatabaseClock":
        """Give a database a clock of its own; until it is set it tells the real time."""
        connection = await asyncpg.connect(url)
        try:
            for statement in _INSTALL:
                await connection.execute(statement)
            name = await connection.fetchval("SELECT current_database()")
            await connection.execute(f"ALTER DATABASE {name} SET search_path = clock, pg_catalog, public")
        finally:
            await connection.close()
        return cls(url)

    async def set(self, moment_ms: int) -> None:
        """Let it be `moment_ms`, in milliseconds since the Unix epoch."""
        await self._run(_SET, moment_ms)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, once it was set."""
        await self._run(_ADVANCE, seconds)

    async def _run(self, statement: str, value: float) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            # Time passes whatever else is going on: it conflicts with nobody.
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(statement, float(value))
        finally:
            await connection.close()
