"""The ledger's rows, chains and balances, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import ledger, stake_creation
from stakehold.database.ledger import Posting
from stakehold.database.port import Connection
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.errors import ValidationError
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import AVAILABLE, CUSTODY, Movement, fold, hash_of, stake_account
from tests.support.fakes import ManualClock, SeededEntropy

MakeUser = Callable[[str], Awaitable[UUID]]
DEPOSIT = Movement("deposit", CUSTODY, AVAILABLE, "STK", 10**20, reason="a | b\\x00 'c'; é")
LATER_MS = 4_000_000_000_000


@pytest.fixture
async def alice(make_user: MakeUser) -> UUID:
    return await make_user("alice")


@pytest.fixture
def post(run: Any, clock: ManualClock, entropy: SeededEntropy) -> Any:
    """Post movements for users, in one transaction."""

    async def post(*postings: Posting, now_ms: int = LATER_MS) -> Any:
        async def work(connection: Connection) -> Any:
            async with connection.transaction():
                return await ledger.post(
                    connection, postings, actor="cli", now_ms=now_ms, clock=clock, entropy=entropy
                )

        return await run(work)

    return post


async def _balances(run: Any, user_id: UUID) -> dict[str, tuple[int, int]]:
    rows = await run(lambda c: c.fetch("SELECT * FROM balances WHERE user_id = $1", user_id))
    return {row["asset"]: (int(row["available_minor"]), int(row["staked_minor"])) for row in rows}


async def _assert_whole(run: Any, user_id: UUID) -> None:
    """The chain holds, the head is its end, and the balances are its fold."""
    transfers = await run(lambda c: ledger.list_after(c, user_id, 0, 1000))
    previous, at_ms = "", 0
    for number, transfer in enumerate(transfers, 1):
        assert transfer.seq == number
        assert transfer.at_ms >= at_ms
        assert transfer.hash == hash_of(transfer, previous)
        previous, at_ms = transfer.hash, transfer.at_ms
    head = await run(lambda c: ledger.get_head(c, user_id))
    assert (head.seq, head.at_ms, head.hash) == (len(transfers), at_ms, previous)
    folded: dict[str, list[int]] = {}
    for (asset, account), minor in fold(transfer.movement for transfer in transfers).items():
        if account == AVAILABLE:
            folded.setdefault(asset, [0, 0])[0] += minor
        elif account.startswith("stake:"):
            folded.setdefault(asset, [0, 0])[1] += minor
    assert {asset: tuple(both) for asset, both in folded.items()} == await _balances(run, user_id)


def _stake(user_id: UUID, identifier: UUID, funding: Any, amount_minor: int = 10**19 + 7) -> NewStake:
    return NewStake(user_id, identifier, UUID(int=1), 1, amount_minor, PlanChoice("STK", 8, 12), funding)


@pytest.mark.parametrize("funding", ["external", "balance"])
async def test_sql_and_python_chain_alike(
    run: Any, post: Any, alice: UUID, clock: ManualClock, entropy: SeededEntropy, funding: str
) -> None:
    """What the creating statement appends and what a transaction appends are links of one chain."""
    if funding == "balance":
        await post(Posting(alice, [DEPOSIT]), now_ms=5)
    for _ in range(2):
        new = _stake(alice, new_id(clock, entropy), funding)
        assert (await run(lambda c, new=new: stake_creation.create_stake(c, new))).outcome == "created"
        await post(Posting(alice, [DEPOSIT, DEPOSIT]))
    await _assert_whole(run, alice)


async def test_what_is_not_there_funds_nothing(run: Any, post: Any, alice: UUID) -> None:
    """A stake of more than is available, or without any balance, is refused and leaves no trace."""
    new = _stake(alice, UUID(int=77), "balance")
    assert (await run(lambda c: stake_creation.create_stake(c, new))).outcome == "insufficient_funds"
    less = Movement("deposit", CUSTODY, AVAILABLE, "STK", 10**19 + 6)
    await post(Posting(alice, [less]))
    assert (await run(lambda c: stake_creation.create_stake(c, new))).outcome == "insufficient_funds"
    assert await _balances(run, alice) == {"STK": (10**19 + 6, 0)}
    await post(Posting(alice, [Movement("deposit", CUSTODY, AVAILABLE, "STK", 1)]))
    assert (await run(lambda c: stake_creation.create_stake(c, new))).outcome == "created"
    assert await _balances(run, alice) == {"STK": (0, 10**19 + 7)}
    await _assert_whole(run, alice)


async def test_a_balance_never_falls_below_zero(run: Any, post: Any, alice: UUID) -> None:
    """A withdrawal of more than there is fails whole, what else was posted with it included."""
    out = Movement("withdrawal", AVAILABLE, CUSTODY, "STK", 10**20 + 1)
    bob = UUID(int=8)
    await post(Posting(alice, [DEPOSIT]))
    with pytest.raises(ValidationError) as caught:
        await post(Posting(bob, [DEPOSIT]), Posting(alice, [out]))
    assert caught.value.code == "insufficient_funds"
    assert await _balances(run, bob) == {}
    await _assert_whole(run, alice)


async def test_racers_take_their_places_one_after_the_other(
    run: Any, post: Any, alice: UUID, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """Transactions and creations of one user at once: every one has a place, and the chain holds."""
    works = [post(Posting(alice, [DEPOSIT])) for _ in range(10)]
    for _ in range(10):
        new = _stake(alice, new_id(clock, entropy), "external")
        works.append(run(lambda c, new=new: stake_creation.create_stake(c, new)))
    await asyncio.gather(*works)
    assert (await run(lambda c: ledger.get_head(c, alice))).seq == 20
    await _assert_whole(run, alice)


@pytest.mark.parametrize("statement", ["UPDATE transfers SET amount_minor = 1", "DELETE FROM transfers"])
async def test_a_transfer_can_be_neither_changed_nor_deleted(
    run: Any, post: Any, alice: UUID, statement: str, database_url: str
) -> None:
    """The database itself refuses, whoever asks."""
    await post(Posting(alice, [DEPOSIT]))
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)
    finally:
        await connection.close()
    await _assert_whole(run, alice)


async def test_each_asset_has_its_balances(run: Any, post: Any, alice: UUID) -> None:
    """What moves in one asset changes no other's balance."""
    new = UUID(int=9)
    await post(
        Posting(
            alice,
            [
                DEPOSIT,
                Movement("deposit", CUSTODY, AVAILABLE, "GLD", 5),
                Movement("stake", AVAILABLE, stake_account(new), "GLD", 3, stake_id=new),
            ],
        )
    )
    assert await _balances(run, alice) == {"STK": (10**20, 0), "GLD": (2, 3)}
    await _assert_whole(run, alice)
