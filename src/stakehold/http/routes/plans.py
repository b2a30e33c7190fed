"""The operations on plans."""

from stakehold.http.handlers import plans
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.plans import ListVersions, PlanItem, PlanList, PlanVersions

OPERATIONS = (
    Operation(
        id="listPlans",
        method="GET",
        path="/api/plans",
        summary="The plans on sale",
        tag="plans",
        handler=plans.list_plans,
        policy="plan-read",
        charges_user=True,
        outcomes=(Outcome(200, "The plans.", PlanList),),
    ),
    Operation(
        id="getPlan",
        method="GET",
        path="/api/plans/{planId}",
        summary="One plan: the version on sale, else the latest",
        tag="plans",
        handler=plans.get_plan,
        parse=plans.parse_plan_id,
        policy="plan-read",
        charges_user=True,
        outcomes=(Outcome(200, "The plan.", PlanItem),),
        problems=("not_found",),
    ),
    Operation(
        id="listPlanVersions",
        method="GET",
        path="/api/plans/{planId}/versions",
        summary="The versions of a plan, newest first",
        tag="plans",
        handler=plans.list_versions,
        parse=plans.parse_plan_id,
        policy="plan-read",
        charges_user=True,
        query=ListVersions,
        outcomes=(Outcome(200, "The versions.", PlanVersions),),
        problems=("not_found",),
    ),
)
