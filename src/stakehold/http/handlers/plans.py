"""Plans over HTTP."""

import re

from msgspec import UNSET

from stakehold.domain.errors import NotFoundError
from stakehold.domain.money import format_amount
from stakehold.domain.plans import Offer, Plan, format_rate
from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import Answer, Call, json_answer
from stakehold.http.handlers.terms import rate_bands
from stakehold.http.schemas.base import PLAN_ID_PATTERN
from stakehold.http.schemas.plans import EarlyExit, ListVersions, PlanItem, PlanList, PlanVersions
from stakehold.services import plans

_PLAN_ID = re.compile(PLAN_ID_PATTERN)
_FOR_ALL = (b"cache-control", b"public, max-age=60")


async def list_plans(call: Call) -> Answer:
    """GET /api/plans"""
    on_sale = await plans.list_plans(call.container.services, call.deadline)
    return json_answer(200, PlanList(items=[_offer(offer) for offer in on_sale]), _FOR_ALL)


def parse_plan_id(call: Call) -> str:
    """The name in the path. Raises NotFoundError: what cannot be a name names nothing."""
    text = call.path_params["planId"]
    if not _PLAN_ID.fullmatch(text):
        raise NotFoundError("There is no such plan.")
    return text


async def get_plan(call: Call) -> Answer:
    """GET /api/plans/{planId}"""
    offer = await plans.get_plan(call.container.services, call.parsed_as(str), call.deadline)
    return json_answer(200, _offer(offer), _FOR_ALL)


async def list_versions(call: Call) -> Answer:
    """GET /api/plans/{planId}/versions"""
    before = call.query_as(ListVersions).before
    found, has_more = await plans.list_versions(
        call.container.services, call.parsed_as(str), before, call.deadline
    )
    return json_answer(200, PlanVersions(items=[_item(plan) for plan in found], has_more=has_more), _FOR_ALL)


def _offer(offer: Offer) -> PlanItem:
    item, available_minor = _item(offer.plan), offer.available_minor
    item.available_capacity = (
        None if available_minor is None else format_amount(available_minor, offer.plan.scale)
    )
    return item


def _item(plan: Plan) -> PlanItem:
    def limit(amount_minor: int | None) -> str | None:
        return None if amount_minor is None else format_amount(amount_minor, plan.scale)

    return PlanItem(
        id=plan.id,
        version=plan.version,
        asset=plan.asset,
        period=str(plan.period_months),
        rate=format_rate(plan.rate_ppm),
        minimum_amount=format_amount(plan.minimum_minor, plan.scale),
        scale=plan.scale,
        day_count=plan.day_count,
        rate_bands=rate_bands(plan),
        maximum_amount=limit(plan.maximum_minor),
        step=format_amount(plan.step_minor, plan.scale),
        user_cap=limit(plan.user_cap_minor),
        capacity=limit(plan.capacity_minor),
        on_sale_from=rfc3339(plan.on_sale_from_ms),
        on_sale_until=None if plan.on_sale_until_ms is None else rfc3339(plan.on_sale_until_ms),
        early_exit=_early_exit(plan),
        minimum_hold_days=plan.minimum_hold_days,
        cooldown_seconds=plan.cooldown_s,
        grace_period_seconds=plan.grace_s,
    )


def _early_exit(plan: Plan) -> EarlyExit:
    ppm = format_rate(plan.early_exit_ppm)
    return EarlyExit(
        policy=plan.early_exit,
        share=ppm if plan.early_exit == "forfeit_part" else UNSET,
        rate=ppm if plan.early_exit == "reduced_rate" else UNSET,
    )
