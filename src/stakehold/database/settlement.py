"""What settlement reads: which stakes are due, what was on sale when they matured, and what room there is."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
SELECT b.bucket, d.user_id, d.id
  FROM generate_series(0, {BUCKETS - 1}) AS b (bucket)
 CROSS JOIN LATERAL (
   SELECT s.user_id, s.id FROM stakes s
    WHERE s.bucket = b.bucket AND s.due_at <= now()
    ORDER BY s.due_at LIMIT $1::INT8) d
"""  # noqa: S608 - only a constant is put in
_DUE_IN = """
SELECT s.user_id, s.id FROM stakes s
 WHERE s.bucket = $1::INT8 AND s.due_at <= now()
 ORDER BY s.due_at LIMIT $2::INT8
"""
_DUE_OF_USER = """
SELECT s.user_id, s.id FROM stakes s
 WHERE s.user_id = $1::UUID AND s.due_at <= now()
 ORDER BY s.due_at LIMIT $2::INT8
"""
_LOCK_LEDGERS = """
SELECT h.user_id FROM ledger_heads h
 WHERE h.user_id IN (SELECT x.user_id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID))
 ORDER BY h.user_id FOR UPDATE
"""
_TAKE_LEDGERS = f"{_LOCK_LEDGERS} SKIP LOCKED"
_LOCK_DUE = f"""
SELECT now() AS at, {STAKE_COLUMNS} FROM {STAKES}
 WHERE (s.user_id, s.id) IN (
   SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
   AND s.due_at <= now()
 ORDER BY s.user_id, s.id FOR UPDATE OF s
"""  # noqa: S608 - only constants are put in
_TAKE_DUE = f"{_LOCK_DUE} SKIP LOCKED"
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
 ORDER BY u.plan_id
"""
# Where no stake was made since the plan has a cap, nothing is counted yet.
_USER_USAGE = """
SELECT x.user_id, x.plan_id, COALESCE(u.staked_minor, (
         SELECT sum(s.amount_minor) FROM stakes s
          WHERE s.user_id = x.user_id AND s.plan_id = x.plan_id AND s.due_at IS NOT NULL), 0) AS staked_minor
  FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, plan_id TEXT)
  LEFT JOIN plan_user_usage u ON u.user_id = x.user_id AND u.plan_id = x.plan_id
"""

Key = tuple[UUID, UUID]


async def find_due(connection: Connection, limit_each: int) -> dict[int, list[Key]]:
    """By bucket the (user id, stake id) of what is due, the longest due first, at most `limit_each` of it."""
    found: dict[int, list[Key]] = {}
    for row in await connection.fetch(_DUE, limit_each):
        found.setdefault(row["bucket"], []).append((row["user_id"], row["id"]))
    return found


async def find_due_in(connection: Connection, bucket: int, limit: int) -> list[Key]:
    """The same of one bucket."""
    return [(row["user_id"], row["id"]) for row in await connection.fetch(_DUE_IN, bucket, limit)]


async def find_due_of(connection: Connection, user_id: UUID, limit: int) -> list[Key]:
    """The same of one user."""
    return [(row["user_id"], row["id"]) for row in await connection.fetch(_DUE_OF_USER, user_id, limit)]


async def take_due(connection: Connection, keys: Sequence[Key]) -> tuple[list[Stake], int]:
    """Those of `keys` that are still due and that nobody else works on, locked; and the transaction's time.

    Waits for nobody. The ledgers of their users are locked as well, and first: two machines with stakes of
    one user would otherwise meet there, and one of them would have done its work in vain.
    """
    users = _json({"user_id": user_id} for user_id in {user_id for user_id, _ in keys})
    taken = {row["user_id"] for row in await connection.fetch(_TAKE_LEDGERS, users)}
    return await _stakes(connection, _TAKE_DUE, [key for key in keys if key[0] in taken])


async def lock_due(connection: Connection, keys: Sequence[Key]) -> tuple[list[Stake], int]:
    """Those of `keys` that are still due, locked; and the transaction's time. Waits for who works on them."""
    return await _stakes(connection, _LOCK_DUE, keys)


async def lock_ledgers(connection: Connection, user_ids: Iterable[UUID]) -> None:
    """Have nobody else post to the ledgers of users, nor change what is counted of them, until the end."""
    await connection.fetch(_LOCK_LEDGERS, _json({"user_id": user_id} for user_id in user_ids))


async def _stakes(connection: Connection, statement: str, keys: Sequence[Key]) -> tuple[list[Stake], int]:
    if not keys:
        return [], 0
    rows = await connection.fetch(
        statement, _json({"user_id": user_id, "id": identifier} for user_id, identifier in keys)
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


async def read_usage(connection: Connection, plan_ids: Iterable[str], *, lock: bool) -> dict[str, int]:
    """What is staked in each plan in minor units, where that is counted. With `lock` it stays that."""
    asked = _json({"plan_id": plan_id} for plan_id in sorted(set(plan_ids)))
    rows = await connection.fetch(f"{_USAGE} FOR UPDATE" if lock else _USAGE, asked)
    return {row["plan_id"]: int(row["staked_minor"]) for row in rows}


async def read_user_usage(
    connection: Connection, keys: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], int]:
    """What is staked by (user id, plan id) in minor units. Whoever holds the user's ledger changes it."""
    asked = _json({"user_id": user_id, "plan_id": plan_id} for user_id, plan_id in sorted(set(keys)))
    rows = await connection.fetch(_USER_USAGE, asked)
    return {(row["user_id"], row["plan_id"]): int(row["staked_minor"]) for row in rows}


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    return json.dumps(list(rows), default=str)
