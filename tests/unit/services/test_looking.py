"""Looking at a stake settles what is due of it, where that can be done."""

from uuid import UUID

import pytest

from stakehold.domain.errors import DatabaseError
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import settlement, stakes
from stakehold.services.context import Services
from stakehold.services.orders import Order
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.unit.services.conftest import PASSWORD, Desk, OpenDesk

YEAR_S = 366 * 86_400


async def _staked(desk: Desk) -> tuple[Caller, UUID]:
    await desk.add_user()
    token = RefreshToken.decode((await desk.sign_in(PASSWORD)).refresh)
    caller = Caller(token.user_id, str(token.session_id), 1)
    order = Order(b"1", period_months=12)
    return caller, (await stakes.create_stake(desk.services, caller, order, desk.deadline)).stake_id


@pytest.mark.parametrize(
    "fault", [DatabaseError("away"), ValueError("ours")], ids=["away", "a fault of ours"]
)
async def test_what_cannot_be_settled_is_told_as_it_is(
    database_clock: DatabaseClock,
    open_desk: OpenDesk,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    """A settlement that fails keeps nobody from looking: the stake is matured, until the next look."""
    await database_clock.set(clock.now_ms())
    desk = await open_desk(clock=clock)
    caller, stake_id = await _staked(desk)
    clock.advance(YEAR_S)
    await database_clock.advance(YEAR_S)

    async def fail(services: Services, user_id: UUID, deadline: Deadline) -> bool:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(settlement, "settle_user", fail)
        stake = await stakes.get_stake(desk.services, caller, stake_id, desk.deadline)
        listed = await stakes.list_page(desk.services, caller, 1, 10, desk.deadline)
    assert stake.status_at(clock.now_ms()) == "matured"
    assert listed.stakes == [stake]
    looked_at = await stakes.list_after(desk.services, caller, UUID(int=2**128 - 1), 10, desk.deadline)
    assert [found.state for found in looked_at.stakes] == ["paid_out"]


async def test_the_databases_clock_decides(
    database_clock: DatabaseClock, open_desk: OpenDesk, clock: ManualClock
) -> None:
    """A process whose clock is ahead tells a stake matured, and settles nothing before its time."""
    await database_clock.set(clock.now_ms())
    desk = await open_desk(clock=clock)
    caller, stake_id = await _staked(desk)
    clock.advance(YEAR_S)
    stake = await stakes.get_stake(desk.services, caller, stake_id, desk.deadline)
    assert (stake.state, stake.status_at(clock.now_ms())) == ("active", "matured")
