import asyncio
import dataclasses
import multiprocessing
import re
from urllib.parse import urlsplit

import asyncpg
import pytest

from stakehold.database import migrate as module
from stakehold.database.migrate import MigrationError, load_migrations, migrate, pending
from tests.support.cockroach import COCKROACH_URL
from tests.support.fakes import ManualClock, SeededEntropy

NAMES = [migration.name for migration in load_migrations()]


async def _migrate(url: str, clock: ManualClock | None = None, seed: int = 1) -> list[str]:
    return await migrate(url, clock=clock or ManualClock(), entropy=SeededEntropy(seed))


def test_a_migration_is_one_statement() -> None:
    """Each file has one statement; a function's body may have more inside."""
    assert len(NAMES) >= 8
    for migration in load_migrations():
        code = "\n".join(
            line for line in migration.statement.splitlines() if not line.strip().startswith("--")
        )
        assert ";" not in re.sub(r"\$\$.*\$\$", "", code, flags=re.DOTALL), migration.name


async def test_an_empty_database_gets_everything_once(empty_database_url: str) -> None:
    """The first run applies all migrations in order, the second none."""
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await pending(connection) == NAMES
        assert await _migrate(empty_database_url) == NAMES
        assert await _migrate(empty_database_url) == []
        assert await pending(connection) == []
    finally:
        await connection.close()


async def test_serializable_becomes_the_default(empty_database_url: str) -> None:
    """Sessions opened after `migrate` are SERIALIZABLE without asking for it."""
    connection = await asyncpg.connect(empty_database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'read committed'")
    await connection.close()
    await _migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SHOW transaction_isolation") == "serializable"
    finally:
        await connection.close()


async def test_every_migration_can_run_twice(empty_database_url: str) -> None:
    """A run that died between a statement and its note is simply run again."""
    await _migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("DELETE FROM schema_migrations")
        assert await _migrate(empty_database_url) == NAMES
        assert await connection.fetchval("SELECT count(*) FROM plans") == 4
    finally:
        await connection.close()


async def test_a_changed_migration_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that differs from what was applied stops the run, and the message names it."""
    changed = [dataclasses.replace(load_migrations()[0], statement="-- changed")]
    monkeypatch.setattr(module, "load_migrations", lambda: changed)
    with pytest.raises(MigrationError, match=r"0001_users was changed .* new migration"):
        await _migrate(database_url)


def _migrate_in_a_process(url: str, seed: int, results: "multiprocessing.Queue[list[str]]") -> None:
    results.put(asyncio.run(_migrate(url, seed=seed)))


def test_processes_that_migrate_at_once_apply_everything_once(empty_database_url: str) -> None:
    """Of three processes that start together, each migration is applied by exactly one; none fails."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    processes = [
        context.Process(target=_migrate_in_a_process, args=(empty_database_url, seed, results))
        for seed in range(3)
    ]
    for process in processes:
        process.start()
    applied = [name for _ in processes for name in results.get(timeout=60)]
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert applied == NAMES


async def test_the_lease_of_a_dead_holder_runs_out(database_url: str) -> None:
    """While another holds the lease nothing is applied; once it ran out by the database's clock, we go on."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DELETE FROM schema_migrations WHERE name = '0008_idempotency'")
        await connection.execute(
            "INSERT INTO schema_lease (id, holder, expires_at) VALUES (1, 'dead', now() + INTERVAL '1 hour')"
        )
        waiting = asyncio.create_task(_migrate(database_url))
        done, _ = await asyncio.wait({waiting}, timeout=3 * module.POLL_S)
        assert not done
        await connection.execute("UPDATE schema_lease SET expires_at = now()")
        assert await asyncio.wait_for(waiting, 10) == ["0008_idempotency"]
        assert await connection.fetchval("SELECT count(*) FROM schema_lease") == 0
    finally:
        await connection.close()


async def test_the_wait_for_a_lease_ends(database_url: str) -> None:
    """A lease that stays taken is waited for a bounded time, then the run fails and says why."""
    connection = await asyncpg.connect(database_url)
    clock = ManualClock()
    try:
        await connection.execute(
            "INSERT INTO schema_lease (id, holder, expires_at) VALUES (1, 'busy', now() + INTERVAL '1 hour')"
        )
        waiting = asyncio.create_task(_migrate(database_url, clock))
        await asyncio.wait({waiting}, timeout=module.POLL_S)
        clock.advance(module.LEASE_WAIT_S)
        with pytest.raises(MigrationError, match="under way"):
            await asyncio.wait_for(waiting, 10)
        assert await connection.fetchval("SELECT holder FROM schema_lease") == "busy"
    finally:
        await connection.close()


@pytest.mark.skipif(bool(COCKROACH_URL), reason="holds the run up by a table lock")
async def test_who_lost_the_lease_while_it_was_held_up_changes_nothing_more(database_url: str) -> None:
    """A run that stood still until another took over stops before its next statement, and says so.

    The lease of the other is left alone.
    """
    connection, holdup = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        await connection.execute("DELETE FROM schema_migrations WHERE name = '0008_idempotency'")
        lock = holdup.transaction()
        await lock.start()
        await holdup.execute("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(_migrate(database_url))
        # It has the lease, and waits to read what is applied.
        async with asyncio.timeout(10):
            while not await connection.fetchval(
                "SELECT count(*) FROM schema_lease l, pg_stat_activity a"
                " WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.005)
        await connection.execute("UPDATE schema_lease SET holder = 'another'")
        await lock.commit()
        with pytest.raises(MigrationError, match="took over"):
            await asyncio.wait_for(running, 10)
        assert await pending(connection) == ["0008_idempotency"]
        assert await connection.fetchval("SELECT l.holder FROM schema_lease l") == "another"
    finally:
        await connection.close()
        await holdup.close()


async def test_a_refusal_of_the_database_is_told_without_the_password(empty_database_url: str) -> None:
    """What the server says goes into our error; what was sent to it does not."""
    address = urlsplit(empty_database_url)
    wrong = address._replace(netloc=f"stakehold:not-the-password@127.0.0.1:{address.port}").geturl()
    with pytest.raises(MigrationError, match="The database refused: password authentication failed") as told:
        await migrate(wrong, clock=ManualClock(), entropy=SeededEntropy(1))
    assert "not-the-password" not in str(told.value)


async def test_a_race_that_does_not_end_is_told(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that always meets another's entry is run a bounded number of times, then it fails."""
    monkeypatch.setattr(module, "POLL_S", 0.001)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("CREATE TABLE taken (id INT8 PRIMARY KEY)")
        await connection.execute("CREATE SEQUENCE tries")
        with pytest.raises(asyncpg.DuplicateTableError):
            await module._again_on_race(connection, "CREATE TABLE taken (id INT8)")
        statement = "INSERT INTO taken VALUES (least(nextval('tries'), 2)) RETURNING id"
        await module._again_on_race(connection, statement)
        await module._again_on_race(connection, statement)
        with pytest.raises(asyncpg.UniqueViolationError):
            await module._again_on_race(connection, statement)
        tries = await connection.fetchval("SELECT last_value FROM tries")
        assert tries == 2 + module.BOOTSTRAP_ATTEMPTS_MAX
    finally:
        await connection.close()


@pytest.mark.parametrize("sqlstate", ["23505", "42P07", "42710", "40001"])
async def test_a_race_is_run_again(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, sqlstate: str
) -> None:
    """Whichever entry of the other's in the catalogue it meets: of the index, the table, or its type."""
    monkeypatch.setattr(module, "POLL_S", 0.001)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("CREATE SEQUENCE tries")
        await connection.execute(
            "CREATE FUNCTION meet() RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('tries') < 3 THEN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END IF;"
            " RETURN currval('tries'); END $$"
        )
        assert await module._again_on_race(connection, "SELECT meet()") == 3
    finally:
        await connection.close()
