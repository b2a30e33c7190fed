"""Bringing a schema up to date: one statement a migration, under a lease, safe to run twice at once.

A migration is a file of `migrations/` with exactly one statement, which does no harm when run again: the
statement and the note that it was applied are two transactions, since CockroachDB takes one schema change a
transaction and no more. Applied files never change; their checksums are kept and compared.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import asyncpg

from stakehold.database.port import Connection
from stakehold.domain.ports import Clock, Deadline, Entropy

LEASE_S: Final = 60
"""A lease is renewed before every statement, so this is the longest a single one may take."""

LEASE_WAIT_S: Final = 90.0
CONNECT_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.25
BOOTSTRAP_ATTEMPTS_MAX: Final = 5


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One statement, by the name of its file."""

    name: str
    statement: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.statement.encode()).hexdigest()


def load_migrations() -> list[Migration]:
    """The migrations of this version of the program, in order."""
    folder = files("stakehold.database") / "migrations"
    found = [
        Migration(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.name)


_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS schema_migrations (
      name TEXT PRIMARY KEY,
      checksum TEXT NOT NULL,
      applied_at TIMESTAMPTZ NOT NULL DEFAULT now())
    """,
    """
    CREATE TABLE IF NOT EXISTS schema_lease (
      id INT8 PRIMARY KEY CHECK (id = 1),
      holder TEXT NOT NULL,
      expires_at TIMESTAMPTZ NOT NULL)
    """,
)

_TAKE_LEASE = f"""
INSERT INTO schema_lease (id, holder, expires_at)
VALUES (1, $1::TEXT, now() + INTERVAL '{LEASE_S} seconds')
ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
 WHERE schema_lease.expires_at <= now() OR schema_lease.holder = excluded.holder
RETURNING holder
"""  # noqa: S608 - only a constant is put in
_RELEASE_LEASE = "DELETE FROM schema_lease WHERE id = 1 AND holder = $1::TEXT"
_APPLIED = "SELECT m.name, m.checksum FROM schema_migrations m ORDER BY m.name"
_NOTE = """
INSERT INTO schema_migrations (name, checksum) VALUES ($1::TEXT, $2::TEXT) ON CONFLICT (name) DO NOTHING
"""
_HAS_TABLE = """
SELECT EXISTS (SELECT 1 FROM information_schema.tables t
                WHERE t.table_schema = current_schema() AND t.table_name = 'schema_migrations')
"""


async def migrate(url: str, *, clock: Clock, entropy: Entropy) -> list[str]:
    """Apply what is pending and return the names of what was applied, in order.

    Also makes SERIALIZABLE the database's default isolation. Waits for another `migrate` at work on the same
    database, at most 90 s. Raises MigrationError, also for what the database refuses; OSError when there is
    none.
    """
    with _refusals_told():
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, command_timeout=LEASE_S)
        return await _migrate(connection, clock, entropy)


async def pending_at(url: str) -> list[str]:
    """The names of the migrations that a database lacks, in order. Raises as `migrate` does."""
    with _refusals_told():
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, command_timeout=LEASE_S)
        try:
            return await pending(connection)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)


@contextmanager
def _refusals_told() -> Iterator[None]:
    """Raise as MigrationError what the database refuses."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # The server's words, on a wrong password for example, hold no address and no password.
        raise MigrationError(f"The database refused: {error}") from error


async def _migrate(connection: Any, clock: Clock, entropy: Entropy) -> list[str]:
    holder = entropy.random_bytes(16).hex()
    try:
        for statement in _TABLES:
            await _again_on_race(connection, statement)
        await _wait_for_lease(connection, holder, Deadline.after(clock, LEASE_WAIT_S))
        try:
            await _make_serializable_the_default(connection)
            return await _apply_pending(connection, holder)
        finally:
            await _again_on_race(connection, _RELEASE_LEASE, holder)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


async def pending(connection: Connection) -> list[str]:
    """The names of the migrations that are not applied, in order. Raises MigrationError for a changed one."""
    applied = await _applied(connection) if await connection.fetchval(_HAS_TABLE) else {}
    return [migration.name for migration in _pending(applied)]


async def _applied(connection: Connection) -> dict[str, str]:
    return {row["name"]: row["checksum"] for row in await connection.fetch(_APPLIED)}


def _pending(applied: dict[str, str]) -> list[Migration]:
    missing = []
    for migration in load_migrations():
        checksum = applied.get(migration.name)
        if checksum is None:
            missing.append(migration)
        elif checksum != migration.checksum:
            raise MigrationError(
                f"Migration {migration.name} was changed after it was applied to this database. "
                "Restore the file and put the change into a new migration."
            )
    return missing


async def _apply_pending(connection: Any, holder: str) -> list[str]:
    names = []
    for migration in _pending(await _applied(connection)):
        if await _again_on_race(connection, _TAKE_LEASE, holder) != holder:
            raise MigrationError("Another migration took over while this one was stopped. Run it again.")
        # What has no IF NOT EXISTS, a trigger or a constraint, says by this error that it was made already.
        with suppress(asyncpg.DuplicateObjectError):
            await _again_on_race(connection, migration.statement)
        await _again_on_race(connection, _NOTE, migration.name, migration.checksum)
        names.append(migration.name)
    return names


async def _wait_for_lease(connection: Any, holder: str, deadline: Deadline) -> None:
    while await _again_on_race(connection, _TAKE_LEASE, holder) != holder:
        if not deadline.left_s():
            raise MigrationError("Another migration of this database is under way. Try again in a minute.")
        await asyncio.sleep(POLL_S)


async def _make_serializable_the_default(connection: Any) -> None:
    """Set it for the sessions to come, where the sessions so far do not have it."""
    if await connection.fetchval("SELECT current_setting('default_transaction_isolation')") == "serializable":
        return
    name = '"' + (await connection.fetchval("SELECT current_database()")).replace('"', '""') + '"'
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")


_RACES = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateTableError,
    asyncpg.DuplicateObjectError,
    asyncpg.SerializationError,
)


async def _again_on_race(connection: Any, statement: str, *arguments: str) -> Any:
    """Run a statement; again when another `migrate` did the same at the same moment.

    In PostgreSQL two CREATE TABLE IF NOT EXISTS at once can both find no table, and the second then meets the
    first's entries in the catalogue, those of the table or of the type of its rows.
    """
    for _ in range(BOOTSTRAP_ATTEMPTS_MAX - 1):
        try:
            return await connection.fetchval(statement, *arguments)
        except _RACES:
            await asyncio.sleep(POLL_S)
    return await connection.fetchval(statement, *arguments)
