"""What ledgers come to: the balances beside them, and their fold at any moment."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from stakehold.database.ledger import TRANSFER_COLUMNS, transfer_of
from stakehold.database.port import Connection, Record
from stakehold.domain.ledger import Transfer


@dataclass(frozen=True, slots=True)
class Balance:
    """What a user has in an asset, in minor units: at hand, and in stakes."""

    asset: str
    scale: int
    available_minor: int
    staked_minor: int


_NOW = """
SELECT b.asset, a.scale, b.available_minor, b.staked_minor
  FROM balances b JOIN assets a ON a.code = b.asset
 WHERE b.user_id = $1::UUID
 ORDER BY b.asset
"""
_SUMS: Final = """
       sum(CASE WHEN t.credit_account = 'available' THEN t.amount_minor ELSE 0 END)
         - sum(CASE WHEN t.debit_account = 'available' THEN t.amount_minor ELSE 0 END) AS available_minor,
       sum(CASE WHEN t.credit_account LIKE 'stake:%' THEN t.amount_minor ELSE 0 END)
         - sum(CASE WHEN t.debit_account LIKE 'stake:%' THEN t.amount_minor ELSE 0 END) AS staked_minor"""
_FOLD = f"""
SELECT t.asset, a.scale, {_SUMS}
  FROM transfers t JOIN assets a ON a.code = t.asset
 WHERE t.user_id = $1::UUID AND t.at_ms < $2::INT8 AND t.seq <= $3::INT8
 GROUP BY t.asset, a.scale
 ORDER BY t.asset
"""  # noqa: S608 - only constants are put in
_BETWEEN = f"""
SELECT a.scale, {TRANSFER_COLUMNS}
  FROM transfers t JOIN assets a ON a.code = t.asset
 WHERE t.user_id = $1::UUID AND t.seq > $2::INT8 AND t.seq <= $3::INT8
   AND t.at_ms >= $4::INT8 AND t.at_ms < $5::INT8
 ORDER BY t.seq LIMIT $6::INT8
"""  # noqa: S608 - only constants are put in
# A stake's account holds its principal until its end, and nothing after.
_WRONG_STAKES = """
SELECT s.id FROM stakes s
 WHERE s.user_id = $1::UUID
   AND CASE WHEN s.due_at IS NULL THEN 0 ELSE s.amount_minor END <> COALESCE((
     SELECT sum(CASE WHEN t.credit_account = 'stake:' || s.id::TEXT THEN t.amount_minor ELSE 0 END)
            - sum(CASE WHEN t.debit_account = 'stake:' || s.id::TEXT THEN t.amount_minor ELSE 0 END)
       FROM transfers t
      WHERE t.user_id = $1::UUID
        AND ('stake:' || s.id::TEXT = t.credit_account OR 'stake:' || s.id::TEXT = t.debit_account)), 0)
 ORDER BY s.id LIMIT 10
"""
_SCALE = "SELECT a.scale FROM assets a WHERE a.code = $1::TEXT"


async def read_balances(connection: Connection, user_id: UUID) -> list[Balance]:
    """The user's balances now, by asset."""
    return [_balance_of(row) for row in await connection.fetch(_NOW, user_id)]


async def fold_before(connection: Connection, user_id: UUID, before_ms: int, last_seq: int) -> list[Balance]:
    """What the user's transfers before a moment come to, by asset, of the first `last_seq` of them."""
    return [_balance_of(row) for row in await connection.fetch(_FOLD, user_id, before_ms, last_seq)]


async def list_between(
    connection: Connection,
    user_id: UUID,
    *,
    after_seq: int,
    last_seq: int,
    from_ms: int,
    until_ms: int,
    limit: int,
) -> list[tuple[Transfer, int]]:
    """At most `limit` of the user's transfers of [from_ms, until_ms), with the scale of their assets."""
    rows = await connection.fetch(_BETWEEN, user_id, after_seq, last_seq, from_ms, until_ms, limit)
    return [(transfer_of(row), row["scale"]) for row in rows]


async def wrong_stakes(connection: Connection, user_id: UUID) -> list[UUID]:
    """Stakes of the user whose accounts do not hold what they should; at most ten."""
    return [row["id"] for row in await connection.fetch(_WRONG_STAKES, user_id)]


async def find_scale(connection: Connection, asset: str) -> int | None:
    """How many decimal places an asset has; None when there is no such asset."""
    scale: int | None = await connection.fetchval(_SCALE, asset)
    return scale


def _balance_of(row: Record) -> Balance:
    return Balance(row["asset"], row["scale"], int(row["available_minor"]), int(row["staked_minor"]))
