"""Plans: what is on sale."""

from stakehold.database import plans
from stakehold.domain.plans import Plan
from stakehold.domain.ports import Deadline
from stakehold.services.context import Services


async def list_plans(services: Services, deadline: Deadline) -> list[Plan]:
    """The plans on sale, shortest first."""
    return await services.read(plans.list_on_sale, deadline)
