"""The operations on plans."""

from stakehold.http.handlers import plans
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.plans import (
    PlanList,
)

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
)
