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

ON_SALE_MAX = 200
"""How many plans are listed as on sale; publishing keeps there from being more."""

_ON_SALE = f"""
SELECT DISTINCT ON (p.asset, p.period_months, p.id) {PLAN_COLUMNS}
  FROM plans p
 WHERE {ON_SALE}
 ORDER BY p.asset, p.period_months, p.id, p.version DESC
 LIMIT {ON_SALE_MAX}
"""  # noqa: S608 - only constants are put in


_QUOTED = f"""
SELECT now() AS at, {PLAN_COLUMNS}
  FROM plans p
 WHERE (p.id = $1::TEXT OR ($1::TEXT = '' AND p.asset = $2::TEXT AND p.period_months = $3::INT8))
   AND {ON_SALE}
 ORDER BY p.id, p.version DESC LIMIT 1
"""  # noqa: S608 - only constants are put in
_FIND = f"""
SELECT {PLAN_COLUMNS}
  FROM plans p
 WHERE p.id = $1::TEXT
 ORDER BY CASE WHEN {ON_SALE} THEN 0 ELSE 1 END, p.version DESC LIMIT 1
"""  # noqa: S608 - only constants are put in
_LATEST = f"""
SELECT {PLAN_COLUMNS} FROM plans p WHERE p.id = $1::TEXT ORDER BY p.version DESC LIMIT 1
"""  # noqa: S608 - only constants are put in
_VERSIONS = f"""
SELECT {PLAN_COLUMNS}
  FROM plans p
 WHERE p.id = $1::TEXT AND p.version < $2::INT8
 ORDER BY p.version DESC LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in
_ALL = f"""
SELECT {PLAN_COLUMNS}
  FROM plans p
 WHERE (p.id, p.version) > ($1::TEXT, $2::INT8)
 ORDER BY p.id, p.version LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in

_NOT_ENDED = """
SELECT DISTINCT p.id FROM plans p WHERE p.on_sale_until IS NULL OR p.on_sale_until > now()
"""
_ADD_ASSET = "INSERT INTO assets (code, scale) VALUES ($1::TEXT, $2::INT8) ON CONFLICT (code) DO NOTHING"
_SCALE = "SELECT a.scale FROM assets a WHERE a.code = $1::TEXT"
_INSERT = """
INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, rate_bands, day_count, minimum_minor,
                   maximum_minor, step_minor, user_cap_minor, capacity_minor, on_sale_from, on_sale_until,
                   early_exit, early_exit_ppm, minimum_hold_days, cooldown_s, grace_s)
VALUES ($1::TEXT, $2::INT8, $3::TEXT, $4::INT8, $5::INT8, $6::INT8, $7::TEXT, $8::TEXT, $9::NUMERIC,
        $10::NUMERIC, $11::NUMERIC, $12::NUMERIC, $13::NUMERIC,
        to_timestamp(0) + $14::INT8 * INTERVAL '1 millisecond',
        to_timestamp(0) + $15::INT8 * INTERVAL '1 millisecond',
        $16::TEXT, $17::INT8, $18::INT8, $19::INT8, $20::INT8)
ON CONFLICT (id, version) DO NOTHING
RETURNING version
"""
# Without a capacity for now: the next stake sets its version's. More may be staked already than that is.
_OPEN_USAGE = """
INSERT INTO plan_usage (plan_id, staked_minor)
SELECT $1::TEXT, COALESCE(sum(o.amount_minor), 0) FROM (
   SELECT s.amount_minor FROM stakes s WHERE s.plan_id = $1::TEXT AND s.due_at IS NOT NULL FOR SHARE) o
ON CONFLICT (plan_id) DO NOTHING
"""
_CLOSE = """
UPDATE plans SET on_sale_until = now()
 WHERE plans.id = $1::TEXT AND (plans.on_sale_until IS NULL OR plans.on_sale_until > now())
RETURNING plans.version
"""


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


async def find_on_sale(
    connection: Connection, *, plan_id: str = "", asset: str = "", period_months: int = 0
) -> tuple[Plan, int] | None:
    """The version on sale of a plan, and the moment at which it is, in milliseconds since the Unix epoch.

    The plan of this name, or where that is empty the one that a stake of `asset` for the period would get.
    """
    row = await connection.fetchrow(_QUOTED, plan_id, asset, period_months)
    return None if row is None else (plan_of(row), moment_ms(row["at"]))


async def find_plan(connection: Connection, plan_id: str) -> Plan | None:
    """The version of a plan that is on sale, else its latest; None when there is no plan of this name."""
    row = await connection.fetchrow(_FIND, plan_id)
    return None if row is None else plan_of(row)


async def latest_version(connection: Connection, plan_id: str) -> Plan | None:
    """The latest version of a plan, on sale or not; None when there is none."""
    row = await connection.fetchrow(_LATEST, plan_id)
    return None if row is None else plan_of(row)


async def list_versions(connection: Connection, plan_id: str, before: int, limit: int) -> list[Plan]:
    """At most `limit` versions of a plan, newest first, those before the version `before`."""
    return [plan_of(row) for row in await connection.fetch(_VERSIONS, plan_id, before, limit)]


async def list_all(connection: Connection, after: tuple[str, int], limit: int) -> list[Plan]:
    """At most `limit` versions of all plans by name and version, those after one."""
    return [plan_of(row) for row in await connection.fetch(_ALL, *after, limit)]


async def list_not_ended(connection: Connection) -> set[str]:
    """The names of the plans that are on sale, or will be."""
    return {row["id"] for row in await connection.fetch(_NOT_ENDED)}


async def now_ms(connection: Connection) -> int:
    """The time of the transaction, in milliseconds since the Unix epoch."""
    return moment_ms(await connection.fetchval("SELECT now()"))


async def add_asset(connection: Connection, asset: str, scale: int) -> int:
    """The scale of an asset, which is `scale` if there was no such asset before."""
    await connection.execute(_ADD_ASSET, asset, scale)
    known: int = await connection.fetchval(_SCALE, asset)
    return known


async def insert_version(connection: Connection, plan: Plan) -> bool:
    """Add a version; False when there is one of this number."""
    inserted = await connection.fetchval(
        _INSERT,
        plan.id,
        plan.version,
        plan.asset,
        plan.scale,
        plan.period_months,
        plan.rate_ppm,
        write_bands(plan.bands),
        plan.day_count,
        plan.minimum_minor,
        plan.maximum_minor,
        plan.step_minor,
        plan.user_cap_minor,
        plan.capacity_minor,
        plan.on_sale_from_ms,
        plan.on_sale_until_ms,
        plan.early_exit,
        plan.early_exit_ppm,
        plan.minimum_hold_days,
        plan.cooldown_s,
        plan.grace_s,
    )
    return inserted is not None


async def open_usage(connection: Connection, plan_id: str) -> None:
    """Begin to count what is staked in a plan, from what is. In the transaction that gives it a capacity.

    Serializable isolation is what keeps a stake from being made between the sum and the first count; and that
    the stakes are locked, a settlement, which is not serializable, from ending one.
    """
    await connection.execute(_OPEN_USAGE, plan_id)


async def close(connection: Connection, plan_id: str) -> list[int]:
    """Take every version of a plan off sale, now and for later; the versions that were."""
    return sorted(row["version"] for row in await connection.fetch(_CLOSE, plan_id))
