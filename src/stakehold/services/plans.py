"""Plans: what is on sale."""

from stakehold.database import plans
from stakehold.domain.plans import Plan
from stakehold.domain.ports import Deadline
from stakehold.services.context import Services

CATALOGUE_TTL_S = 60.0


async def list_plans(services: Services, deadline: Deadline) -> list[Plan]:
    """The plans on sale, shortest first; up to a minute old. No stake is made by what is read here."""
    catalogue = services.catalogue
    if catalogue.plans is None or services.clock.monotonic_s() >= catalogue.fresh_until_s:
        catalogue.plans = await services.read(plans.list_on_sale, deadline)
        catalogue.fresh_until_s = services.clock.monotonic_s() + CATALOGUE_TTL_S
    return catalogue.plans
