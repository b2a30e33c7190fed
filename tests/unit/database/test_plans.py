"""Versions of plans are read as they were added, and counted from when they have a capacity."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import plans, stake_creation
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.ids import new_id
from stakehold.domain.plans import Band, Plan
from tests.support.fakes import ManualClock, SeededEntropy
from tests.support.plans import make_plan

DAY_MS = 86_400_000
END = "UPDATE stakes SET state = 'cancelled', due_at = NULL, ended_at = now() WHERE id = $1"
EVERY_TERM = make_plan(
    id="GLD-6M",
    asset="GLD",
    scale=18,
    period_months=6,
    bands=(Band(0, 30_000), Band(10**37, 50_000)),
    day_count="ACT/ACT",
    minimum_minor=10**17,
    maximum_minor=10**38 - 10**17,
    step_minor=10**17,
    user_cap_minor=10**38 - 2,
    capacity_minor=10**38 - 1,
    on_sale_from_ms=1_700_000_000_123,
    on_sale_until_ms=4_000_000_000_007,
    early_exit="reduced_rate",
    early_exit_ppm=10_000,
    minimum_hold_days=7,
    cooldown_s=172_800,
    grace_s=0,
)


@pytest.fixture
def add(run: Any) -> Callable[[Plan], Awaitable[bool]]:
    async def add(plan: Plan) -> bool:
        added: bool = await run(lambda connection: plans.insert_version(connection, plan))
        return added

    return add


@pytest.mark.parametrize("plan", [EVERY_TERM, make_plan(id="SILVER", on_sale_from_ms=1)])
async def test_every_term_comes_back(run: Any, add: Any, plan: Plan) -> None:
    """Also of 38 digits, to the millisecond, and where there is none."""
    assert await add(plan)
    assert await run(lambda c: plans.latest_version(c, plan.id)) == plan
    assert await run(lambda c: plans.find_plan(c, plan.id)) == plan
    found, at_ms = await run(lambda c: plans.find_on_sale(c, plan_id=plan.id))
    assert found == plan
    assert abs(at_ms - await run(plans.now_ms)) < 60_000


async def test_a_number_is_given_once(run: Any, add: Any) -> None:
    """Of two versions of one number the first stays as it was."""
    assert await add(EVERY_TERM)
    assert not await add(make_plan(id="GLD-6M", bands=(Band(0, 1),)))
    assert await run(lambda c: plans.latest_version(c, "GLD-6M")) == EVERY_TERM


async def test_what_is_on_sale_comes_before_what_will_be(run: Any, add: Any) -> None:
    """A plan is its version on sale; after its end the latest there was; its history is newest first."""
    now_ms = await run(plans.now_ms)
    for version, begins_ms in ((1, now_ms - DAY_MS), (2, now_ms - 1), (3, now_ms + DAY_MS)):
        await add(make_plan(id="P", version=version, on_sale_from_ms=begins_ms))
    assert (await run(lambda c: plans.find_plan(c, "P"))).version == 2
    assert (await run(lambda c: plans.latest_version(c, "P"))).version == 3
    assert [plan.version for plan in await run(lambda c: plans.list_versions(c, "P", 3, 10))] == [2, 1]
    assert [plan.version for plan in await run(lambda c: plans.list_versions(c, "P", 10**9, 2))] == [3, 2]
    assert await run(lambda c: plans.close(c, "P")) == [1, 2, 3]
    assert await run(lambda c: plans.close(c, "P")) == []
    assert await run(lambda c: plans.find_on_sale(c, plan_id="P")) is None
    assert (await run(lambda c: plans.find_plan(c, "P"))).version == 3
    assert await run(lambda c: plans.find_plan(c, "Q")) is None


async def test_the_plan_of_a_period_is_the_one_a_stake_would_get(run: Any, add: Any) -> None:
    """Of the asset and period the first by name, in its latest version: quote and creation choose alike."""
    await add(make_plan(id="ANOTHER", asset="GLD", period_months=12))
    await add(make_plan(id="STK-12M", version=2))
    await add(make_plan(id="STK-12M-PLUS"))
    found, _ = await run(lambda c: plans.find_on_sale(c, asset="STK", period_months=12))
    assert (found.id, found.version) == ("STK-12M", 2)
    assert await run(lambda c: plans.find_on_sale(c, asset="STK", period_months=2)) is None
    assert await run(lambda c: plans.find_on_sale(c, asset="", period_months=12)) is None


async def test_every_version_is_listed_by_name(run: Any, add: Any) -> None:
    """Page by page, all of them."""
    await add(make_plan(id="STK-1M", version=2))
    found, after = [], ("", 0)
    while page := await run(lambda c, after=after: plans.list_all(c, after, 2)):
        found += [(plan.id, plan.version) for plan in page]
        after = found[-1]
    assert found == [("STK-12M", 1), ("STK-1M", 1), ("STK-1M", 2), ("STK-3M", 1), ("STK-6M", 1)]


async def test_the_scale_of_an_asset_stays(run: Any) -> None:
    """The first to name an asset says its scale; others are told which it is."""
    assert await run(lambda c: plans.add_asset(c, "GLD", 18)) == 18
    assert await run(lambda c: plans.add_asset(c, "GLD", 2)) == 18
    assert await run(lambda c: plans.add_asset(c, "STK", 2)) == 8


async def test_a_capacity_begins_with_what_is_staked(
    run: Any, make_user: Callable[[str], Awaitable[UUID]], clock: ManualClock, entropy: SeededEntropy
) -> None:
    """Open stakes of all users and versions count, ended ones do not; another time changes nothing."""
    for name in ("ada", "bob"):
        user_id = await make_user(name)
        new = NewStake(
            user_id, new_id(clock, entropy), new_id(clock, entropy), 1, 700, PlanChoice("STK", 8, 12)
        )
        await run(lambda c, new=new: stake_creation.create_stake(c, new))
        ended = NewStake(
            user_id, new_id(clock, entropy), new_id(clock, entropy), 1, 13, PlanChoice("STK", 8, 12)
        )
        await run(lambda c, ended=ended: stake_creation.create_stake(c, ended))
        await run(lambda c, ended=ended: c.execute(END, ended.id))
    for _ in range(2):
        await run(lambda c: plans.open_usage(c, "STK-12M"))
        rows = await run(lambda c: c.fetch("SELECT plan_id, staked_minor, capacity_minor FROM plan_usage"))
        assert [(row[0], int(row[1]), row[2]) for row in rows] == [("STK-12M", 1400, None)]


def test_bands_are_written_as_text() -> None:
    """Amounts of 38 digits pass through JSON as text, which no reader takes for a float."""
    assert plans.write_bands((Band(0, 120_000),)) is None
    assert json.loads(plans.write_bands(EVERY_TERM.bands) or "") == [["0", 30_000], [str(10**37), 50_000]]
