"""The ledger: transfers appended to each user's chain, with what they come to beside them.

Whatever is posted is posted inside a transaction of the caller's. Rows are locked in one order everywhere, or
writers would meet in deadlocks: stakes, heads of ledgers, balances, usage of plans. Sets of rows go in as one
parameter of JSON, since arrays are slow or not taken (CockroachDB).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from stakehold.database.port import Connection, Record
from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import (
    AVAILABLE,
    Head,
    Movement,
    Transfer,
    append,
    fold,
    is_stake_account,
    stake_account,
)
from stakehold.domain.ports import Clock, Entropy

_LOCK_HEADS = """
SELECT h.user_id, h.seq, h.at_ms, h.hash FROM ledger_heads h
 WHERE h.user_id IN (SELECT x.user_id FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID))
 ORDER BY h.user_id FOR UPDATE
"""
_OPEN_HEADS = """
INSERT INTO ledger_heads (user_id, seq, at_ms, hash)
SELECT x.user_id, 0, 0, '' FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID)
ON CONFLICT (user_id) DO NOTHING
"""
_SET_HEADS = """
INSERT INTO ledger_heads (user_id, seq, at_ms, hash)
SELECT x.user_id, x.seq, x.at_ms, x.hash
  FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, seq INT8, at_ms INT8, hash TEXT)
ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq, at_ms = excluded.at_ms, hash = excluded.hash
"""
_INSERT = """
INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor, stake_id,
                       reverses, actor, at_ms, reason, hash)
SELECT x.user_id, x.seq, x.id, x.kind, x.debit_account, x.credit_account, x.asset, x.amount_minor, x.stake_id,
       x.reverses, x.actor, x.at_ms, x.reason, x.hash
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, seq INT8, id UUID, kind TEXT, debit_account TEXT, credit_account TEXT, asset TEXT,
       amount_minor NUMERIC, stake_id UUID, reverses INT8, actor TEXT, at_ms INT8, reason TEXT, hash TEXT)
"""
_OPEN_BALANCES = """
INSERT INTO balances (user_id, asset, available_minor, staked_minor)
SELECT x.user_id, x.asset, 0, 0 FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, asset TEXT)
ON CONFLICT (user_id, asset) DO NOTHING
"""
# Not an upsert: PostgreSQL checks the row that it proposes, and a change may be less than zero.
_CHANGE_BALANCES = """
UPDATE balances SET available_minor = balances.available_minor + x.available_minor,
                    staked_minor = balances.staked_minor + x.staked_minor
  FROM jsonb_to_recordset($1::JSONB) AS x (
       user_id UUID, asset TEXT, available_minor NUMERIC, staked_minor NUMERIC)
 WHERE balances.user_id = x.user_id AND balances.asset = x.asset
"""

OVERDRAWN: Final = "insufficient_funds"
"""The code of what would move more than there is."""


@dataclass(frozen=True, slots=True)
class Posting:
    """What is to be moved for one user, in order."""

    user_id: UUID
    movements: Sequence[Movement]


async def post(
    connection: Connection,
    postings: Sequence[Posting],
    *,
    actor: str,
    now_ms: int,
    clock: Clock,
    entropy: Entropy,
) -> list[Transfer]:
    """Append what moves to the chains of its users, and change their balances, in the caller's transaction.

    Each user comes once. `now_ms` is the database's. Raises ValidationError (`insufficient_funds`) for a
    balance that would fall below zero. Returns the transfers in their order.
    """
    postings = [posting for posting in postings if posting.movements]
    if not postings:
        return []
    heads = await _lock_heads(connection, [posting.user_id for posting in postings])
    transfers = []
    for posting in postings:
        head = heads[posting.user_id]
        for movement in posting.movements:
            transfer = append(head, posting.user_id, new_id(clock, entropy), movement, actor, now_ms)
            head = Head(transfer.seq, transfer.at_ms, transfer.hash)
            transfers.append(transfer)
        heads[posting.user_id] = head
    await connection.execute(_INSERT, _json(_row(transfer) for transfer in transfers))
    await connection.execute(
        _SET_HEADS,
        _json(
            {"user_id": user_id, "seq": head.seq, "at_ms": head.at_ms, "hash": head.hash}
            for user_id, head in heads.items()
        ),
    )
    changes = _json(_changes(postings))
    await connection.execute(_OPEN_BALANCES, changes)
    try:
        await connection.execute(_CHANGE_BALANCES, changes)
    except asyncpg.CheckViolationError as error:
        raise overdrawn() from error
    return transfers


def overdrawn() -> ValidationError:
    """What is answered to who would move more than there is."""
    return ValidationError(
        "There is less available than the amount.",
        code=OVERDRAWN,
        fields=(FieldError("/amount", OVERDRAWN, "More than is available."),),
    )


async def lock_head(connection: Connection, user_id: UUID) -> Head:
    """The end of the user's chain, which nobody else moves until the caller's transaction ends."""
    return (await _lock_heads(connection, [user_id]))[user_id]


async def find_reversal(connection: Connection, user_id: UUID, seq: int) -> int | None:
    """The number of the transfer that reverses the user's `seq`-th; None when there is none."""
    found: int | None = await connection.fetchval(_REVERSAL, user_id, seq)
    return found


async def _lock_heads(connection: Connection, user_ids: Sequence[UUID]) -> dict[UUID, Head]:
    """The ends of the users' chains, which nobody else moves until the transaction ends."""
    heads: dict[UUID, Head] = dict.fromkeys(user_ids, Head())
    for row in await connection.fetch(_LOCK_HEADS, _json({"user_id": user_id} for user_id in user_ids)):
        heads[row["user_id"]] = Head(row["seq"], row["at_ms"], row["hash"])
    new = [{"user_id": user_id} for user_id, head in heads.items() if not head.seq]
    if new:
        # Without a row there is nothing to lock: of two who begin a chain at once, one meets the other here.
        await connection.execute(_OPEN_HEADS, _json(new))
    return heads


def _row(transfer: Transfer) -> dict[str, object]:
    movement = transfer.movement
    return {
        "user_id": transfer.user_id,
        "seq": transfer.seq,
        "id": transfer.id,
        "kind": movement.kind,
        "debit_account": movement.debit_account,
        "credit_account": movement.credit_account,
        "asset": movement.asset,
        "amount_minor": str(movement.amount_minor),
        "stake_id": movement.stake_id,
        "reverses": movement.reverses,
        "actor": transfer.actor,
        "at_ms": transfer.at_ms,
        "reason": movement.reason,
        "hash": transfer.hash,
    }


def _changes(postings: Iterable[Posting]) -> Iterable[dict[str, object]]:
    """How the balances of each user and asset change."""
    for posting in postings:
        available: defaultdict[str, int] = defaultdict(int)
        staked: defaultdict[str, int] = defaultdict(int)
        for (asset, account), change_minor in fold(posting.movements).items():
            if account == AVAILABLE:
                available[asset] += change_minor
            elif is_stake_account(account):
                staked[asset] += change_minor
        for asset in sorted({movement.asset for movement in posting.movements}):
            yield {
                "user_id": posting.user_id,
                "asset": asset,
                "available_minor": str(available[asset]),
                "staked_minor": str(staked[asset]),
            }


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as one parameter. Amounts are text in it: JSON's numbers may pass through binary floats."""
    return json.dumps(list(rows), default=str)


TRANSFER_COLUMNS: Final = (
    "t.user_id, t.seq, t.id, t.kind, t.debit_account, t.credit_account, t.asset, t.amount_minor, t.stake_id,"
    " t.reverses, t.actor, t.at_ms, t.reason, t.hash"
)
_AFTER = f"""
SELECT {TRANSFER_COLUMNS} FROM transfers t
 WHERE t.user_id = $1::UUID AND t.seq > $2::INT8
 ORDER BY t.seq LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in
_BEFORE = f"""
SELECT {TRANSFER_COLUMNS} FROM transfers t
 WHERE t.user_id = $1::UUID AND t.seq < $2::INT8
 ORDER BY t.seq DESC LIMIT $3::INT8
"""  # noqa: S608 - only constants are put in
_MAKINGS = f"""
SELECT {TRANSFER_COLUMNS}
  FROM jsonb_to_recordset($1::JSONB) AS x (user_id UUID, account TEXT)
  JOIN transfers t ON t.user_id = x.user_id AND t.credit_account = x.account
   AND t.kind IN ('stake', 'renewal')
"""  # noqa: S608 - only constants are put in
_REVERSAL = "SELECT t.seq FROM transfers t WHERE t.user_id = $1::UUID AND t.reverses = $2::INT8 LIMIT 1"
_HEAD = "SELECT h.seq, h.at_ms, h.hash FROM ledger_heads h WHERE h.user_id = $1::UUID"


def transfer_of(row: Record) -> Transfer:
    """The transfer in a row of the table."""
    movement = Movement(
        kind=row["kind"],
        debit_account=row["debit_account"],
        credit_account=row["credit_account"],
        asset=row["asset"],
        amount_minor=int(row["amount_minor"]),
        stake_id=row["stake_id"],
        reverses=row["reverses"],
        reason=row["reason"],
    )
    return Transfer(row["user_id"], row["seq"], row["id"], movement, row["actor"], row["at_ms"], row["hash"])


async def list_after(connection: Connection, user_id: UUID, seq: int, limit: int) -> list[Transfer]:
    """At most `limit` of the user's transfers after the `seq`-th, oldest first."""
    return [transfer_of(row) for row in await connection.fetch(_AFTER, user_id, seq, limit)]


async def list_before(connection: Connection, user_id: UUID, seq: int, limit: int) -> list[Transfer]:
    """At most `limit` of the user's transfers before the `seq`-th, newest first."""
    return [transfer_of(row) for row in await connection.fetch(_BEFORE, user_id, seq, limit)]


async def find_makings(connection: Connection, keys: Iterable[tuple[UUID, UUID]]) -> dict[UUID, Transfer]:
    """By stake the transfer that made it, of these (user id, stake id)."""
    accounts = {stake_account(stake_id): (user_id, stake_id) for user_id, stake_id in keys}
    rows = await connection.fetch(
        _MAKINGS,
        _json({"user_id": user_id, "account": account} for account, (user_id, _) in accounts.items()),
    )
    return {accounts[row["credit_account"]][1]: transfer_of(row) for row in rows}


async def get_head(connection: Connection, user_id: UUID) -> Head:
    """The end of the user's chain."""
    row = await connection.fetchrow(_HEAD, user_id)
    return Head() if row is None else Head(row["seq"], row["at_ms"], row["hash"])
