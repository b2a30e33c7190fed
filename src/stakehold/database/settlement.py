"""What settlement reads: which stakes are due, what was on sale when they matured, and what room there is."""

import json
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from stakehold.database.plans import PLAN_COLUMNS, moment_ms, plan_of
from stakehold.database.port import Connection
from stakehold.database.stakes import STAKE_COLUMNS, STAKES, stake_of
from stakehold.domain.plans import Plan
from stakehold.domain.stakes import Stake

BUCKETS: Final = 16

# Each bucket's part comes from its own range of the index, so that nobody reads past what is not due.
_DUE = f"""
SELECT d.user_id, d.id
  FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
 CROSS JOIN LATERAL (
   SELECT s.user_id, s.id FROM stakes s
    WHERE s.bucket = (b.bucket + $1::INT8) % {BUCKETS} AND s.due_at <= now()
    ORDER BY s.due_at LIMIT $2::INT8) d
"""  # noqa: S608 - only a constant is put in
_DUE_OF_USER = """
SELECT s.user_id, s.id FROM stakes s
 WHERE s.user_id = $1::UUID AND s.due_at <= now()
 ORDER BY s.due_at LIMIT $2::INT8
"""
_LOCK_DUE = f"""
SELECT now() AS at, {STAKE_COLUMNS} FROM {STAKES}
 WHERE (s.user_id, s.id) IN (
   SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
   AND s.due_at <= now()
 ORDER BY s.user_id, s.id FOR UPDATE OF s SKIP LOCKED
"""  # noqa: S608 - only constants are put in
_ON_SALE_AT = f"""
SELECT DISTINCT ON (x.plan_id, x.at_ms) x.at_ms, {PLAN_COLUMNS}
  FROM jsonb_to_recordset($1::JSONB) AS x (plan_id TEXT, at_ms INT8)
  JOIN plans p ON p.id = x.plan_id
   AND p.on_sale_from <= to_timestamp(0) + x.at_ms * INTERVAL '1 millisecond'
   AND (p.on_sale_until IS NULL OR p.on_sale_until > to_timestamp(0) + x.at_ms * INTERVAL '1 millisecond')
 ORDER BY x.plan_id, x.at_ms, p.version DESC
"""  # noqa: S608 - only constants are put in
_USAGE = """
SELECT u.plan_id, u.staked_minor FROM plan_usage u
 WHERE u.plan_id IN (SELECT x.plan_id FROM jsonb_to_recordset($1::JSONB) AS x (plan_id TEXT))
"""
_USER_USAGE = """
SELECT u.user_id, u.plan_id, u.staked_minor FROM plan_user_usage u
 WHERE (u.user_id, u.plan_id) IN (
   SELECT x.user_id, x.plan_id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, plan_id TEXT))
"""

Key = tuple[UUID, UUID]


async def find_due(connection: Connection, first_bucket: int, limit_each: int) -> list[Key]:
    """The (user id, stake id) of what is due, of each bucket at most `limit_each`, from `first_bucket` on."""
    rows = await connection.fetch(_DUE, first_bucket, limit_each)
    return [(row["user_id"], row["id"]) for row in rows]


async def find_due_of(connection: Connection, user_id: UUID, limit: int) -> list[Key]:
    """The same of one user."""
    return [(row["user_id"], row["id"]) for row in await connection.fetch(_DUE_OF_USER, user_id, limit)]


async def lock_due(connection: Connection, keys: Iterable[Key]) -> tuple[list[Stake], int]:
    """Those of `keys` that are still due and that nobody else holds, locked; and the transaction's time."""
    rows = await connection.fetch(
        _LOCK_DUE, _json({"user_id": user_id, "id": identifier} for user_id, identifier in keys)
    )
    return [stake_of(row) for row in rows], moment_ms(rows[0]["at"]) if rows else 0


async def plans_on_sale_at(
    connection: Connection, moments: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Plan]:
    """Of each (plan id, moment in ms) the version that was on sale then, where there was one."""
    asked = sorted(set(moments))
    if not asked:
        return {}
    rows = await connection.fetch(_ON_SALE_AT, _json({"plan_id": plan, "at_ms": at} for plan, at in asked))
    return {(row["plan_id"], row["at_ms"]): plan_of(row) for row in rows}


async def read_usage(
    connection: Connection, keys: Iterable[tuple[UUID, str]]
) -> tuple[dict[str, int], dict[tuple[UUID, str], int]]:
    """What is staked in minor units by plan, and by (user id, plan id), where it is kept."""
    asked = sorted(set(keys))
    plans = await connection.fetch(_USAGE, _json({"plan_id": plan} for plan in {plan for _, plan in asked}))
    users = await connection.fetch(
        _USER_USAGE, _json({"user_id": user_id, "plan_id": plan} for user_id, plan in asked)
    )
    return (
        {row["plan_id"]: int(row["staked_minor"]) for row in plans},
        {(row["user_id"], row["plan_id"]): int(row["staked_minor"]) for row in users},
    )


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    return json.dumps(list(rows), default=str)
