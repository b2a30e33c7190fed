"""Stakes: made in one statement with their idempotency key, read newest first from one range of a key."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import asyncpg

from stakehold.database.plans import PLAN_COLUMNS, plan_of
from stakehold.database.port import Connection, Record, RunAgainError
from stakehold.domain.errors import ConflictError, DatabaseError
from stakehold.domain.stakes import Stake

Outcome = Literal[
    "created", "replayed", "mismatch", "disabled", "session_ended", "unknown_period", "below_minimum"
]


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, what it applies to, and the SHA-256 of what the request asked for."""

    key: str
    scope: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class NewStake:
    """A stake to make, in a session. `id` is chosen before the first attempt and stays for all of them."""

    user_id: UUID
    id: UUID
    session_id: UUID
    epoch: int
    amount_minor: int
    asset: str
    period_months: int
    idempotency: Idempotency | None


@dataclass(frozen=True, slots=True)
class Creation:
    """What came of it. `stake_id` where there is a stake; `minimum_minor` is the plan's, 0 without a plan."""

    outcome: Outcome
    stake_id: UUID | None
    minimum_minor: int


# Who asks, as the database knows them now: the cached user entry that let them in may be older.
_CALLER = """caller AS (
  SELECT u.id, u.status, u.epoch,
         EXISTS (SELECT 1 FROM sessions r
                  WHERE r.user_id = $1::UUID AND r.id = $7::UUID AND r.revoked_at IS NOT NULL) AS signed_out
    FROM users u WHERE u.id = $1::UUID)"""

# The plan on sale for an asset and period: the latest version of the first by name.
_PLAN = """
plan AS (
  SELECT p.id, p.version, p.minimum_minor FROM plans p
   WHERE p.asset = $5::TEXT AND p.period_months = $6::INT8
     AND p.on_sale_from <= now() AND (p.on_sale_until IS NULL OR p.on_sale_until > now())
   ORDER BY p.id, p.version DESC LIMIT 1)"""

# Why nothing was made, when neither the stake nor its key was there before. `again`: the conflicting row was
# committed after this statement's snapshot was taken, so it cannot be read here.
_REFUSALS = """
            WHEN u.status <> 'active' THEN 'disabled'
            WHEN u.epoch <> $3::INT8 OR u.signed_out THEN 'session_ended'"""
_REFUSALS_OF_PLAN = """
            WHEN p.id IS NULL THEN 'unknown_period'
            WHEN p.minimum_minor > $4::NUMERIC THEN 'below_minimum'
            ELSE 'again' END"""

# Both statements look at what was there before only when they made nothing (LIMIT keeps the lateral query
# from being merged into the join): when serializable, a lookup of an absent row locks the page it would be
# on, and two creations that each look and then insert there would abort one another. (300 creations by one
# user, 10 at a time, in PostgreSQL: 415 conflicts without the LIMIT, none with it.)
_CREATE_KEYED: Final = f"""
WITH {_CALLER},{_PLAN},
claimed AS (
  INSERT INTO idempotency (user_id, scope, key, body_hash, stake_id, expires_at)
  SELECT u.id, $8::TEXT, $9::TEXT, $10::BYTEA, $2::UUID, now() + INTERVAL '24 hours'
    FROM caller u CROSS JOIN plan p
   WHERE u.status = 'active' AND u.epoch = $3::INT8 AND NOT u.signed_out
     AND p.minimum_minor <= $4::NUMERIC
  ON CONFLICT (user_id, scope, key) DO UPDATE
     SET body_hash = excluded.body_hash, stake_id = excluded.stake_id, expires_at = excluded.expires_at
   WHERE idempotency.expires_at <= now()
  RETURNING stake_id),
made AS (
  INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version)
  SELECT $1::UUID, c.stake_id, $4::NUMERIC, p.id, p.version FROM claimed c CROSS JOIN plan p
  RETURNING id)
SELECT CASE WHEN m.id IS NOT NULL OR i.stake_id = $2::UUID THEN 'created'{_REFUSALS}
            WHEN i.body_hash = $10::BYTEA THEN 'replayed'
            WHEN i.body_hash IS NOT NULL THEN 'mismatch'{_REFUSALS_OF_PLAN} AS outcome,
       COALESCE(m.id, i.stake_id) AS stake_id,
       COALESCE(p.minimum_minor, 0) AS minimum_minor
  FROM caller u
  LEFT JOIN plan p ON true
  LEFT JOIN made m ON true
  LEFT JOIN LATERAL (
    SELECT k.stake_id, k.body_hash FROM idempotency k
     WHERE m.id IS NULL AND k.user_id = $1::UUID AND k.scope = $8::TEXT AND k.key = $9::TEXT
       AND k.expires_at > now()
     LIMIT 1) i ON true
"""  # noqa: S608 - only constants are put in

_CREATE_KEYLESS: Final = f"""
WITH {_CALLER},{_PLAN},
made AS (
  INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version)
  SELECT u.id, $2::UUID, $4::NUMERIC, p.id, p.version
    FROM caller u CROSS JOIN plan p
   WHERE u.status = 'active' AND u.epoch = $3::INT8 AND NOT u.signed_out
     AND p.minimum_minor <= $4::NUMERIC
  ON CONFLICT (user_id, id) DO NOTHING
  RETURNING id)
SELECT CASE WHEN m.id IS NOT NULL OR s.id IS NOT NULL THEN 'created'{_REFUSALS}{_REFUSALS_OF_PLAN} AS outcome,
       COALESCE(m.id, s.id) AS stake_id,
       COALESCE(p.minimum_minor, 0) AS minimum_minor
  FROM caller u
  LEFT JOIN plan p ON true
  LEFT JOIN made m ON true
  LEFT JOIN LATERAL (
    SELECT e.id FROM stakes e
     WHERE m.id IS NULL AND e.user_id = $1::UUID AND e.id = $2::UUID
     LIMIT 1) s ON true
"""  # noqa: S608 - only constants are put in


async def create_stake(connection: Connection, new: NewStake) -> Creation:
    """Make a stake and remember its idempotency key for 24 hours by the database's clock, in one statement.

    `created` also when this same `new` made it before. `replayed` and `mismatch` answer for another request
    with the key, whatever has become of the plan since. Racers on one key wait for the first. Raises
    RunAgainError when the wait outlived the statement's timeout, or its result cannot be read yet; it becomes
    ConflictError (`idempotency_in_flight`) when there is no time to run again.
    """
    if new.idempotency is None:
        row = await _run(connection, _CREATE_KEYLESS, new)
    else:
        key = new.idempotency
        try:
            row = await _run(connection, _CREATE_KEYED, new, key.scope, key.key, key.body_hash)
        except asyncpg.QueryCanceledError as error:
            raise RunAgainError(_in_flight()) from error
    if row is None:
        return Creation("disabled", None, 0)
    if row["outcome"] == "again":
        raise RunAgainError(_in_flight() if new.idempotency else _unsettled())
    return Creation(row["outcome"], row["stake_id"], int(row["minimum_minor"]))


async def _run(connection: Connection, statement: str, new: NewStake, *key: str | bytes) -> Record | None:
    return await connection.fetchrow(
        statement,
        new.user_id,
        new.id,
        new.epoch,
        new.amount_minor,
        new.asset,
        new.period_months,
        new.session_id,
        *key,
    )


def _in_flight() -> ConflictError:
    return ConflictError(
        "A request with this Idempotency-Key is under way.", code="idempotency_in_flight", retry_after_s=1
    )


def _unsettled() -> DatabaseError:
    return DatabaseError("An earlier attempt is still under way.", code="outcome_unknown", retry_after_s=1)


_STAKE_COLUMNS = f"s.id, s.amount_minor, {PLAN_COLUMNS}"
_STAKES = "stakes s JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version"

_PAGE = f"""
SELECT {_STAKE_COLUMNS} FROM {_STAKES}
 WHERE s.user_id = $1::UUID
 ORDER BY s.id DESC LIMIT $2::INT8 OFFSET $3::INT8
"""  # noqa: S608 - only constants are put in
_AFTER = f"""
SELECT {_STAKE_COLUMNS} FROM {_STAKES}
 WHERE s.user_id = $1::UUID AND s.id < $2::UUID
 ORDER BY s.id DESC LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in
_ONE = f"""
SELECT {_STAKE_COLUMNS} FROM {_STAKES}
 WHERE s.user_id = $1::UUID AND s.id = $2::UUID
"""  # noqa: S608 - only constants are put in


def _stake_of(row: Record) -> Stake:
    return Stake(id=row["id"], amount_minor=int(row["amount_minor"]), plan=plan_of(row))


async def list_page(connection: Connection, user_id: UUID, offset: int, limit: int) -> list[Stake]:
    """At most `limit` of the user's stakes, newest first, after skipping `offset`."""
    return [_stake_of(row) for row in await connection.fetch(_PAGE, user_id, limit, offset)]


async def list_after(connection: Connection, user_id: UUID, before_id: UUID, limit: int) -> list[Stake]:
    """At most `limit` of the user's stakes made before the stake `before_id`, newest first."""
    return [_stake_of(row) for row in await connection.fetch(_AFTER, user_id, before_id, limit)]


async def get_stake(connection: Connection, user_id: UUID, stake_id: UUID) -> Stake | None:
    """One stake of the user; None when there is none of that id, or it is another's."""
    row = await connection.fetchrow(_ONE, user_id, stake_id)
    return None if row is None else _stake_of(row)
