"""Plans: immutable versions of what can be staked in, and when each is on sale."""

import json
from datetime import datetime
from decimal import Decimal

from stakehold.database.port import Connection, Record
from stakehold.domain.plans import Band, Plan

PLAN_COLUMNS = (
    "p.id AS plan_id, p.version, p.asset, p.scale, p.period_months, p.rate_ppm, p.rate_bands, p.day_count,"
    " p.minimum_minor, p.maximum_minor, p.step_minor, p.user_cap_minor, p.capacity_minor, p.on_sale_from,"
    " p.on_sale_until, p.early_exit, p.early_exit_ppm, p.minimum_hold_days, p.cooldown_s, p.grace_s"
)
"""What `plan_of` reads, of a table of plans called `p`."""

ON_SALE = "p.on_sale_from <= now() AND (p.on_sale_until IS NULL OR p.on_sale_until > now())"
"""Whether a version in a table of plans called `p` is on sale."""

_PLANS_MAX = 200

_ON_SALE = f"""
SELECT DISTINCT ON (p.asset, p.period_months, p.id) {PLAN_COLUMNS}
  FROM plans p
 WHERE {ON_SALE}
 ORDER BY p.asset, p.period_months, p.id, p.version DESC
 LIMIT {_PLANS_MAX}
"""  # noqa: S608 - only constants are put in


def plan_of(row: Record) -> Plan:
    """The plan in a row that has PLAN_COLUMNS."""
    until = row["on_sale_until"]
    return Plan(
        id=row["plan_id"],
        version=row["version"],
        asset=row["asset"],
        scale=row["scale"],
        period_months=row["period_months"],
        bands=_read_bands(row["rate_bands"], row["rate_ppm"]),
        day_count=row["day_count"],
        minimum_minor=int(row["minimum_minor"]),
        maximum_minor=_whole(row["maximum_minor"]),
        step_minor=int(row["step_minor"]),
        user_cap_minor=_whole(row["user_cap_minor"]),
        capacity_minor=_whole(row["capacity_minor"]),
        on_sale_from_ms=moment_ms(row["on_sale_from"]),
        on_sale_until_ms=None if until is None else moment_ms(until),
        early_exit=row["early_exit"],
        early_exit_ppm=row["early_exit_ppm"],
        minimum_hold_days=row["minimum_hold_days"],
        cooldown_s=row["cooldown_s"],
        grace_s=row["grace_s"],
    )


def moment_ms(moment: datetime) -> int:
    """A moment of the database in milliseconds since the Unix epoch."""
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def write_bands(bands: tuple[Band, ...]) -> str | None:
    """Bands as the column `rate_bands` holds them; None for a single one, which `rate_ppm` says."""
    if len(bands) == 1:
        return None
    return json.dumps([[str(band.from_minor), band.rate_ppm] for band in bands])


def _read_bands(text: str | None, rate_ppm: int) -> tuple[Band, ...]:
    if text is None:
        return (Band(0, rate_ppm),)
    return tuple(Band(int(from_minor), ppm) for from_minor, ppm in json.loads(text))


def _whole(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


async def list_on_sale(connection: Connection) -> list[Plan]:
    """What is on sale now, by asset, period and name: of each plan the version that a stake made now has."""
    return [plan_of(row) for row in await connection.fetch(_ON_SALE)]
