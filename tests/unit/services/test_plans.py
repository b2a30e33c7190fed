"""Plans and stakes: the catalogue is kept for a minute, and decides nothing."""

from uuid import UUID

import pytest

from stakehold.domain.errors import DatabaseError, ValidationError
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import plans, stakes
from stakehold.services.orders import Order
from tests.support.fakes import ManualClock
from tests.support.postgres_proxy import PostgresProxy
from tests.unit.services.conftest import PASSWORD, Desk, OpenDesk

TAKE_OFF_SALE = "UPDATE plans SET on_sale_until = now() WHERE period_months = 6"


def _readings(proxy: PostgresProxy) -> int:
    return sum("FROM plans" in statement for statement in proxy.executed)


async def test_the_catalogue_is_read_once_a_minute(
    open_desk: OpenDesk, database_url: str, clock: ManualClock
) -> None:
    """Within a minute it takes no SQL; after it one statement, which shows what has changed."""
    async with PostgresProxy(database_url) as proxy:
        desk = await open_desk(database_url=proxy.url, clock=clock)
        on_sale = await plans.list_plans(desk.services, desk.deadline)
        assert [offer.plan.period_months for offer in on_sale] == [1, 3, 6, 12]
        await desk.sql(TAKE_OFF_SALE)
        clock.advance(59.9)
        assert await plans.list_plans(desk.services, desk.deadline) == on_sale
        assert _readings(proxy) == 1
        clock.advance(0.2)
        on_sale = await plans.list_plans(desk.services, desk.deadline)
        assert [offer.plan.period_months for offer in on_sale] == [1, 3, 12]
        assert _readings(proxy) == 2


async def _caller(desk: Desk) -> Caller:
    await desk.add_user()
    token = RefreshToken.decode((await desk.sign_in(PASSWORD)).refresh)
    return Caller(token.user_id, str(token.session_id), 1)


async def _create(desk: Desk, caller: Caller, period_months: int) -> UUID:
    order = Order(b"1", period_months=period_months)
    created = await stakes.create_stake(desk.services, caller, order, desk.deadline)
    return created.stake_id


async def test_a_kept_catalogue_sells_nothing(desk: Desk) -> None:
    """A plan taken off sale is refused at once, however old the catalogue; the answer names what is left."""
    caller = await _caller(desk)
    assert 6 in [offer.plan.period_months for offer in await plans.list_plans(desk.services, desk.deadline)]
    assert await _create(desk, caller, 6)
    await desk.sql(TAKE_OFF_SALE)
    with pytest.raises(ValidationError) as refused:
        await _create(desk, caller, 6)
    assert refused.value.code == "unknown_period"
    assert refused.value.extra == {"periods": ["1", "3", "12"]}
    assert "Periods on sale: 1, 3, 12." in refused.value.detail
    assert await desk.sql("SELECT count(*) FROM stakes") == [(1,)]


async def test_without_a_plan_no_period_is_named(desk: Desk) -> None:
    """Where nothing is on sale by period alone, the answer says that."""
    caller = await _caller(desk)
    await desk.sql("UPDATE plans SET on_sale_until = now()")
    with pytest.raises(ValidationError) as refused:
        await _create(desk, caller, 6)
    assert refused.value.extra == {"periods": []}
    assert "Periods on sale: none." in refused.value.detail
    assert [field.detail for field in refused.value.fields] == ["On sale: none."]


async def test_a_read_never_has_an_unknown_outcome(open_desk: OpenDesk, database_url: str) -> None:
    """A read whose answers are lost is `database_unavailable`: nobody need wonder what it has done."""
    async with PostgresProxy(database_url) as proxy:
        desk = await open_desk(database_url=proxy.url)
        proxy.cut_answers(100, "FROM plans")
        with pytest.raises(DatabaseError) as failed:
            await plans.list_plans(desk.services, desk.deadline)
        assert failed.value.code == "database_unavailable"
        assert failed.value.retry_after_s == 1
        proxy.cut_answers(0)
        assert len(await plans.list_plans(desk.services, desk.deadline)) == 4
