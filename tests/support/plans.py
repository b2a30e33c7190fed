"""Plans for tests."""

from dataclasses import replace
from typing import Any

import asyncpg

from stakehold.database import plans
from stakehold.domain.plans import Band, Plan

_PLAN = Plan(
    id="STK-12M",
    version=1,
    asset="STK",
    scale=8,
    period_months=12,
    bands=(Band(0, 120_000),),
    day_count="ACT/365F",
    minimum_minor=1,
    maximum_minor=None,
    step_minor=1,
    user_cap_minor=None,
    capacity_minor=None,
    on_sale_from_ms=0,
    on_sale_until_ms=None,
    early_exit="forfeit_all",
    early_exit_ppm=0,
    minimum_hold_days=0,
    cooldown_s=0,
    grace_s=3600,
)


def make_plan(**changes: Any) -> Plan:
    """12 % for 12 months, no limits, everything forfeited on leaving early; with some terms otherwise."""
    return replace(_PLAN, **changes)


async def put_on_sale(database_url: str, plan: Plan) -> Plan:
    """Add a version to a database, as publishing does, whenever its sale begins."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="serializable"):
            assert await plans.add_asset(connection, plan.asset, plan.scale) == plan.scale
            assert await plans.insert_version(connection, plan)
            if plan.capacity_minor is not None:
                await plans.open_usage(connection, plan.id)
    finally:
        await connection.close()
    return plan
