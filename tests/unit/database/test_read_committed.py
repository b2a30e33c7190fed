"""Racers on a database whose default is READ COMMITTED, as an operator may have left it.

There a statement waits for the first racer and then cannot see what that one committed, where SERIALIZABLE
says 40001. The answer is the same: it is run again, and finds it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import stake_creation, users
from stakehold.database.idempotency import Idempotency
from stakehold.database.port import Connection
from stakehold.database.stake_creation import Creation, NewStake, PlanChoice
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ids import new_id
from tests.support.cockroach import COCKROACH_URL
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

CHOICE = PlanChoice("STK", 8, 12)
pytestmark = pytest.mark.skipif(bool(COCKROACH_URL), reason="waits for PostgreSQL's locks, by their names")

Work = Callable[[Connection], Awaitable[Any]]


@pytest.fixture(autouse=True)
async def read_committed(database_url: str) -> None:
    """Before anybody connects."""
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'read committed'")
    await connection.close()


@dataclass
class Race:
    """Two on the same thing: the work of each, what the second comes to, and what it hears out of time."""

    first: Work
    second: Work
    outcome: object
    otherwise: str


Races = Callable[[str], Awaitable[Race]]


@pytest.fixture
def races(make_user: Callable[[str], Awaitable[UUID]], clock: ManualClock, entropy: SeededEntropy) -> Races:
    async def prepare(kind: str) -> Race:
        if kind == "username":
            one, two = new_id(clock, entropy), new_id(clock, entropy)
            return Race(
                lambda c: users.insert_user(c, one, "maria", "x"),
                lambda c: users.insert_user(c, two, "maria", "x"),
                False,
                "username_taken",
            )
        alice = await make_user("alice")
        key = Idempotency("key-1", "POST /api/stake", b"body-1") if kind == "key" else None
        new = NewStake(alice, new_id(clock, entropy), UUID(int=1), 1, 5, CHOICE, idempotency=key)
        if key is None:
            # The same attempt twice: its answer was lost, and it is still at work.
            create: Work = lambda c: stake_creation.create_stake(c, new)  # noqa: E731 - beside the other
            return Race(create, create, Creation("created", new.id, 1, 0, 1), "outcome_unknown")
        other = NewStake(alice, new_id(clock, entropy), UUID(int=1), 1, 5, CHOICE, idempotency=key)
        return Race(
            lambda c: stake_creation.create_stake(c, new),
            lambda c: stake_creation.create_stake(c, other),
            Creation("replayed", new.id, 1, 0, 1),
            "idempotency_in_flight",
        )

    return prepare


async def _waits(watcher: Any) -> None:
    """Until somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity a"
            " WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.005)


async def _race(database_url: str, race: Race, run: Any, second: Work) -> Any:
    """What the second comes to, when the first commits only after the second has begun to wait for it."""
    holder, watcher = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        transaction = holder.transaction()
        await transaction.start()
        await race.first(holder)
        waiting = asyncio.create_task(run(second))
        await _waits(watcher)
        await transaction.commit()
        async with asyncio.timeout(10):
            return await waiting
    finally:
        await holder.close()
        await watcher.close()


each_race = pytest.mark.parametrize("kind", ["username", "key", "lost answer"])


@each_race
async def test_who_cannot_see_the_first_yet_is_run_again(
    kind: str, races: Races, run: Any, database_url: str, counters: CountingCounters
) -> None:
    """The second racer runs once more, and then finds what the first made: nothing is made twice."""
    race = await races(kind)
    assert await _race(database_url, race, run, race.second) == race.outcome
    assert counters.counts["sql_conflicts"] == 1


@each_race
async def test_who_has_no_time_to_run_again_is_told_what_is_known(
    kind: str, races: Races, run: Any, database_url: str, clock: ManualClock
) -> None:
    """The answer is never that it was made, nor that it certainly was not."""
    race = await races(kind)

    async def late(connection: Connection) -> Any:
        clock.advance(6.0)
        return await race.second(connection)

    with pytest.raises(StakeholdError) as caught:
        await _race(database_url, race, run, late)
    assert caught.value.code == race.otherwise
