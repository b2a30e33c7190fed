"""What ledgers come to: the balances beside them, and their fold at any moment."""

from collections import Counter
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
# A stake's account holds its principal until its end, and nothing after; nothing is left in the account of
# a stake that there is not. Each side is read once: what is looked up stake by stake grows with the square.
_WRONG_ACCOUNTS = """
SELECT COALESCE(a.account, s.account) AS account
  FROM (SELECT m.account, m.asset, sum(m.amount_minor) AS amount_minor
          FROM (SELECT t.credit_account AS account, t.asset, t.amount_minor FROM transfers t
                 WHERE t.user_id = $1::UUID AND t.credit_account LIKE 'stake:%'
                UNION ALL
                SELECT t.debit_account AS account, t.asset, -t.amount_minor FROM transfers t
                 WHERE t.user_id = $1::UUID AND t.debit_account LIKE 'stake:%') m
         GROUP BY m.account, m.asset) a
  FULL JOIN (SELECT 'stake:' || s.id::TEXT AS account, p.asset,
                    CASE WHEN s.due_at IS NULL THEN 0 ELSE s.amount_minor END AS amount_minor
               FROM stakes s LEFT JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version
              WHERE s.user_id = $1::UUID) s ON s.account = a.account AND s.asset = a.asset
 WHERE COALESCE(a.amount_minor, 0) <> COALESCE(s.amount_minor, 0)
 ORDER BY 1 LIMIT 1
"""
# A reward that belongs to no stake was owed to nobody.
_WRONG_REWARDS = """
SELECT COALESCE(s.id::TEXT, r.stake_id::TEXT, 'nothing') AS stake
  FROM (SELECT s.id, CASE WHEN s.due_at IS NULL THEN COALESCE(s.reward_minor, 0) ELSE 0 END AS amount_minor
          FROM stakes s WHERE s.user_id = $1::UUID) s
  FULL JOIN (SELECT t.stake_id, sum(t.amount_minor) AS amount_minor FROM transfers t
              WHERE t.user_id = $1::UUID AND t.kind = 'reward' GROUP BY t.stake_id) r ON r.stake_id = s.id
 WHERE COALESCE(r.amount_minor, 0) <> COALESCE(s.amount_minor, 0)
 ORDER BY 1 LIMIT 1
"""
# A stake begins with the transfer that credits its account, and ends with the one that takes the principal
# from there, to where its state says. A row without the one, or the one without a row, is not as it was.
# (Full joins throughout: for others the planner may choose to read one side once for each row of the other.)
_WRONG_LIVES = """
SELECT COALESCE(s.account, m.account, e.account) AS account
  FROM (SELECT 'stake:' || s.id::TEXT AS account,
               CASE WHEN p.id IS NULL OR (s.state <> 'renewed' AND s.renewed_to IS NOT NULL) THEN 'nobody'
                    WHEN s.due_at IS NOT NULL THEN ''
                    WHEN s.state = 'renewed' THEN COALESCE('stake:' || s.renewed_to::TEXT, 'nobody')
                    ELSE 'available' END AS payee
          FROM stakes s LEFT JOIN plans p ON p.id = s.plan_id AND p.version = s.plan_version
         WHERE s.user_id = $1::UUID) s
  FULL JOIN (SELECT t.credit_account AS account FROM transfers t
              WHERE t.user_id = $1::UUID AND t.kind IN ('stake', 'renewal')) m ON m.account = s.account
  FULL JOIN (SELECT t.debit_account AS account, t.credit_account AS payee FROM transfers t
              WHERE t.user_id = $1::UUID AND t.kind IN ('principal', 'renewal')) e
    ON e.account = COALESCE(s.account, m.account)
 WHERE m.account IS NULL OR s.account IS NULL OR COALESCE(e.payee, '') <> s.payee
 ORDER BY 1 LIMIT 1
"""
_WRONG_ASSETS = """
SELECT b.asset FROM (SELECT t.asset FROM transfers t WHERE t.user_id = $1::UUID
                      UNION SELECT k.asset FROM balances k WHERE k.user_id = $1::UUID) b
 WHERE NOT EXISTS (SELECT 1 FROM assets a WHERE a.code = b.asset)
 ORDER BY 1 LIMIT 1
"""
_WRONG_SCALES = """
SELECT DISTINCT p.id FROM plans p LEFT JOIN assets a ON a.code = p.asset
 WHERE a.scale IS DISTINCT FROM p.scale
 ORDER BY p.id
"""
_WRONG_USER_USAGE = """
SELECT u.plan_id FROM plan_user_usage u
  LEFT JOIN (SELECT s.plan_id, sum(s.amount_minor) AS amount_minor FROM stakes s
              WHERE s.user_id = $1::UUID AND s.due_at IS NOT NULL GROUP BY s.plan_id) o
    ON o.plan_id = u.plan_id
 WHERE u.user_id = $1::UUID AND u.staked_minor <> COALESCE(o.amount_minor, 0)
 ORDER BY u.plan_id LIMIT 1
"""
_USAGE = """
SELECT u.plan_id, u.staked_minor FROM plan_usage u
 UNION ALL
SELECT DISTINCT p.id, NULL::NUMERIC FROM plans p
 WHERE p.capacity_minor IS NOT NULL AND NOT EXISTS (SELECT 1 FROM plan_usage u WHERE u.plan_id = p.id)
"""
BOOKS: Final = ("ledger_heads", "balances", "transfers", "stakes")
"""Tables with rows of users, by their ids."""

ROWS_A_TIME: Final = 50_000
"""What all users have is read in ranges of users with about so many rows: all would take too long."""

_UNTIL: Final = {
    book: f"""
SELECT b.user_id FROM {book} b WHERE b.user_id > $1::UUID ORDER BY b.user_id OFFSET $2::INT8 LIMIT 1
"""  # noqa: S608 - only constants are put in
    for book in BOOKS
}
_RANGES: Final = {True: "b.user_id >= $1::UUID AND b.user_id < $2::UUID", False: "b.user_id >= $1::UUID"}
"""Of users, with an end and without."""

_STRANGERS: Final = {
    (book, has_end): f"""
SELECT DISTINCT b.user_id FROM {book} b
 WHERE {users} AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = b.user_id)
 ORDER BY b.user_id
"""  # noqa: S608 - only constants are put in
    for book in BOOKS
    for has_end, users in _RANGES.items()
}
_STAKED: Final = {
    has_end: f"""
SELECT b.plan_id, sum(b.amount_minor) AS amount_minor FROM stakes b
 WHERE {users} AND b.due_at IS NOT NULL GROUP BY b.plan_id
"""  # noqa: S608 - only constants are put in
    for has_end, users in _RANGES.items()
}
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


async def find_wrong_account(connection: Connection, user_id: UUID) -> str | None:
    """The account of a stake of the user's that does not hold what it should; None when all do."""
    account: str | None = await connection.fetchval(_WRONG_ACCOUNTS, user_id)
    return account


async def find_wrong_reward(connection: Connection, user_id: UUID) -> str | None:
    """A stake of the user's that was not paid the reward that is written of it; None when all were.

    "nothing" stands for a reward that was paid for no stake.
    """
    stake: str | None = await connection.fetchval(_WRONG_REWARDS, user_id)
    return stake


async def find_wrong_life(connection: Connection, user_id: UUID) -> str | None:
    """The account of a stake of the user's that transfers make, or end, otherwise than its row says."""
    account: str | None = await connection.fetchval(_WRONG_LIVES, user_id)
    return account


async def find_wrong_asset(connection: Connection, user_id: UUID) -> str | None:
    """An asset of the user's transfers or balances that there is not; None when there are all of them."""
    asset: str | None = await connection.fetchval(_WRONG_ASSETS, user_id)
    return asset


async def find_wrong_scales(connection: Connection) -> list[str]:
    """Plans that count in another scale than their asset."""
    return [row["id"] for row in await connection.fetch(_WRONG_SCALES)]


async def find_wrong_user_usage(connection: Connection, user_id: UUID) -> str | None:
    """A plan in which another amount is counted as the user's than is staked; None when there is none."""
    plan_id: str | None = await connection.fetchval(_WRONG_USER_USAGE, user_id)
    return plan_id


async def find_wrong_usage(connection: Connection) -> list[str]:
    """Plans in which another amount is counted than is staked, or none although there is a capacity."""
    async with connection.transaction():
        # All ranges as they are at one moment, and in nobody's way.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        counted = {row["plan_id"]: row["staked_minor"] for row in await connection.fetch(_USAGE)}
        staked: Counter[str] = Counter()
        start: UUID | None = UUID(int=0)
        while start is not None:
            until = await _find_until(connection, "stakes", start)
            for row in await connection.fetch(_STAKED[until is not None], *_range(start, until)):
                staked[row["plan_id"]] += row["amount_minor"]
            start = until
    return sorted(plan_id for plan_id, minor in counted.items() if minor != staked[plan_id])


async def find_strangers(connection: Connection, book: str, start: UUID) -> tuple[list[UUID], UUID | None]:
    """Who has rows in one of BOOKS and is no user, in the range from `start`; and where the next begins."""
    until = await _find_until(connection, book, start)
    rows = await connection.fetch(_STRANGERS[book, until is not None], *_range(start, until))
    return [row["user_id"] for row in rows], until


async def _find_until(connection: Connection, book: str, start: UUID) -> UUID | None:
    until: UUID | None = await connection.fetchval(_UNTIL[book], start, ROWS_A_TIME)
    return until


def _range(start: UUID, until: UUID | None) -> tuple[UUID, ...]:
    return (start,) if until is None else (start, until)


async def find_scale(connection: Connection, asset: str) -> int | None:
    """How many decimal places an asset has; None when there is no such asset."""
    scale: int | None = await connection.fetchval(_SCALE, asset)
    return scale


def _balance_of(row: Record) -> Balance:
    return Balance(row["asset"], row["scale"], int(row["available_minor"]), int(row["staked_minor"]))
