"""Statements on real stores: of any length in little memory, and all in one comes to its closing balances."""

import tracemalloc
from typing import Any
from uuid import UUID

import pytest

from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import stakes, statements
from stakehold.services.orders import Order
from stakehold.services.statements import Statement
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.unit.services.conftest import PASSWORD

MANY, FEW = 100_000, 2_000
FIRST_MS = 1_800_000_000_000
MEMORY_MAX = 8 * 2**20
"""Some pages of 500 transfers; all of them together are more than ten times that."""

# Deposits of 3 and withdrawals of 1 by turns, a second apart. Nothing looks at their hashes here.
FILL = """
INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor, actor,
                       at_ms, hash)
SELECT $1, n, gen_random_uuid(), CASE WHEN n % 2 = 1 THEN 'deposit' ELSE 'withdrawal' END,
       CASE WHEN n % 2 = 1 THEN 'custody' ELSE 'available' END,
       CASE WHEN n % 2 = 1 THEN 'available' ELSE 'custody' END,
       'STK', CASE WHEN n % 2 = 1 THEN 3 ELSE 1 END, 'cli', $2::INT8 + n * 1000, 'x'
  FROM generate_series(1, $3::INT8) n
"""


@pytest.fixture
async def ada(open_desk: Any, request: pytest.FixtureRequest) -> tuple[Any, Caller]:
    """A user with so many transfers, of which nothing but the ledger knows."""
    many: int = request.param
    desk = await open_desk()
    await desk.add_user("ada")
    [(user_id,)] = await desk.sql("SELECT id FROM users")
    caller = Caller(UUID(str(user_id)), "", 1)
    await desk.sql(FILL, caller.user_id, FIRST_MS, many)
    await desk.sql("INSERT INTO ledger_heads VALUES ($1, $2, $3, 'x')", caller.user_id, many, FIRST_MS)
    return desk, caller


async def _read(desk: Any, caller: Caller, statement: Statement) -> tuple[int, int, int]:
    """How many entries, the sum of their changes, and the most memory that reading took."""
    count = change_minor = 0
    tracemalloc.start()
    try:
        async for page in statements.entries(desk.services, caller, statement, lambda: desk.deadline):
            count += len(page)
            change_minor += sum(entry.available_change_minor for entry in page)
        return count, change_minor, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ada", [MANY], indirect=True)
async def test_a_hundred_thousand_entries_take_little_memory_and_reconcile(ada: tuple[Any, Caller]) -> None:
    """What one page takes is given back before the next; parts of a time add up to the whole."""
    desk, caller = ada
    middle_ms, end_ms = FIRST_MS + 1000 * (MANY // 3) + 1, FIRST_MS + 1000 * MANY + 1
    whole = await statements.open_statement(desk.services, caller, 0, end_ms, desk.deadline)
    assert [one.available_minor for one in (*whole.opening, *whole.closing)] == [0, MANY]
    count, change_minor, memory = await _read(desk, caller, whole)
    assert (count, change_minor) == (MANY, MANY)
    assert memory < MEMORY_MAX
    parts = [
        await statements.open_statement(desk.services, caller, *span, desk.deadline)
        for span in ((0, middle_ms), (middle_ms, end_ms))
    ]
    assert parts[0].closing == parts[1].opening
    assert parts[1].closing == whole.closing


@pytest.mark.parametrize("ada", [FEW], indirect=True)
async def test_what_is_added_meanwhile_is_not_half_in_it(ada: tuple[Any, Caller]) -> None:
    """A statement ends with the last transfer that there was when it was opened."""
    desk, caller = ada
    statement = await statements.open_statement(desk.services, caller, 0, 2**60, desk.deadline)
    more = FILL.replace("generate_series(1, $3::INT8)", "generate_series($3::INT8 + 1, $3::INT8 + 10)")
    await desk.sql(more, caller.user_id, FIRST_MS, FEW)
    assert (await _read(desk, caller, statement))[0] == FEW


@pytest.mark.parametrize("ada", [FEW], indirect=True)
async def test_one_that_does_not_reconcile_breaks_off(ada: tuple[Any, Caller]) -> None:
    """Where the entries do not lead to the closing balances it never looks whole."""
    desk, caller = ada
    statement = await statements.open_statement(desk.services, caller, 0, 2**60, desk.deadline)
    await desk.sql("ALTER TABLE transfers DISABLE TRIGGER ALL")
    await desk.sql("UPDATE transfers SET amount_minor = 4 WHERE seq = 1999")
    with pytest.raises(RuntimeError, match="reconcile"):
        await _read(desk, caller, statement)


async def test_a_statement_is_final_when_nothing_can_be_added(
    open_desk: Any, database_clock: DatabaseClock, clock: ManualClock
) -> None:
    """A minute after its end, by the database's clock: no transaction is as old as that."""
    await database_clock.set(FIRST_MS)
    desk = await open_desk(clock=clock)
    await desk.add_user("ada")
    [(user_id,)] = await desk.sql("SELECT id FROM users")
    caller = Caller(UUID(str(user_id)), "", 1)
    for until_ms, final in ((FIRST_MS - 60_000, True), (FIRST_MS - 59_999, False), (FIRST_MS + 1, False)):
        statement = await statements.open_statement(desk.services, caller, 0, until_ms, desk.deadline)
        assert statement.final == final


async def test_what_is_due_is_on_the_statement(
    open_desk: Any, database_clock: DatabaseClock, clock: ManualClock
) -> None:
    """Who asks for a statement of a time in which a stake matured sees it paid, whenever settlement runs."""
    await database_clock.set(clock.now_ms())
    desk = await open_desk(clock=clock)
    await desk.add_user("maria")
    token = RefreshToken.decode((await desk.sign_in(PASSWORD)).refresh)
    caller = Caller(token.user_id, str(token.session_id), 1)
    await stakes.create_stake(desk.services, caller, Order(b"1", period_months=1), desk.deadline)
    clock.advance(40 * 86_400)
    await database_clock.advance(40 * 86_400)
    until_ms = clock.now_ms() + 1
    statement = await statements.open_statement(desk.services, caller, 0, until_ms, desk.deadline)
    assert [one.staked_minor for one in statement.closing] == [0]
