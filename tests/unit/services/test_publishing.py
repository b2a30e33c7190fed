"""Publishing: a version is numbered, checked and never changed, and nothing is published twice."""

import asyncio
from dataclasses import replace

import pytest

from stakehold.database.plans import ON_SALE_MAX
from stakehold.domain.errors import NotFoundError, ValidationError
from stakehold.domain.plans import Band, Plan
from stakehold.services import plans
from stakehold.services.plans import PAST_SALE_MS_MAX, Published
from tests.support.database_clock import DatabaseClock
from tests.support.plans import make_plan
from tests.support.postgres_proxy import PostgresProxy
from tests.unit.services.conftest import Desk, OpenDesk

NOW_MS = 1_800_000_000_000
TERMS = make_plan(id="GLD-3M", asset="GLD", scale=2, period_months=3)
FILL = """
INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from)
SELECT 'AAA-' || n, 1, 'AAA', 2, 3, 1, 1, now() + INTERVAL '1 day'
  FROM generate_series(1, $1 - (SELECT count(*) FROM plans)) n
"""


@pytest.fixture
async def at(database_clock: DatabaseClock) -> DatabaseClock:
    await database_clock.set(NOW_MS)
    return database_clock


async def publish(desk: Desk, terms: Plan, *, from_now: bool = True) -> Published:
    return await plans.publish(desk.services, terms, from_now=from_now, deadline=desk.deadline)


async def refusal(desk: Desk, terms: Plan, *, from_now: bool = True) -> str:
    before = await desk.sql("SELECT count(*) FROM plans"), await desk.sql("SELECT count(*) FROM assets")
    with pytest.raises(ValidationError) as refused:
        await publish(desk, terms, from_now=from_now)
    assert before == (
        await desk.sql("SELECT count(*) FROM plans"),
        await desk.sql("SELECT count(*) FROM assets"),
    )
    return refused.value.detail


async def test_versions_are_numbered_from_one(at: DatabaseClock, desk: Desk) -> None:
    """The first adds the asset; each has its terms, and is on sale from the moment of its publication."""
    first = await publish(desk, TERMS)
    assert first == Published(replace(TERMS, version=1, on_sale_from_ms=NOW_MS), is_new=True)
    assert await desk.sql("SELECT scale FROM assets WHERE code = 'GLD'") == [(2,)]
    better = replace(TERMS, bands=(Band(0, 130_000),))
    assert (await publish(desk, better)).plan.version == 2
    assert (await plans.get_plan(desk.services, "GLD-3M", desk.deadline)).plan.bands == better.bands
    history, has_more = await plans.list_versions(desk.services, "GLD-3M", 10**9, desk.deadline)
    assert [plan.version for plan in history] == [2, 1]
    assert not has_more
    assert await plans.asset_of(desk.services, "GLD-3M", desk.deadline) == ("GLD", 2)


async def test_the_same_terms_again_are_the_same_version(at: DatabaseClock, desk: Desk) -> None:
    """Whoever publishes a file twice has one version; after its sale was closed, or with other terms, two."""
    first = await publish(desk, TERMS)
    await at.advance(3600)
    assert await publish(desk, TERMS) == Published(first.plan, is_new=False)
    assert await plans.close_plan(desk.services, "GLD-3M", desk.deadline) == [1]
    assert await plans.close_plan(desk.services, "GLD-3M", desk.deadline) == []
    assert (await publish(desk, TERMS)).plan.version == 2
    dated = replace(TERMS, on_sale_from_ms=NOW_MS + 7_200_000)
    assert (await publish(desk, dated, from_now=False)).plan.version == 3
    assert (await publish(desk, dated, from_now=False)).plan.version == 3
    await at.advance(86_400)
    assert not (await publish(desk, dated, from_now=False)).is_new


async def test_a_lost_answer_publishes_one_version(
    at: DatabaseClock, open_desk: OpenDesk, database_url: str
) -> None:
    """When the commit's answer is lost, the version that it made is found."""
    async with PostgresProxy(database_url) as proxy:
        desk = await open_desk(database_url=proxy.url)
        proxy.cut_answers(1, "COMMIT")
        await publish(desk, TERMS)
        assert proxy.answers_to_cut == 0
        assert await desk.sql("SELECT version FROM plans WHERE id = 'GLD-3M'") == [(1,)]


async def test_many_publish_at_once(at: DatabaseClock, desk: Desk) -> None:
    """Every one has a number of its own, without a gap."""
    terms = [replace(TERMS, bands=(Band(0, rate_ppm),)) for rate_ppm in range(8)]
    published = await asyncio.gather(*(publish(desk, each) for each in terms))
    assert sorted(each.plan.version for each in published) == list(range(1, 9))


async def test_what_makes_no_sense_is_refused(at: DatabaseClock, desk: Desk) -> None:
    """All that is wrong is said at once, and nothing is stored: neither a plan nor an asset."""
    detail = await refusal(desk, replace(TERMS, step_minor=0, period_months=0))
    assert "The step is at least one minor unit." in detail
    assert "A period has 1 to" in detail


async def test_a_sale_begins_now_or_later(at: DatabaseClock, desk: Desk) -> None:
    """A minute is let pass between writing and publishing, by the database's clock."""
    in_time = replace(TERMS, on_sale_from_ms=NOW_MS - PAST_SALE_MS_MAX)
    late = replace(TERMS, on_sale_from_ms=NOW_MS - PAST_SALE_MS_MAX - 1)
    assert "past" in await refusal(desk, late, from_now=False)
    assert (await publish(desk, in_time, from_now=False)).plan.on_sale_from_ms == NOW_MS - PAST_SALE_MS_MAX


async def test_scale_asset_and_period_stay(at: DatabaseClock, desk: Desk) -> None:
    """An asset has one scale for ever, and a plan one asset and one period."""
    await publish(desk, TERMS)
    assert "2 decimal places" in await refusal(desk, replace(TERMS, id="GLD-6M", scale=3))
    assert "another plan" in await refusal(desk, replace(TERMS, asset="STK", scale=8))
    assert "another plan" in await refusal(desk, replace(TERMS, period_months=4))


async def _fill(desk: Desk, count: int) -> None:
    """Let there be so many plans; those that are added have their sale before them."""
    await desk.sql("INSERT INTO assets (code, scale) VALUES ('AAA', 2)")
    await desk.sql(FILL, count)


async def test_no_more_plans_are_on_sale_than_are_listed(at: DatabaseClock, desk: Desk) -> None:
    """Of those that will be on sale too, lest the catalogue be cut; a version has its plan's place."""
    await _fill(desk, ON_SALE_MAX - 1)
    await publish(desk, TERMS)
    another = replace(TERMS, id="GLD-6M", period_months=6)
    assert f"{ON_SALE_MAX} plans" in await refusal(desk, another)
    assert (await publish(desk, replace(TERMS, bands=(Band(0, 1),)))).plan.version == 2
    await at.advance(2 * 86_400)
    listed = [offer.plan for offer in await plans.list_plans(desk.services, desk.deadline)]
    assert len(listed) == ON_SALE_MAX
    assert [plan.id for plan in listed[-4:]] == ["STK-1M", "STK-3M", "STK-6M", "STK-12M"]
    await plans.close_plan(desk.services, "GLD-3M", desk.deadline)
    assert (await publish(desk, another)).is_new
    assert f"{ON_SALE_MAX} plans" in await refusal(desk, TERMS)


async def test_a_version_needs_no_room(at: DatabaseClock, desk: Desk) -> None:
    """Also where there are more plans than are listed, which a release before could come to."""
    await publish(desk, TERMS)
    await _fill(desk, ON_SALE_MAX + 5)
    assert (await publish(desk, replace(TERMS, bands=(Band(0, 1),)))).plan.version == 2
    assert f"{ON_SALE_MAX} plans" in await refusal(desk, replace(TERMS, id="GLD-6M", period_months=6))


async def test_two_do_not_both_get_the_last_place(at: DatabaseClock, desk: Desk) -> None:
    """Of plans that are published at once as many come on sale as there is room for."""
    await _fill(desk, ON_SALE_MAX - 2)
    terms = [replace(TERMS, id=f"GLD-{number}") for number in range(5)]
    done = await asyncio.gather(*(publish(desk, each) for each in terms), return_exceptions=True)
    assert sum(isinstance(each, Published) for each in done) == 2
    assert sum(isinstance(each, ValidationError) for each in done) == 3


async def test_a_plan_that_is_none_is_not_found(desk: Desk) -> None:
    """Reading, listing and closing say so."""
    for work in (
        plans.get_plan(desk.services, "NONE", desk.deadline),
        plans.list_versions(desk.services, "NONE", 10, desk.deadline),
        plans.close_plan(desk.services, "NONE", desk.deadline),
    ):
        with pytest.raises(NotFoundError):
            await work
