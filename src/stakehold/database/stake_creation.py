"""Making a stake, and all that belongs to it, in one statement."""

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal
from uuid import UUID

import asyncpg

from stakehold.database.idempotency import Idempotency, in_flight
from stakehold.database.port import Connection, Record, RunAgainError
from stakehold.domain.errors import DatabaseError
from stakehold.domain.money import format_amount
from stakehold.domain.stakes import MaturityInstruction

Funding = Literal["external", "balance"]
"""What pays for a stake: money from outside, or what its owner has available."""

Outcome = Literal[
    "created",
    "replayed",
    "mismatch",
    "disabled",
    "session_ended",
    "no_plan",
    "quote_expired",
    "below_minimum",
    "above_maximum",
    "off_step",
    "user_cap_exceeded",
    "capacity_exceeded",
    "insufficient_funds",
]


@dataclass(frozen=True, slots=True)
class QuotedTerms:
    """The version and the value date that a quote promised, until it expires."""

    version: int
    value_date: date
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """Which plan: of an asset the one on sale for `period_months`, or the one of the name `plan_id`.

    With `quoted` that version of `plan_id`, on sale or not.
    """

    asset: str
    scale: int
    period_months: int = 0
    plan_id: str = ""
    quoted: QuotedTerms | None = None


@dataclass(frozen=True, slots=True)
class NewStake:
    """A stake to make, in a session. `id` is chosen before the first attempt and stays for all of them."""

    user_id: UUID
    id: UUID
    session_id: UUID
    epoch: int
    amount_minor: int
    choice: PlanChoice
    funding: Funding = "external"
    maturity_instruction: MaturityInstruction = "payout"
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Creation:
    """What came of it. `stake_id` where there is a stake; the bounds are the plan's, 0 without a plan."""

    outcome: Outcome
    stake_id: UUID | None
    minimum_minor: int = 0
    maximum_minor: int = 0
    step_minor: int = 0


# Who asks, as the database knows them now: the cached user entry that let them in may be older.
_CALLER = """caller AS (
  SELECT u.id, u.status, u.epoch,
         EXISTS (SELECT 1 FROM sessions r
                  WHERE r.user_id = $1::UUID AND r.id = $7::UUID AND r.revoked_at IS NOT NULL) AS signed_out
    FROM users u WHERE u.id = $1::UUID),
moment AS (  -- By the microsecond: CockroachDB has seconds as a float, which may be less than they are.
  SELECT now() AS at, (now() AT TIME ZONE 'UTC')::DATE AS today,
         floor(round(extract(epoch FROM now()) * 1000000) / 1000)::INT8 AS at_ms)"""

# The plan: the latest version on sale of the first by name, or the version that was quoted; and why it does
# not take this amount.
_PLAN = """
plan AS (
  SELECT p.id, p.version, p.period_months, p.minimum_minor, p.maximum_minor, p.step_minor, p.user_cap_minor,
         p.capacity_minor, COALESCE($11::DATE, m.today) AS value_date,
         (COALESCE($11::DATE, m.today) + p.period_months * INTERVAL '1 month')::DATE AS maturity_date,
         EXISTS (SELECT 1 FROM plans q WHERE q.id = p.id AND q.user_cap_minor IS NOT NULL) AS is_capped,
         EXISTS (SELECT 1 FROM plans q WHERE q.id = p.id AND q.capacity_minor IS NOT NULL) AS is_limited,
         CASE WHEN $10::INT8 > 0 AND m.at_ms >= $10::INT8 THEN 'quote_expired'
              WHEN $4::NUMERIC < p.minimum_minor THEN 'below_minimum'
              WHEN $4::NUMERIC > p.maximum_minor THEN 'above_maximum'
              WHEN mod($4::NUMERIC, p.step_minor) <> 0 THEN 'off_step' END AS refusal
    FROM plans p CROSS JOIN moment m
   WHERE p.asset = $5::TEXT
     AND CASE WHEN $9::INT8 > 0 THEN p.id = $8::TEXT AND p.version = $9::INT8
              ELSE (p.id = $8::TEXT OR ($8::TEXT = '' AND p.period_months = $6::INT8))
                   AND p.on_sale_from <= m.at AND (p.on_sale_until IS NULL OR p.on_sale_until > m.at) END
   ORDER BY p.id, p.version DESC LIMIT 1)"""

# What a funding needs to be there before, and the account that pays.
_FUNDS: Final[dict[Funding, str]] = {
    "external": "",
    "balance": """
     AND EXISTS (SELECT 1 FROM balances f WHERE f.user_id = $1::UUID AND f.asset = $5::TEXT
                    AND f.available_minor >= $4::NUMERIC)""",
}
_PAYER: Final[dict[Funding, str]] = {"external": "custody", "balance": "available"}

_MAY_MAKE = """
   WHERE u.status = 'active' AND u.epoch = $3::INT8 AND NOT u.signed_out AND p.refusal IS NULL"""

_NEW_STAKE = """
  INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version, created_at, value_date, maturity_date,
                      origin_date, origin_months, maturity_instruction, due_at)"""
_NEW_STAKE_VALUES = """$4::NUMERIC, p.id, p.version, m.at, p.value_date, p.maturity_date, p.value_date,
         p.period_months, $12::TEXT, p.maturity_date::TIMESTAMP AT TIME ZONE 'UTC'"""


# What was agreed, as domain/stakes.py says it (`Stake.terms`): the transfer has it for its reason.
_TERMS = """
agreed AS (
  SELECT $13::TEXT || ' ' || $5::TEXT || ' in ' || p.id || ' version ' || p.version::TEXT || ' from '
         || d.value_date || ' to ' || d.maturity_date || ', month ' || p.period_months::TEXT || ' from '
         || d.value_date AS terms
    FROM plan p CROSS JOIN LATERAL (
      SELECT to_char(p.value_date::TIMESTAMP, 'YYYY-MM-DD') AS value_date,
             to_char(p.maturity_date::TIMESTAMP, 'YYYY-MM-DD') AS maturity_date) d),"""

_LATER_MS = "GREATEST(excluded.at_ms, ledger_heads.at_ms)"

# What is hashed of the transfer that funds a stake, as domain/ledger.py defines it, between the places of the
# hash before it, of its number, of its time and of its terms; first for a user's first transfer, then for one
# after others.
_HASHED = {
    funding: (
        "({previous} || '|' || $1::UUID::TEXT || '|' || ({seq})::TEXT || '|' || $2::UUID::TEXT || '|stake|"
        + payer
        + "|stake:' || $2::UUID::TEXT || '|' || $5::TEXT || '|' || $4::NUMERIC::TEXT || '|' || $2::UUID::TEXT"
        " || '||user|' || ({at_ms})::TEXT || '|' || {terms})"
    )
    for funding, payer in _PAYER.items()
}
# sha256() answers bytes in PostgreSQL, whose text begins with \\x, and hexadecimal text in CockroachDB.
_AGREED = "(SELECT g.terms FROM agreed g)"
_FIRST_HASH = {
    funding: "ltrim(sha256("
    + text.format(previous="''", seq="1", at_ms="m.at_ms", terms=_AGREED)
    + "::BYTEA)::TEXT, '\\x')"
    for funding, text in _HASHED.items()
}
_NEXT_HASH = {
    funding: "ltrim(sha256("
    + text.format(previous="ledger_heads.hash", seq="ledger_heads.seq + 1", at_ms=_LATER_MS, terms=_AGREED)
    + "::BYTEA)::TEXT, '\\x')"
    for funding, text in _HASHED.items()
}

_BALANCE: Final[dict[Funding, str]] = {
    "external": """
  INSERT INTO balances (user_id, asset, available_minor, staked_minor)
  SELECT $1::UUID, $5::TEXT, 0, $4::NUMERIC FROM head
  ON CONFLICT (user_id, asset) DO UPDATE SET staked_minor = balances.staked_minor + excluded.staked_minor
  RETURNING user_id""",
    "balance": """
  UPDATE balances SET available_minor = balances.available_minor - $4::NUMERIC,
                      staked_minor = balances.staked_minor + $4::NUMERIC
    FROM head WHERE balances.user_id = $1::UUID AND balances.asset = $5::TEXT
  RETURNING balances.user_id""",
}


# What a stake that was made brings with it: the transfer at the end of the chain, balance, usage, event. Each
# part has its row from the one before, so that rows are locked in one order, here and by whoever else posts:
# heads of ledgers, balances, usage. (In another order they met in deadlocks, of a second each.)
_CONSEQUENCES = {
    funding: f"""{_TERMS}
head AS (
  INSERT INTO ledger_heads (user_id, seq, at_ms, hash)
  SELECT $1::UUID, 1, m.at_ms, {_FIRST_HASH[funding]} FROM made CROSS JOIN moment m
  ON CONFLICT (user_id) DO UPDATE
     SET seq = ledger_heads.seq + 1, at_ms = {_LATER_MS},
         hash = {_NEXT_HASH[funding]}
  RETURNING seq, at_ms, hash),
moved AS (
  INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor, stake_id,
                         actor, at_ms, reason, hash)
  SELECT $1::UUID, h.seq, $2::UUID, 'stake', '{payer}', 'stake:' || $2::UUID::TEXT, $5::TEXT,
         $4::NUMERIC, $2::UUID, 'user', h.at_ms, g.terms, h.hash FROM head h CROSS JOIN agreed g
  RETURNING seq),
held AS ({_BALANCE[funding]}),
used AS (
  UPDATE plan_usage
     SET staked_minor = plan_usage.staked_minor + $4::NUMERIC, capacity_minor = p.capacity_minor
    FROM held CROSS JOIN plan p WHERE p.is_limited AND plan_usage.plan_id = p.id
  RETURNING plan_usage.plan_id),
used_by_user AS (
  INSERT INTO plan_user_usage (user_id, plan_id, staked_minor, cap_minor)
  SELECT $1::UUID, p.id, $4::NUMERIC + COALESCE((SELECT sum(s.amount_minor) FROM stakes s
                                                  WHERE s.user_id = $1::UUID AND s.plan_id = p.id
                                                    AND s.due_at IS NOT NULL), 0), p.user_cap_minor
    FROM held CROSS JOIN plan p CROSS JOIN (SELECT count(*) AS rows FROM used) AS counted
   WHERE p.is_capped
  ON CONFLICT (user_id, plan_id) DO UPDATE
     SET staked_minor = plan_user_usage.staked_minor + $4::NUMERIC, cap_minor = excluded.cap_minor
  RETURNING plan_id),
told AS (
  INSERT INTO events (user_id, id, type, payload, created_at, due_at)
  SELECT $1::UUID, $2::UUID, 'stake.created', json_build_object(
           'type', 'stake.created',
           'timestamp', to_char(m.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           'data', json_build_object(
             'stakeId', $2::UUID::TEXT, 'userId', $1::UUID::TEXT, 'asset', $5::TEXT, 'amount', $13::TEXT,
             'plan', p.id, 'planVersion', p.version, 'valueDate', p.value_date::TEXT,
             'maturityDate', p.maturity_date::TEXT))::TEXT, m.at, m.at
    FROM made CROSS JOIN moment m CROSS JOIN plan p
  RETURNING id)"""  # noqa: S608 - only constants are put in
    for funding, payer in _PAYER.items()
}

# Why nothing was made, when neither the stake nor its key was there before. `again`: the conflicting row was
# committed after this statement's snapshot was taken, so it cannot be read here.
_REFUSALS = """
            WHEN u.status <> 'active' THEN 'disabled'
            WHEN u.epoch <> $3::INT8 OR u.signed_out THEN 'session_ended'"""
_REFUSALS_OF_PLAN = """
            WHEN p.id IS NULL THEN 'no_plan'
            WHEN p.refusal IS NOT NULL THEN p.refusal"""
_REFUSALS_OF_FUNDS: Final[dict[Funding, str]] = {
    "external": "",
    "balance": """
            WHEN NOT EXISTS (SELECT 1 FROM balances f WHERE f.user_id = $1::UUID AND f.asset = $5::TEXT
                                AND f.available_minor >= $4::NUMERIC) THEN 'insufficient_funds'""",
}
_BOUNDS = """
       COALESCE(p.minimum_minor, 0) AS minimum_minor, COALESCE(p.maximum_minor, 0) AS maximum_minor,
       COALESCE(p.step_minor, 0) AS step_minor"""


# Both statements look at what was there before only when they made nothing (LIMIT keeps the lateral query
# from being merged into the join): when serializable, a lookup of an absent row locks the page it would be
# on, and two creations that each look and then insert there would abort one another. (300 creations by one
# user, 10 at a time, in PostgreSQL: 415 conflicts without the LIMIT, none with it.)
CREATE_KEYED: Final = {
    funding: f"""
WITH {_CALLER},{_PLAN},
claimed AS (
  INSERT INTO idempotency (user_id, scope, key, body_hash, stake_id, expires_at)
  SELECT u.id, $14::TEXT, $15::TEXT, $16::BYTEA, $2::UUID, now() + INTERVAL '24 hours'
    FROM caller u CROSS JOIN plan p{_MAY_MAKE}{_FUNDS[funding]}
  ON CONFLICT (user_id, scope, key) DO UPDATE
     SET body_hash = excluded.body_hash, stake_id = excluded.stake_id, expires_at = excluded.expires_at
   WHERE idempotency.expires_at <= now()
  RETURNING stake_id),
made AS ({_NEW_STAKE}
  SELECT $1::UUID, c.stake_id, {_NEW_STAKE_VALUES}
    FROM claimed c CROSS JOIN plan p CROSS JOIN moment m
  RETURNING id),{_CONSEQUENCES[funding]}
SELECT CASE WHEN m.id IS NOT NULL OR i.stake_id = $2::UUID THEN 'created'{_REFUSALS}
            WHEN i.body_hash = $16::BYTEA THEN 'replayed'
            WHEN i.body_hash IS NOT NULL THEN 'mismatch'{_REFUSALS_OF_PLAN}{_REFUSALS_OF_FUNDS[funding]}
            ELSE 'again' END AS outcome,
       COALESCE(m.id, i.stake_id) AS stake_id,{_BOUNDS}
  FROM caller u
  LEFT JOIN plan p ON true
  LEFT JOIN made m ON true
  LEFT JOIN LATERAL (
    SELECT k.stake_id, k.body_hash FROM idempotency k
     WHERE m.id IS NULL AND k.user_id = $1::UUID AND k.scope = $14::TEXT AND k.key = $15::TEXT
       AND k.expires_at > now()
     LIMIT 1) i ON true
"""  # noqa: S608 - only constants are put in
    for funding in _PAYER
}


CREATE_KEYLESS: Final = {
    funding: f"""
WITH {_CALLER},{_PLAN},
made AS ({_NEW_STAKE}
  SELECT u.id, $2::UUID, {_NEW_STAKE_VALUES}
    FROM caller u CROSS JOIN plan p CROSS JOIN moment m{_MAY_MAKE}{_FUNDS[funding]}
  ON CONFLICT (user_id, id) DO NOTHING
  RETURNING id),{_CONSEQUENCES[funding]}
SELECT CASE WHEN m.id IS NOT NULL OR s.id IS NOT NULL THEN 'created'{_REFUSALS}{_REFUSALS_OF_PLAN}
            {_REFUSALS_OF_FUNDS[funding]} ELSE 'again' END AS outcome,
       COALESCE(m.id, s.id) AS stake_id,{_BOUNDS}
  FROM caller u
  LEFT JOIN plan p ON true
  LEFT JOIN made m ON true
  LEFT JOIN LATERAL (
    SELECT e.id FROM stakes e
     WHERE m.id IS NULL AND e.user_id = $1::UUID AND e.id = $2::UUID
     LIMIT 1) s ON true
"""  # noqa: S608 - only constants are put in
    for funding in _PAYER
}


_VIOLATIONS: Final[dict[str, Outcome]] = {
    "plan_usage_within_capacity": "capacity_exceeded",
    "plan_user_usage_within_cap": "user_cap_exceeded",
    "balances_available_not_negative": "insufficient_funds",
}
"""What it means when a constraint undid the whole statement."""


async def create_stake(connection: Connection, new: NewStake) -> Creation:
    """Make a stake with its transfer, and remember its idempotency key for 24 hours, in one statement.

    `created` also when this same `new` made it before. `replayed` and `mismatch` answer for another request
    with the key, whatever has become of the plan since. Racers on one key wait for the first. Raises
    RunAgainError when the wait outlived the statement's timeout, or its result cannot be read yet; it becomes
    ConflictError (`idempotency_in_flight`) when there is no time to run again.
    """
    try:
        row = await _run(connection, new)
    except asyncpg.CheckViolationError as error:
        outcome = _VIOLATIONS.get(error.constraint_name or "")
        if outcome is None:
            raise
        return Creation(outcome, None)
    except asyncpg.QueryCanceledError as error:
        if new.idempotency is None:
            raise
        raise RunAgainError(in_flight()) from error
    if row is None:
        return Creation("disabled", None)
    if row["outcome"] == "again":
        raise RunAgainError(in_flight() if new.idempotency else _unsettled())
    bounds = (int(row[name]) for name in ("minimum_minor", "maximum_minor", "step_minor"))
    return Creation(row["outcome"], row["stake_id"], *bounds)


async def _run(connection: Connection, new: NewStake) -> Record | None:
    statement = (CREATE_KEYED if new.idempotency else CREATE_KEYLESS)[new.funding]
    return await connection.fetchrow(statement, *arguments_of(new))


def arguments_of(new: NewStake) -> tuple[object, ...]:
    """What CREATE_KEYED and CREATE_KEYLESS take, in order; the former with the last three."""
    choice, key = new.choice, new.idempotency
    return (
        new.user_id,
        new.id,
        new.epoch,
        new.amount_minor,
        choice.asset,
        choice.period_months,
        new.session_id,
        choice.plan_id,
        choice.quoted.version if choice.quoted else 0,
        choice.quoted.expires_at_ms if choice.quoted else 0,
        choice.quoted.value_date if choice.quoted else None,
        new.maturity_instruction,
        format_amount(new.amount_minor, choice.scale),
        *((key.scope, key.key, key.body_hash) if key else ()),
    )


def _unsettled() -> DatabaseError:
    return DatabaseError("An earlier attempt is still under way.", code="outcome_unknown", retry_after_s=1)
