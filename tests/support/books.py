"""Whether a whole database's books are right: every chain, balance and stake account, and the sum of all."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from stakehold.database.ledger import transfer_of
from stakehold.domain.ledger import AVAILABLE, CUSTODY, REWARDS, Transfer, fold, hash_of, is_stake_account

ENDED = ("paid_out", "renewed", "closed_early", "cancelled")


@dataclass(frozen=True)
class Books:
    """What was found: transfers of each user in order, and the balance of each (asset, system account)."""

    transfers: dict[UUID, list[Transfer]]
    system: Counter[tuple[str, str]]

    def paid(self, stake_id: UUID, kind: str) -> list[int]:
        """The amounts in minor units of the transfers of a kind that belong to a stake."""
        return [
            transfer.movement.amount_minor
            for theirs in self.transfers.values()
            for transfer in theirs
            if transfer.movement.kind == kind and transfer.movement.stake_id == stake_id
        ]


async def check_books(database_url: str) -> Books:
    """Assert that they are right, and return what they say."""
    connection = await asyncpg.connect(database_url)
    try:
        return await check_books_in(connection)
    finally:
        await connection.close()


async def check_books_in(connection: asyncpg.Connection) -> Books:  # type: ignore[type-arg]
    """The same by a connection there is."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _check(connection)


async def _check(connection: asyncpg.Connection) -> Books:  # type: ignore[type-arg]
    transfers: defaultdict[UUID, list[Transfer]] = defaultdict(list)
    for row in await connection.fetch("SELECT * FROM transfers ORDER BY user_id, seq"):
        transfers[row["user_id"]].append(transfer_of(row))
    heads = {row["user_id"]: row for row in await connection.fetch("SELECT * FROM ledger_heads")}
    balances = await connection.fetch("SELECT * FROM balances")
    stakes = await connection.fetch("SELECT user_id, id, amount_minor, state, due_at FROM stakes")
    held: Counter[tuple[UUID, str, str]] = Counter()
    system: Counter[tuple[str, str]] = Counter()
    for user_id, theirs in transfers.items():
        previous, at_ms = "", 0
        for number, transfer in enumerate(theirs, 1):
            assert transfer.seq == number, (user_id, number)
            assert transfer.at_ms >= at_ms, (user_id, number)
            assert transfer.hash == hash_of(transfer, previous), (user_id, number)
            previous, at_ms = transfer.hash, transfer.at_ms
            for (asset, account), minor in fold([transfer.movement]).items():
                if account in (CUSTODY, REWARDS):
                    system[asset, account] += minor
                else:
                    held[user_id, asset, account] += minor
                    assert held[user_id, asset, account] >= 0, transfer
        assert (heads[user_id]["seq"], heads[user_id]["hash"]) == (len(theirs), previous), user_id
    total: Counter[str] = Counter()
    for (asset, _), minor in system.items():
        total[asset] += minor
    for (_, asset, _), minor in held.items():
        total[asset] += minor
    assert not any(total.values()), total
    folded: defaultdict[tuple[UUID, str], list[int]] = defaultdict(lambda: [0, 0])
    for (user_id, asset, account), minor in held.items():
        folded[user_id, asset][0 if account == AVAILABLE else 1] += minor
    kept = {
        (row["user_id"], row["asset"]): [int(row["available_minor"]), int(row["staked_minor"])]
        for row in balances
    }
    assert kept == dict(folded)
    accounts = {
        account: minor for (_, _, account), minor in held.items() if is_stake_account(account) and minor
    }
    open_stakes = {
        f"stake:{row['id']}": int(row["amount_minor"]) for row in stakes if row["state"] not in ENDED
    }
    assert accounts == open_stakes
    await _check_usage(connection)
    return Books(dict(transfers), system)


async def _check_usage(connection: asyncpg.Connection) -> None:  # type: ignore[type-arg]
    wrong = await connection.fetch(
        "SELECT u.plan_id FROM plan_usage u WHERE u.staked_minor <> COALESCE("
        " (SELECT sum(s.amount_minor) FROM stakes s WHERE s.plan_id = u.plan_id AND s.due_at IS NOT NULL), 0)"
        " UNION ALL "
        "SELECT u.plan_id FROM plan_user_usage u WHERE u.staked_minor <> COALESCE("
        " (SELECT sum(s.amount_minor) FROM stakes s"
        "   WHERE s.user_id = u.user_id AND s.plan_id = u.plan_id AND s.due_at IS NOT NULL), 0)"
    )
    assert not wrong
