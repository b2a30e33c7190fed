"""PostgreSQL is killed, stopped and started under load; the pool comes through it without being told."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from stakehold.database import stake_creation, transactions, users
from stakehold.database.migrate import migrate
from stakehold.database.pool import Pool
from stakehold.database.stake_creation import NewStake, PlanChoice
from stakehold.domain.errors import DatabaseError, OverloadedError
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.runtime.embedded import EmbeddedPostgres
from tests.support.fakes import CountingCounters, SeededEntropy

CHOICE = PlanChoice("STK", 8, 1)
DEADLINE_S = 8.0
WRITERS = 12


class RealClock:
    """The machine's clocks: this test is about real time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that this test alone may harm."""
    server = EmbeddedPostgres(tmp_path, announce=lambda _: None)
    server.start()
    yield server
    _signal(server, signal.SIGCONT)
    server.stop()


def _signal(server: EmbeddedPostgres, number: signal.Signals) -> None:
    """Signal PostgreSQL and every process of its own."""
    assert server.process is not None
    pid = server.process.pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for process in (pid, *map(int, children)):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


class Load:
    """Writers that make stakes one after the other, and remember what they were told of each."""

    def __init__(self, pool: Pool, user_id: UUID, entropy: SeededEntropy) -> None:
        self.pool = pool
        self.user_id = user_id
        self.entropy = entropy
        self.counters = CountingCounters()
        self.clock = RealClock()
        self.made: list[UUID] = []
        self.refused: list[UUID] = []
        self.hints: set[int | None] = set()
        self.slowest_s = 0.0
        self.stopping = False

    async def write(self) -> None:
        while not self.stopping:
            new = NewStake(self.user_id, new_id(self.clock, self.entropy), UUID(int=1), 1, 7, CHOICE)
            started_s = time.monotonic()
            try:
                await self._create(new)
                self.made.append(new.id)
            except (DatabaseError, OverloadedError) as error:
                self.hints.add(error.retry_after_s)
                if error.code != "outcome_unknown":
                    self.refused.append(new.id)
                await asyncio.sleep(0.05)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)

    async def _create(self, new: NewStake) -> None:
        creation = await transactions.run(
            self.pool,
            lambda connection: stake_creation.create_stake(connection, new),
            deadline=Deadline.after(self.clock, DEADLINE_S),
            counters=self.counters,
            entropy=self.entropy,
            idempotent=True,
        )
        assert creation.outcome == "created"

    async def until_made_again(self, timeout_s: float) -> None:
        """Wait until every writer has had time to be served anew."""
        count = len(self.made) + 5 * WRITERS
        async with asyncio.timeout(timeout_s):
            while len(self.made) < count:
                await asyncio.sleep(0.01)


async def _kill_and_start(server: EmbeddedPostgres) -> None:
    server.kill()
    await asyncio.sleep(0.5)  # An outage of some length; nothing waits for it.
    await asyncio.to_thread(server.start)


async def _stop_and_continue(server: EmbeddedPostgres) -> None:
    _signal(server, signal.SIGSTOP)
    await asyncio.sleep(5.0)  # Longer than a statement's timeout.
    _signal(server, signal.SIGCONT)


@pytest.mark.parametrize("harm", [_kill_and_start, _stop_and_continue], ids=["kill -9", "SIGSTOP"])
async def test_the_pool_outlives_its_database(
    own_postgres: EmbeddedPostgres, entropy: SeededEntropy, harm: Callable[[EmbeddedPostgres], object]
) -> None:
    """PostgreSQL is away for a while: nobody waits beyond the deadline, and all is well soon after.

    Every acknowledged stake is there once; every stake called not made is not there.
    """
    clock, counters = RealClock(), CountingCounters()
    await migrate(own_postgres.url, clock=clock, entropy=entropy)
    pool = Pool(own_postgres.url, size=6, clock=clock, entropy=entropy, counters=counters)
    user_id = new_id(clock, entropy)
    deadline = Deadline.after(clock, DEADLINE_S)
    async with pool.connection(deadline) as connection:
        await users.insert_user(connection, user_id, "alice", "x")
    load = Load(pool, user_id, entropy)
    writers = [asyncio.create_task(load.write()) for _ in range(WRITERS)]
    try:
        await load.until_made_again(10)
        await harm(own_postgres)  # type: ignore[misc]
        await load.until_made_again(10)
    finally:
        load.stopping = True
        await asyncio.gather(*writers)
    assert load.slowest_s < DEADLINE_S + 1
    assert load.hints <= {1}
    async with pool.connection(Deadline.after(clock, DEADLINE_S)) as connection:
        rows = await connection.fetch("SELECT s.id FROM stakes s")
    await pool.close()
    there = [row["id"] for row in rows]
    assert set(load.made) <= set(there)
    assert not set(load.refused) & set(there)
    print(len(load.made), len(load.refused), load.slowest_s, load.counters.counts, counters.counts)
