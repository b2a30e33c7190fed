"""Stakes: read newest first from one range of a key."""

from uuid import UUID

from stakehold.database.plans import PLAN_COLUMNS, moment_ms, plan_of
from stakehold.database.port import Connection, Record
from stakehold.domain.stakes import Stake

STAKE_COLUMNS = (
    "s.user_id, s.id, s.amount_minor, s.state, s.created_at, s.value_date, s.maturity_date, s.origin_date,"
    " s.origin_months, s.maturity_instruction, s.due_at, s.exited_on, s.reward_minor, s.forfeited_minor,"
    f" s.ended_at, s.renewed_from, s.renewed_to, {PLAN_COLUMNS}"
)
"""What `stake_of` reads, of STAKES."""

STAKES = "stakes s JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version"

_PAGE = f"""
SELECT {STAKE_COLUMNS} FROM {STAKES}
 WHERE s.user_id = $1::UUID
 ORDER BY s.id DESC LIMIT $2::INT8 OFFSET $3::INT8
"""  # noqa: S608 - only constants are put in
_AFTER = f"""
SELECT {STAKE_COLUMNS} FROM {STAKES}
 WHERE s.user_id = $1::UUID AND s.id < $2::UUID
 ORDER BY s.id DESC LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in
_ONE = f"""
SELECT {STAKE_COLUMNS} FROM {STAKES}
 WHERE s.user_id = $1::UUID AND s.id = $2::UUID
"""  # noqa: S608 - only constants are put in


_ONE_NOW = f"""
SELECT now() AS at, {STAKE_COLUMNS} FROM {STAKES}
 WHERE s.user_id = $1::UUID AND s.id = $2::UUID
"""  # noqa: S608 - only constants are put in


def stake_of(row: Record) -> Stake:
    """The stake in a row that has STAKE_COLUMNS."""
    return Stake(
        id=row["id"],
        user_id=row["user_id"],
        amount_minor=int(row["amount_minor"]),
        plan=plan_of(row),
        state=row["state"],
        created_at_ms=moment_ms(row["created_at"]),
        value_date=row["value_date"],
        maturity_date=row["maturity_date"],
        origin_date=row["origin_date"],
        origin_months=row["origin_months"],
        maturity_instruction=row["maturity_instruction"],
        due_at_ms=None if row["due_at"] is None else moment_ms(row["due_at"]),
        exited_on=row["exited_on"],
        reward_minor=None if row["reward_minor"] is None else int(row["reward_minor"]),
        forfeited_minor=None if row["forfeited_minor"] is None else int(row["forfeited_minor"]),
        ended_at_ms=None if row["ended_at"] is None else moment_ms(row["ended_at"]),
        renewed_from=row["renewed_from"],
        renewed_to=row["renewed_to"],
    )


async def list_page(connection: Connection, user_id: UUID, offset: int, limit: int) -> list[Stake]:
    """At most `limit` of the user's stakes, newest first, after skipping `offset`."""
    return [stake_of(row) for row in await connection.fetch(_PAGE, user_id, limit, offset)]


async def list_after(connection: Connection, user_id: UUID, before_id: UUID, limit: int) -> list[Stake]:
    """At most `limit` of the user's stakes made before the stake `before_id`, newest first."""
    return [stake_of(row) for row in await connection.fetch(_AFTER, user_id, before_id, limit)]


async def get_stake(connection: Connection, user_id: UUID, stake_id: UUID) -> Stake | None:
    """One stake of the user; None when there is none of that id, or it is another's."""
    row = await connection.fetchrow(_ONE, user_id, stake_id)
    return None if row is None else stake_of(row)


async def get_stake_now(connection: Connection, user_id: UUID, stake_id: UUID) -> tuple[Stake, int] | None:
    """The same, and the database's time in milliseconds since the Unix epoch."""
    row = await connection.fetchrow(_ONE_NOW, user_id, stake_id)
    return None if row is None else (stake_of(row), moment_ms(row["at"]))


async def database_now_ms(connection: Connection) -> int:
    """The database's time, of this transaction, in milliseconds since the Unix epoch."""
    return moment_ms(await connection.fetchval("SELECT now()"))
