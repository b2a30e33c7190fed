"""What becomes of stakes: locked, changed and renewed, many at a time, in the caller's transaction."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

import asyncpg

from stakehold.database.port import Connection
from stakehold.database.stakes import STAKE_COLUMNS, STAKES, stake_of
from stakehold.domain.errors import ConflictError
from stakehold.domain.stakes import MaturityInstruction, Stake, StakeState

_LOCK = f"""
SELECT {STAKE_COLUMNS} FROM {STAKES}
 WHERE (s.user_id, s.id) IN (
   SELECT x.user_id, x.id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, id UUID))
 ORDER BY s.user_id, s.id FOR UPDATE OF s
"""  # noqa: S608 - only constants are put in
_WRITE = """
UPDATE stakes SET state = x.state, reward_minor = x.reward_minor, forfeited_minor = x.forfeited_minor,
                  exited_on = x.exited_on, renewed_to = x.renewed_to,
                  due_at = to_timestamp(0) + x.due_at_ms * INTERVAL '1 millisecond',
                  ended_at = CASE WHEN x.due_at_ms IS NULL THEN now() END
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, id UUID, state TEXT, reward_minor NUMERIC, forfeited_minor NUMERIC, exited_on DATE,
       renewed_to UUID, due_at_ms INT8)
 WHERE stakes.user_id = x.user_id AND stakes.id = x.id
"""
_INSTRUCT = """
UPDATE stakes SET maturity_instruction = $3::TEXT WHERE user_id = $1::UUID AND id = $2::UUID
"""
_RENEW = """
INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version, created_at, value_date, maturity_date,
                    origin_date, origin_months, maturity_instruction, due_at, renewed_from)
SELECT x.user_id, x.id, x.amount_minor, x.plan_id, x.plan_version, now(), x.value_date, x.maturity_date,
       x.origin_date, x.origin_months, x.maturity_instruction,
       to_timestamp(0) + x.due_at_ms * INTERVAL '1 millisecond', x.renewed_from
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, id UUID, amount_minor NUMERIC, plan_id TEXT, plan_version INT8, value_date DATE,
       maturity_date DATE, origin_date DATE, origin_months INT8, maturity_instruction TEXT, due_at_ms INT8,
       renewed_from UUID)
"""
# The rows of several plans are locked in one order, or two batches could wait for one another.
_LOCK_USAGE = """
SELECT u.plan_id FROM plan_usage u
 WHERE u.plan_id IN (SELECT x.plan_id FROM jsonb_to_recordset($1::JSONB) AS x (plan_id TEXT))
 ORDER BY u.plan_id FOR UPDATE
"""
# A limit is the one of the stake that was made last, by the version it is made under. What is renewed under
# one with a higher limit, or with none, raises it.
_LIMIT = "CASE WHEN x.renewed THEN CASE WHEN x.limit_minor IS NOT NULL THEN GREATEST({0}, x.limit_minor) END"
_CHANGE_USAGE = f"""
UPDATE plan_usage SET staked_minor = plan_usage.staked_minor + x.change_minor,
                      capacity_minor = {_LIMIT.format("plan_usage.capacity_minor")}
                                       ELSE plan_usage.capacity_minor END
  FROM jsonb_to_recordset($1::JSONB) AS x (
       plan_id TEXT, change_minor NUMERIC, renewed BOOL, limit_minor NUMERIC)
 WHERE plan_usage.plan_id = x.plan_id
"""  # noqa: S608 - only constants are put in
_CHANGE_USER_USAGE = f"""
UPDATE plan_user_usage SET staked_minor = plan_user_usage.staked_minor + x.change_minor,
                           cap_minor = {_LIMIT.format("plan_user_usage.cap_minor")}
                                       ELSE plan_user_usage.cap_minor END
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, plan_id TEXT, change_minor NUMERIC, renewed BOOL, limit_minor NUMERIC)
 WHERE plan_user_usage.user_id = x.user_id AND plan_user_usage.plan_id = x.plan_id
"""  # noqa: S608 - only constants are put in

_BEYOND: Final = {
    "plan_usage_within_capacity": "capacity_exceeded",
    "plan_user_usage_within_cap": "user_cap_exceeded",
}
"""What it means when a constraint refuses a change of usage."""


@dataclass(frozen=True, slots=True)
class StakeChange:
    """What a stake becomes. Without `due_at_ms` that is its end: the usage of its plan is to fall with it."""

    stake: Stake
    state: StakeState
    due_at_ms: int | None = None
    reward_minor: int | None = None
    forfeited_minor: int | None = None
    exited_on: date | None = None
    renewed_to: UUID | None = None


async def lock_stakes(connection: Connection, keys: Sequence[tuple[UUID, UUID]]) -> list[Stake]:
    """The stakes of these (user id, stake id) that there are, which nobody else changes until the end."""
    rows = [{"user_id": user_id, "id": identifier} for user_id, identifier in keys]
    return [stake_of(row) for row in await connection.fetch(_LOCK, _json(rows))]


async def write_changes(connection: Connection, changes: Sequence[StakeChange]) -> None:
    """Write what stakes become. They are locked."""
    rows = [
        {
            "user_id": change.stake.user_id,
            "id": change.stake.id,
            "state": change.state,
            "reward_minor": _text(change.reward_minor),
            "forfeited_minor": _text(change.forfeited_minor),
            "exited_on": change.exited_on,
            "renewed_to": change.renewed_to,
            "due_at_ms": change.due_at_ms,
        }
        for change in changes
    ]
    await connection.execute(_WRITE, _json(rows))


async def write_instruction(connection: Connection, stake: Stake, instruction: MaturityInstruction) -> None:
    """Write what becomes of a stake at maturity. It is locked."""
    await connection.execute(_INSTRUCT, stake.user_id, stake.id, instruction)


async def insert_renewals(connection: Connection, renewals: Sequence[Stake]) -> None:
    """Make the stakes that others are renewed to."""
    if not renewals:
        return
    rows = [
        {
            "user_id": stake.user_id,
            "id": stake.id,
            "amount_minor": str(stake.amount_minor),
            "plan_id": stake.plan.id,
            "plan_version": stake.plan.version,
            "value_date": stake.value_date,
            "maturity_date": stake.maturity_date,
            "origin_date": stake.origin_date,
            "origin_months": stake.origin_months,
            "maturity_instruction": stake.maturity_instruction,
            "due_at_ms": stake.due_at_ms,
            "renewed_from": stake.renewed_from,
        }
        for stake in renewals
    ]
    await connection.execute(_RENEW, _json(rows))


async def change_usage(
    connection: Connection,
    changes: Mapping[tuple[UUID, str], int],
    renewals: Sequence[Stake] = (),
) -> None:
    """Change what is staked by (user id, plan id), in minor units, after the balances.

    `renewals` are the stakes among it that others were renewed to. Raises ConflictError
    (`capacity_exceeded`, `user_cap_exceeded`): the caller's transaction can only be rolled back then.
    """
    by_plan: defaultdict[str, int] = defaultdict(int)
    for (_, plan_id), change_minor in changes.items():
        by_plan[plan_id] += change_minor
    capacities: defaultdict[str, list[int | None]] = defaultdict(list)
    caps: defaultdict[tuple[UUID, str], list[int | None]] = defaultdict(list)
    for stake in renewals:
        capacities[stake.plan.id].append(stake.plan.capacity_minor)
        caps[stake.user_id, stake.plan.id].append(stake.plan.user_cap_minor)
    plans = _json(
        [
            {"plan_id": plan, "change_minor": str(change), **_limit(capacities[plan])}
            for plan, change in sorted(by_plan.items())
        ]
    )
    users = [
        {"user_id": user_id, "plan_id": plan, "change_minor": str(change), **_limit(caps[user_id, plan])}
        for (user_id, plan), change in changes.items()
    ]
    await connection.fetch(_LOCK_USAGE, plans)
    try:
        await connection.execute(_CHANGE_USAGE, plans)
        await connection.execute(_CHANGE_USER_USAGE, _json(users))
    except asyncpg.CheckViolationError as error:
        code = _BEYOND.get(error.constraint_name or "")
        if code is None:
            raise
        raise ConflictError("There is not as much room left.", code=code) from error


def _limit(limits: Sequence[int | None]) -> dict[str, object]:
    """The highest limit of renewals; none where one of them has none."""
    known = [limit for limit in limits if limit is not None]
    highest = max(known) if limits and len(known) == len(limits) else None
    return {"renewed": bool(limits), "limit_minor": _text(highest)}


def _text(amount_minor: int | None) -> str | None:
    """An amount in JSON is text: its numbers may pass through binary floats."""
    return None if amount_minor is None else str(amount_minor)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=str)
