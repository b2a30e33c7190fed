"""Plans over HTTP."""

from stakehold.domain.money import format_amount
from stakehold.domain.plans import format_rate
from stakehold.http.call import Answer, Call, json_answer
from stakehold.http.schemas.plans import PlanItem, PlanList
from stakehold.services import plans


async def list_plans(call: Call) -> Answer:
    """GET /api/plans"""
    on_sale = await plans.list_plans(call.container.services, call.deadline)
    items = [
        PlanItem(
            id=plan.id,
            version=plan.version,
            asset=plan.asset,
            period=str(plan.period_months),
            rate=format_rate(plan.rate_ppm),
            minimum_amount=format_amount(plan.minimum_minor, plan.scale),
        )
        for plan in on_sale
    ]
    return json_answer(200, PlanList(items=items), (b"cache-control", b"public, max-age=60"))
