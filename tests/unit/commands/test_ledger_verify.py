"""`stakehold ledger verify`, on real stores: who and what is wrong is named, and keeps no others from it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from stakehold import cli
from stakehold.commands import ledger as commands
from stakehold.database import balances, stake_creation, users
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.runtime.settings import SETTINGS
from stakehold.services.context import Services
from stakehold.services.ledger import Verification
from tests.support.fakes import ManualClock, SeededEntropy
from tests.support.plans import make_plan, put_on_sale

Sql = Callable[..., Awaitable[list[asyncpg.Record]]]
Verify = Callable[..., Awaitable[tuple[int, str, str]]]
NAMES = ("ada", "grace", "mary")


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Sql]:
    connection = await asyncpg.connect(database_url)
    yield connection.fetch
    await connection.close()


@pytest.fixture
async def people(database_url: str, sql: Sql, clock: ManualClock, entropy: SeededEntropy) -> dict[str, UUID]:
    """Three users with two stakes each, in a plan with a capacity and a cap."""
    await put_on_sale(
        database_url, make_plan(id="LIMITED", period_months=2, capacity_minor=10**9, user_cap_minor=10**9)
    )
    ids = {}
    connection = await asyncpg.connect(database_url)
    try:
        for name in NAMES:
            ids[name] = new_id(clock, entropy)
            await users.insert_user(connection, ids[name], name, "x")
            for _ in range(2):
                choice = PlanChoice("STK", 8, plan_id="LIMITED")
                new = NewStake(ids[name], new_id(clock, entropy), UUID(int=1), 1, 10**6, choice)
                assert (await stake_creation.create_stake(connection, new)).outcome == "created"
    finally:
        await connection.close()
    return ids


@pytest.fixture
def verify(
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Verify:
    """Carry out the command, which has an event loop of its own: status, output and errors."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)

    async def verify(*names: str) -> tuple[int, str, str]:
        def carry_out() -> int:
            with pytest.raises(SystemExit) as ended:
                cli.main(["ledger", "verify", *names])
            assert isinstance(ended.value.code, int)
            return ended.value.code

        status = await asyncio.to_thread(carry_out)
        said = capsys.readouterr()
        # The counters' line of the log is not the command's.
        return status, said.out, "".join(line for line in said.err.splitlines(True) if line[0] != "{")

    return verify


async def test_books_that_are_right(
    people: dict[str, UUID], verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are counted, however they are read, and the status is 0; of one user as well."""
    assert await verify() == (0, "users: 3; transfers: 6; wrong: 0\n", "")
    assert await verify("grace") == (0, "users: 1; transfers: 2; wrong: 0\n", "")
    monkeypatch.setattr(balances, "ROWS_A_TIME", 1)
    assert await verify() == (0, "users: 3; transfers: 6; wrong: 0\n", "")


@pytest.mark.parametrize(
    ("change", "verified", "said"),
    [
        ("UPDATE balances SET available_minor = 'NaN' WHERE user_id = $1", 4, "could not be verified"),
        ("UPDATE stakes SET reward_minor = 'NaN' WHERE user_id = $1", 6, "could not be verified"),
        ("UPDATE balances SET available_minor = 1 WHERE user_id = $1", 6, "transfer 2 does not come to the"),
        ("UPDATE stakes SET due_at = now() WHERE user_id = $1", 6, "is due at another time than its"),
        ("UPDATE plan_user_usage SET staked_minor = 1 WHERE user_id = $1", 6,
         "counts another amount of plan LIMITED than is staked"),
    ],
)  # fmt: skip
async def test_who_is_wrong_keeps_no_others_from_it(
    people: dict[str, UUID], verify: Verify, sql: Sql, change: str, verified: int, said: str
) -> None:
    """Nor does who cannot be verified at all: one line, the others' transfers counted, and the status 1."""
    await sql(change, people["grace"])
    status, output, errors = await verify()
    assert (status, output) == (1, f"users: 3; transfers: {verified}; wrong: 1\n")
    [line] = errors.splitlines()
    assert line.startswith(f"grace ({people['grace']}): ")
    assert said in line


async def test_who_writes_all_the_time_is_given_up(
    people: dict[str, UUID], verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one whose chain is longer whenever its end is reached nothing is sworn; others are verified."""
    verify_user = commands.verify

    async def never_done(
        services: Services, user_id: UUID, after_seq: int, deadline: Deadline
    ) -> Verification:
        found = await verify_user(services, user_id, 0, deadline)
        if user_id != people["ada"]:
            return found
        return Verification(after_seq + 1, after_seq + 1, found.last_hash, False, None)

    monkeypatch.setattr(commands, "verify", never_done)
    status, _, errors = await verify()
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "could not be verified beyond transfer 20: more is written all the time" in errors


async def test_time_runs_out_for_one_user_alone(
    people: dict[str, UUID], verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that takes too long is said of its user; others are verified, and the status is 1."""
    read = balances.read_balances

    async def slow(connection: asyncpg.Connection, user_id: UUID) -> list[balances.Balance]:
        if user_id == people["ada"]:
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = 1")
                await connection.fetch("SELECT pg_sleep(5)")
        return await read(connection, user_id)

    monkeypatch.setattr(balances, "read_balances", slow)
    status, output, errors = await verify()
    assert (status, output) == (1, "users: 3; transfers: 4; wrong: 1\n")
    assert errors.startswith(f"ada ({people['ada']}): could not be verified beyond transfer 0: ")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE plan_usage SET staked_minor = staked_minor - 1",
        "DELETE FROM plan_usage",
    ],
)
async def test_what_a_plan_counts_is_what_is_staked(
    people: dict[str, UUID], verify: Verify, sql: Sql, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of which another amount is counted, or none, is named."""
    monkeypatch.setattr(balances, "ROWS_A_TIME", 1)
    await sql(change)
    assert await verify() == (
        1,
        "users: 3; transfers: 6; wrong: 1\n",
        "plan LIMITED: counts another amount than is staked\n",
    )


@pytest.mark.parametrize("left", ["ledger_heads", "balances", "transfers", "stakes"])
async def test_whoever_has_books_and_is_no_user_is_named(
    people: dict[str, UUID], verify: Verify, sql: Sql, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever is left of them."""
    monkeypatch.setattr(balances, "ROWS_A_TIME", 1)
    for table in ("ledger_heads", "balances", "transfers", "stakes"):
        await sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        if table != left:
            await sql(f"DELETE FROM {table} WHERE user_id = $1", people["mary"])
    if left != "stakes":
        await sql("UPDATE plan_usage SET staked_minor = staked_minor - 2000000")
    await sql("DELETE FROM users WHERE username = 'mary'")
    status, output, errors = await verify()
    assert (status, output) == (1, "users: 2; transfers: 4; wrong: 1\n")
    assert errors == f"{people['mary']}: has books, and is no user\n"
