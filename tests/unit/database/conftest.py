"""A pool on a fresh, migrated database, and people in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import pytest

from stakehold.database import transactions, users
from stakehold.database.pool import Pool
from stakehold.database.port import Connection
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

T = TypeVar("T")
Run = Callable[[Callable[[Connection], Awaitable[T]]], Awaitable[T]]


@pytest.fixture
async def pool(
    database_url: str, clock: ManualClock, entropy: SeededEntropy, counters: CountingCounters
) -> AsyncIterator[Pool]:
    pool = Pool(database_url, size=10, clock=clock, entropy=entropy, counters=counters)
    yield pool
    await pool.close()


@pytest.fixture
def deadline(clock: ManualClock) -> Deadline:
    return Deadline.after(clock, 8.0)


@pytest.fixture
def run(
    pool: Pool, deadline: Deadline, entropy: SeededEntropy, counters: CountingCounters
) -> Callable[..., Awaitable[Any]]:
    """`transactions.run` on the pool, re-running what is safe to run again."""

    async def run(work: Callable[[Connection], Awaitable[T]], *, idempotent: bool = True) -> T:
        return await transactions.run(
            pool, work, deadline=deadline, counters=counters, entropy=entropy, idempotent=idempotent
        )

    return run


@pytest.fixture
def make_user(run: Any, clock: ManualClock, entropy: SeededEntropy) -> Callable[[str], Awaitable[UUID]]:
    """Make an active user, whose epoch is 1."""

    async def make(name: str) -> UUID:
        user_id = new_id(clock, entropy)
        assert await run(lambda connection: users.insert_user(connection, user_id, name, "hash-of-" + name))
        return user_id

    return make
