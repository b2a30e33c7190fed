"""Plans: immutable versions of what can be staked in, and when each is on sale."""

from stakehold.database.port import Connection, Record
from stakehold.domain.plans import Plan

PLAN_COLUMNS = "p.id AS plan_id, p.version, p.asset, p.scale, p.period_months, p.rate_ppm, p.minimum_minor"
"""What `plan_of` reads, of a table of plans called `p`."""

_PLANS_MAX = 200

_ON_SALE = f"""
SELECT DISTINCT ON (p.asset, p.period_months) {PLAN_COLUMNS}
  FROM plans p
 WHERE p.on_sale_from <= now() AND (p.on_sale_until IS NULL OR p.on_sale_until > now())
 ORDER BY p.asset, p.period_months, p.id, p.version DESC
 LIMIT {_PLANS_MAX}
"""  # noqa: S608 - only constants are put in


def plan_of(row: Record) -> Plan:
    """The plan in a row that has PLAN_COLUMNS."""
    return Plan(
        id=row["plan_id"],
        version=row["version"],
        asset=row["asset"],
        scale=row["scale"],
        period_months=row["period_months"],
        rate_ppm=row["rate_ppm"],
        minimum_minor=int(row["minimum_minor"]),
    )


async def list_on_sale(connection: Connection) -> list[Plan]:
    """What is on sale now, by asset and period: of each the plan version that a stake made now would have."""
    return [plan_of(row) for row in await connection.fetch(_ON_SALE)]
