"""Who asks for money, or for room, is not refused for want of what has matured and is not settled yet."""

from dataclasses import replace
from uuid import UUID

import pytest

from stakehold.domain.errors import ConflictError, ValidationError
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import operators, stakes
from stakehold.services.operators import Adjustment
from stakehold.services.orders import Order
from tests.support.books import check_books
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.support.plans import make_plan, put_on_sale
from tests.unit.services.conftest import PASSWORD, Desk, OpenDesk

PLAN = make_plan(id="CAPPED", user_cap_minor=100 * 10**8, capacity_minor=150 * 10**8, period_months=1)
MONTH_S = 31 * 86_400


@pytest.fixture
async def passing(database_clock: DatabaseClock, clock: ManualClock, database_url: str) -> DatabaseClock:
    """The database's clock, in step with the process'; a plan with a cap and a capacity is on sale."""
    await database_clock.set(clock.now_ms())
    await put_on_sale(database_url, PLAN)
    return database_clock


async def _caller(desk: Desk) -> Caller:
    await desk.add_user()
    token = RefreshToken.decode((await desk.sign_in(PASSWORD)).refresh)
    return Caller(token.user_id, str(token.session_id), 1)


async def _create(desk: Desk, caller: Caller, amount: bytes) -> UUID:
    order = Order(amount, plan_id=PLAN.id)
    return (await stakes.create_stake(desk.services, caller, order, desk.deadline)).stake_id


def _move(direction: operators.Direction, amount: bytes) -> Adjustment:
    return Adjustment(direction, "maria", "STK", amount, "of the test")


async def test_a_stake_is_paid_for_by_one_that_matured(
    passing: DatabaseClock, open_desk: OpenDesk, clock: ManualClock, database_url: str
) -> None:
    """Where balances pay for stakes, what has come back pays, before anybody has settled it."""
    desk = await open_desk(clock=clock)
    desk.services = replace(desk.services, funding="balance")
    caller = await _caller(desk)
    await operators.adjust(desk.services, _move("deposit", b"100"), None, None, desk.deadline)
    await _create(desk, caller, b"100")
    with pytest.raises(ValidationError, match="less available"):
        await _create(desk, caller, b"1")
    clock.advance(MONTH_S)
    await passing.advance(MONTH_S)
    await _create(desk, caller, b"100")
    await check_books(database_url)


async def test_who_has_a_cap_may_stake_again_what_matured(
    passing: DatabaseClock, open_desk: OpenDesk, clock: ManualClock, database_url: str
) -> None:
    """A stake that has matured takes no room any more."""
    desk = await open_desk(clock=clock)
    caller = await _caller(desk)
    await _create(desk, caller, b"100")
    with pytest.raises(ConflictError) as refused:
        await _create(desk, caller, b"1")
    assert refused.value.code == "user_cap_exceeded"
    clock.advance(MONTH_S)
    await passing.advance(MONTH_S)
    await _create(desk, caller, b"100")
    await check_books(database_url)


async def test_what_matured_can_be_withdrawn(
    passing: DatabaseClock, open_desk: OpenDesk, clock: ManualClock, database_url: str
) -> None:
    """And no more than that."""
    desk = await open_desk(clock=clock)
    caller = await _caller(desk)
    await _create(desk, caller, b"100")
    clock.advance(MONTH_S)
    await passing.advance(MONTH_S)
    await operators.adjust(desk.services, _move("withdrawal", b"100"), None, None, desk.deadline)
    with pytest.raises(ValidationError, match="less available"):
        await operators.adjust(desk.services, _move("withdrawal", b"100"), None, None, desk.deadline)
    await check_books(database_url)
