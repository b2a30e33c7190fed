"""`stakehold settle`, on real stores."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from stakehold import cli
from stakehold.commands import settle
from stakehold.database import stake_creation, users
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.ids import new_id
from stakehold.domain.timestamps import midnight_ms
from stakehold.runtime.settings import SETTINGS
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock, SeededEntropy

MakeStakes = Callable[[str, int], Awaitable[UUID]]


@pytest.fixture
async def make_stakes(
    database_clock: DatabaseClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    clock: ManualClock,
    entropy: SeededEntropy,
) -> MakeStakes:
    """Users with so many stakes of a month on 31 January 2027; and the environment of the command."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    await database_clock.set(midnight_ms(date(2027, 1, 31)))

    async def make(username: str, count: int) -> UUID:
        connection = await asyncpg.connect(database_url)
        user_id = new_id(clock, entropy)
        try:
            await users.insert_user(connection, user_id, username, "x")
            for _ in range(count):
                choice = PlanChoice("STK", 8, 1)
                new = NewStake(user_id, new_id(clock, entropy), UUID(int=1), 1, 10**9, choice)
                assert (await stake_creation.create_stake(connection, new)).outcome == "created"
        finally:
            await connection.close()
        return user_id

    return make


async def run() -> int:
    """Carry out the command, which has an event loop of its own."""

    def carry_out() -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main(["settle"])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return await asyncio.to_thread(carry_out)


async def test_everything_that_is_due_is_settled(
    make_stakes: MakeStakes,
    database_clock: DatabaseClock,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """More than a batch; how far it has come is told on the way; again, nothing is due."""
    monkeypatch.setattr(settle, "BATCHES_SAID", 1)
    await make_stakes("ada", 230)
    assert await run() == 0
    assert capsys.readouterr().out == "settled: 0\n"
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert await run() == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["settled so far: 230", "settled: 230"]
    assert len(told) > 2
    assert await run() == 0
    assert capsys.readouterr().out == "settled: 0\n"
    await check_books(database_url)


async def test_what_cannot_be_settled_is_named(
    make_stakes: MakeStakes,
    database_clock: DatabaseClock,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The others are settled; status 1, and on standard error which stake, whose, and what was raised."""
    await make_stakes("ada", 3)
    wronged = await make_stakes("grace", 1)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE balances SET staked_minor = 1 WHERE user_id = $1", wronged)
    stake = await connection.fetchval("SELECT id FROM stakes WHERE user_id = $1", wronged)
    await connection.close()
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    assert await run() == 1
    printed = capsys.readouterr()
    assert printed.out == "settled: 3\n"
    assert f"not settled: stake {stake} of user {wronged}: CheckViolationError" in printed.err


async def test_a_stake_that_was_altered_is_named(
    make_stakes: MakeStakes,
    database_clock: DatabaseClock,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With what of it is not as it was; and the others' pages are spoken of, where Redis is away."""
    await make_stakes("ada", 1)
    wronged = await make_stakes("grace", 1)
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE stakes DISABLE TRIGGER ALL")
    await connection.execute(
        "UPDATE stakes SET created_at = created_at + INTERVAL '1 hour' WHERE user_id = $1", wronged
    )
    await connection.close()
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert await run() == 1
    said = capfd.readouterr()
    assert said.out == "settled: 1\n"
    assert f"of user {wronged}: was made before it says" in said.err
    assert "stakehold: Redis was away: old pages may be shown for 10 minutes." in said.err


async def test_a_database_that_refuses_everything_ends_it(
    make_stakes: MakeStakes,
    database_clock: DatabaseClock,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 1, and that is said."""
    await make_stakes("ada", 2)
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE balances RENAME TO elsewhere")
    await connection.close()
    assert await run() == 1
    printed = capsys.readouterr()
    assert printed.out == "settled: 0\n"
    assert "The database is unavailable." in printed.err


async def test_settling_without_redis_says_what_may_be_seen(
    make_stakes: MakeStakes,
    database_clock: DatabaseClock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All is paid, so that the status is 0; pages that other processes have cached may still be shown."""
    await make_stakes("ada", 1)
    await database_clock.set(midnight_ms(date(2027, 2, 28)))
    with monkeypatch.context() as patched:
        patched.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        assert await run() == 0
    said = capfd.readouterr()
    assert "settled: 1" in said.out
    assert "stakehold: Redis was away: old pages may be shown for 10 minutes." in said.err
    assert await run() == 0
    assert "Redis was away" not in capfd.readouterr().err
