"""What becomes of stakes, written many at a time, on a real database."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import stake_changes, stake_creation, stakes
from stakehold.database.port import Connection
from stakehold.database.stake_changes import StakeChange
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.errors import ConflictError
from stakehold.domain.ids import new_id
from stakehold.domain.stakes import Stake
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock, SeededEntropy

NOW_MS = 1_900_000_000_123


@pytest.fixture
async def made(
    database_clock: DatabaseClock,
    make_user: Callable[[str], Awaitable[UUID]],
    run: Any,
    clock: ManualClock,
    entropy: SeededEntropy,
) -> list[Stake]:
    """A stake of alice's and two of bob's, in the order that locks take them."""
    await database_clock.set(NOW_MS)
    people = [await make_user("alice"), await make_user("bob")]
    for person in (people[1], people[0], people[1]):
        new = NewStake(person, new_id(clock, entropy), UUID(int=1), 1, 10**38 - 1, PlanChoice("STK", 8, 12))
        assert (await run(lambda c, new=new: stake_creation.create_stake(c, new))).outcome == "created"
        clock.advance(1)
    return [stake for person in people for stake in (await _all(run, person))[::-1]]


async def _all(run: Any, user_id: UUID) -> list[Stake]:
    found: list[Stake] = await run(lambda c: stakes.list_page(c, user_id, 0, 10))
    return found


def _in_transaction(work: Callable[[Connection], Awaitable[Any]]) -> Callable[[Connection], Awaitable[Any]]:
    async def whole(connection: Connection) -> Any:
        async with connection.transaction():
            return await work(connection)

    return whole


async def test_stakes_are_locked_in_one_order(run: Any, made: list[Stake]) -> None:
    """By user and id, whatever order they are asked for in; one that is not there is left out."""
    keys = [(stake.user_id, stake.id) for stake in made[::-1]] + [(UUID(int=3), UUID(int=4))]
    found = await run(_in_transaction(lambda c: stake_changes.lock_stakes(c, keys)))
    assert found == sorted(made, key=lambda stake: (stake.user_id, stake.id))


async def test_changes_are_written_each_to_its_own(run: Any, made: list[Stake]) -> None:
    """What has an end ends at the database's time and is due no more; what goes on is due when it says."""
    changes = [
        StakeChange(made[0], "paid_out", reward_minor=10**45 + 7),
        StakeChange(
            made[1],
            "unstaking",
            due_at_ms=NOW_MS + 5_001,
            reward_minor=0,
            forfeited_minor=12,
            exited_on=date(2030, 3, 17),
        ),
    ]
    await run(_in_transaction(lambda c: stake_changes.write_changes(c, changes)))
    [alices] = await _all(run, made[0].user_id)
    untouched, bobs = await _all(run, made[1].user_id)
    assert alices == replace(
        made[0], state="paid_out", due_at_ms=None, ended_at_ms=NOW_MS, reward_minor=10**45 + 7
    )
    assert bobs == replace(
        made[1],
        state="unstaking",
        due_at_ms=NOW_MS + 5_001,
        reward_minor=0,
        forfeited_minor=12,
        exited_on=date(2030, 3, 17),
    )
    assert untouched == made[2]


async def test_a_renewal_is_a_stake_that_knows_where_it_comes_from(run: Any, made: list[Stake]) -> None:
    """It is read back as it was given, made at the database's time."""
    renewal = replace(
        made[0],
        id=UUID(int=made[0].id.int + 1),
        amount_minor=5,
        value_date=date(2031, 1, 31),
        maturity_date=date(2032, 1, 31),
        origin_months=24,
        maturity_instruction="renew_all",
        due_at_ms=NOW_MS + 9_999,
        renewed_from=made[0].id,
    )
    await run(_in_transaction(lambda c: stake_changes.insert_renewals(c, [renewal])))
    assert await _all(run, made[0].user_id) == [renewal, made[0]]


async def test_usage_follows_where_it_is_kept(run: Any, made: list[Stake]) -> None:
    """Of a plan with a capacity, and of a user with a cap; a change beyond either is refused by its name."""
    alice, bob = made[0].user_id, made[1].user_id
    await run(lambda c: c.execute("INSERT INTO plan_usage VALUES ('STK-12M', 50, 100)"))
    await run(lambda c: c.execute("INSERT INTO plan_user_usage VALUES ($1, 'STK-12M', 10, 20)", alice))
    changes = {(alice, "STK-12M"): 10, (bob, "STK-12M"): -30, (bob, "STK-1M"): 99}
    await run(_in_transaction(lambda c: stake_changes.change_usage(c, changes)))
    assert await run(lambda c: c.fetchval("SELECT staked_minor FROM plan_usage")) == 30
    assert await run(lambda c: c.fetchval("SELECT staked_minor FROM plan_user_usage")) == 20
    for user, change, code in ((alice, 1, "user_cap_exceeded"), (bob, 71, "capacity_exceeded")):
        beyond = {(user, "STK-12M"): change}
        with pytest.raises(ConflictError) as refused:
            await run(_in_transaction(lambda c, beyond=beyond: stake_changes.change_usage(c, beyond)))
        assert refused.value.code == code
    below = {(bob, "STK-12M"): -31}
    with pytest.raises(asyncpg.CheckViolationError) as wrong:
        await run(_in_transaction(lambda c: stake_changes.change_usage(c, below)))
    assert wrong.value.constraint_name == "plan_usage_not_negative"
