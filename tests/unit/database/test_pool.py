"""The pool over a real PostgreSQL, through a proxy that can cut and stall."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from stakehold.database import pool as module
from stakehold.database.pool import Pool
from stakehold.domain.errors import DatabaseError, OverloadedError
from stakehold.domain.ports import Deadline
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.postgres_proxy import PostgresProxy

PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def make_pool(
    proxy: PostgresProxy, clock: ManualClock, entropy: SeededEntropy, counters: CountingCounters
) -> AsyncIterator[Callable[[int], Pool]]:
    """Pools behind the proxy, closed when the test ends."""
    pools: list[Pool] = []

    def make(size: int) -> Pool:
        pools.append(Pool(proxy.url, size=size, clock=clock, entropy=entropy, counters=counters))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


async def _pid(pool: Pool, deadline: Deadline) -> int:
    async with pool.connection(deadline) as connection:
        pid: int = await connection.fetchval(PID)
        return pid


async def test_the_connection_used_last_is_used_next(
    make_pool: Callable[[int], Pool], deadline: Deadline, proxy: PostgresProxy
) -> None:
    """One after the other needs one connection, and no statement besides one's own."""
    pool = make_pool(4)
    assert len({await _pid(pool, deadline) for _ in range(5)}) == 1
    assert proxy.connections == 1
    assert proxy.executed == [PID] * 5


async def test_a_pool_never_has_more_connections_than_its_size(
    make_pool: Callable[[int], Pool], deadline: Deadline, proxy: PostgresProxy
) -> None:
    """40 at once share 4 connections."""
    pool = make_pool(4)
    await asyncio.gather(*(_pid(pool, deadline) for _ in range(40)))
    assert proxy.connections == 4


async def test_old_connections_are_replaced(
    make_pool: Callable[[int], Pool], deadline: Deadline, clock: ManualClock
) -> None:
    """A connection is used until it is five minutes old, less at most a tenth, and then replaced."""
    pool = make_pool(1)
    later = Deadline.after(clock, 1e6)
    first = await _pid(pool, later)
    for _ in range(10):
        clock.advance(26.9)
        assert await _pid(pool, later) == first
    clock.advance(31.1)
    assert await _pid(pool, later) != first


async def test_connections_grow_old_at_different_times(
    make_pool: Callable[[int], Pool], clock: ManualClock
) -> None:
    """Connections made together are not all replaced together."""
    pool = make_pool(8)
    later = Deadline.after(clock, 1e6)
    gate = asyncio.Barrier(8)

    async def hold() -> int:
        async with pool.connection(later) as connection:
            await gate.wait()
            pid: int = await connection.fetchval(PID)
            return pid

    before = set(await asyncio.gather(*(hold() for _ in range(8))))
    clock.advance(285)
    after = set(await asyncio.gather(*(hold() for _ in range(8))))
    assert 0 < len(before & after) < 8


async def test_unused_connections_are_closed_when_old(
    make_pool: Callable[[int], Pool], clock: ManualClock, database_url: str
) -> None:
    """What a burst opened does not stay open for ever beneath a connection in steady use."""
    pool = make_pool(3)
    later = Deadline.after(clock, 1e6)
    await asyncio.gather(*(_pid(pool, later) for _ in range(3)))
    observer = await asyncpg.connect(database_url)
    try:
        for _ in range(12):
            clock.advance(29)
            await _pid(pool, later)
        count = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'stakehold' AND datname = current_database()"
        )
        async with asyncio.timeout(5):
            while await observer.fetchval(count) > 1:
                await asyncio.sleep(0.01)
    finally:
        await observer.close()


async def test_a_connection_is_checked_after_idling(
    make_pool: Callable[[int], Pool], clock: ManualClock, proxy: PostgresProxy
) -> None:
    """After 30 s of idling a connection is asked whether it lives before it is trusted with a statement."""
    pool = make_pool(1)
    later = Deadline.after(clock, 1e6)
    await _pid(pool, later)
    clock.advance(29.9)
    await _pid(pool, later)
    clock.advance(30)
    await _pid(pool, later)
    assert proxy.executed == [PID, PID, "SELECT 1", PID]


async def test_a_broken_connection_is_replaced(
    make_pool: Callable[[int], Pool], deadline: Deadline, proxy: PostgresProxy
) -> None:
    """Connections that were cut while idle are noticed before anything is sent on them."""
    pool = make_pool(4)
    together = asyncio.Barrier(4)

    async def hold() -> Any:
        async with pool.connection(deadline) as connection:
            await together.wait()
            return connection

    held = await asyncio.gather(*(hold() for _ in range(4)))
    proxy.cut_all()
    async with asyncio.timeout(5):
        while not all(connection.is_closed() for connection in held):
            await asyncio.sleep(0.001)
    assert len(set(await asyncio.gather(*(_pid(pool, deadline) for _ in range(8))))) <= 4


async def test_after_one_breaks_the_others_are_checked(
    make_pool: Callable[[int], Pool], deadline: Deadline, proxy: PostgresProxy
) -> None:
    """A statement whose answer never came casts doubt on the idle connections, once each."""
    pool = make_pool(2)
    await asyncio.gather(*(_pid(pool, deadline) for _ in range(2)))
    proxy.executed.clear()
    with contextlib.suppress(TimeoutError):
        async with pool.connection(deadline):
            raise TimeoutError
    deadline.clock.advance(0.001)  # type: ignore[attr-defined]
    await _pid(pool, deadline)
    await _pid(pool, deadline)
    assert proxy.executed == ["SELECT 1", PID, PID]


async def test_half_open_connections_are_found_out(
    make_pool: Callable[[int], Pool], clock: ManualClock, proxy: PostgresProxy, counters: CountingCounters
) -> None:
    """When the network swallows everything, one failed check condemns the idle connections, all at once."""
    pool = make_pool(4)
    later = Deadline.after(clock, 1e6)
    await asyncio.gather(*(_pid(pool, later) for _ in range(4)))
    clock.advance(31)
    proxy.stall()
    with pytest.raises(DatabaseError):
        await _pid(pool, later)  # One check and one attempt to connect: three seconds.
    assert counters.counts["sql_pool_checks_failed"] == 1
    assert counters.counts["sql_disconnects"] == 4
    proxy.resume()
    assert await _pid(pool, later)


async def test_a_statement_that_times_out_ends(make_pool: Callable[[int], Pool], deadline: Deadline) -> None:
    """The server ends a statement after 3 s; its connection is not used again, its slot is."""
    pool = make_pool(1)
    pid = await _pid(pool, deadline)

    async def sleep() -> None:
        async with pool.connection(deadline) as connection:
            await connection.fetchval("SELECT pg_sleep(10)")

    with pytest.raises(asyncpg.QueryCanceledError):
        await sleep()
    assert await _pid(pool, deadline) != pid


async def test_a_transaction_left_open_ends_with_its_connection(
    make_pool: Callable[[int], Pool], deadline: Deadline
) -> None:
    """Whoever forgets a transaction does not leave it to the next user."""
    pool = make_pool(1)
    async with pool.connection(deadline) as connection:
        await connection.execute("BEGIN")
        pid = await connection.fetchval(PID)
    assert await _pid(pool, deadline) != pid


async def test_waiting_for_a_connection_ends(
    make_pool: Callable[[int], Pool], deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits longer than the bound for a connection is told that we are overloaded."""
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    pool = make_pool(1)
    async with pool.connection(deadline):
        with pytest.raises(OverloadedError):
            await _pid(pool, deadline)
    assert await _pid(pool, deadline)


async def test_only_so_many_may_wait(make_pool: Callable[[int], Pool], deadline: Deadline) -> None:
    """With 32 waiting for one connection the next is refused at once; the 32 are served."""
    pool = make_pool(1)
    async with pool.connection(deadline):
        waiting = [asyncio.create_task(_pid(pool, deadline)) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await _pid(pool, deadline)
    assert len(set(await asyncio.gather(*waiting))) == 1


async def test_no_time_left_means_no_waiting(make_pool: Callable[[int], Pool], clock: ManualClock) -> None:
    """Past the deadline nobody waits, connects or sends."""
    pool = make_pool(1)
    late = Deadline.after(clock, 0)
    async with asyncio.timeout(1):
        with pytest.raises((OverloadedError, DatabaseError)):
            await _pid(pool, late)


async def test_a_closed_pool_refuses(
    make_pool: Callable[[int], Pool], deadline: Deadline, database_url: str
) -> None:
    """After closing there are no connections, also not the one that was in use at the time."""
    pool = make_pool(2)
    await pool.ping(deadline)
    async with pool.connection(deadline) as connection:
        await pool.close()
        assert await connection.fetchval("SELECT 1") == 1
    assert connection.is_closed()  # type: ignore[attr-defined]
    with pytest.raises(DatabaseError):
        await pool.ping(deadline)


async def test_cancelled_users_lose_nothing(
    make_pool: Callable[[int], Pool], deadline: Deadline, entropy: SeededEntropy, proxy: PostgresProxy
) -> None:
    """300 users cancelled at random moments (waiting, connecting, in a statement) leak no slot.

    Afterwards as many as the pool has slots can hold a connection at the same time.
    """
    chance = random.Random(entropy.seed)
    size = 3
    pool = make_pool(size)

    async def use() -> None:
        async with pool.connection(deadline) as connection:
            await connection.fetchval("SELECT pg_sleep($1::FLOAT8)", chance.random() * 0.01)

    async def use_and_cancel() -> None:
        task = asyncio.create_task(use())
        await asyncio.wait({task}, timeout=chance.random() * 0.03)
        task.cancel()
        # A connection may be cut while a statement of the next fifty is in it.
        with contextlib.suppress(asyncio.CancelledError, OverloadedError, asyncpg.PostgresConnectionError):
            await task

    for _ in range(6):
        await asyncio.gather(*(use_and_cancel() for _ in range(50)))
        if chance.random() < 0.3:
            proxy.cut_all()
    await asyncio.sleep(0.01)
    all_hold_one = asyncio.Barrier(size)

    async def hold() -> None:
        async with pool.connection(deadline) as connection:
            async with asyncio.timeout(5):
                await all_hold_one.wait()
            await connection.fetchval("SELECT 1")

    await asyncio.gather(*(hold() for _ in range(size)))
