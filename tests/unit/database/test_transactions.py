"""Real failures of a real PostgreSQL: conflicts, deadlocks, and answers cut off on their way back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import stake_creation, transactions
from stakehold.database.idempotency import Idempotency
from stakehold.database.pool import Pool
from stakehold.database.port import Connection
from stakehold.database.stake_creation import Creation, NewStake, PlanChoice
from stakehold.domain.errors import DatabaseError, OverloadedError
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.postgres_proxy import PostgresProxy

CHOICE = PlanChoice("STK", 8, 1)
KEY = Idempotency("key-1", "POST /api/stake", b"body-1")


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
def cut_run(
    proxy: PostgresProxy,
    clock: ManualClock,
    entropy: SeededEntropy,
    counters: CountingCounters,
    deadline: Deadline,
) -> Callable[..., Awaitable[Any]]:
    """`transactions.run` on a pool behind the proxy."""
    pool = Pool(proxy.url, size=4, clock=clock, entropy=entropy, counters=counters)

    async def run(work: Callable[[Connection], Awaitable[Any]], *, idempotent: bool) -> Any:
        return await transactions.run(
            pool, work, deadline=deadline, counters=counters, entropy=entropy, idempotent=idempotent
        )

    return run


async def test_concurrent_read_modify_writes_lose_nothing(run: Any, counters: CountingCounters) -> None:
    """Serializable transactions that each read a number and write it plus one: every one of them counts.

    At SERIALIZABLE most of them fail with 40001 first; run again whole, they all succeed.
    """
    await run(lambda c: c.execute("CREATE TABLE tally (id INT8 PRIMARY KEY, n INT8 NOT NULL)"))
    await run(lambda c: c.execute("INSERT INTO tally VALUES (1, 0)"))

    async def add_one(connection: Connection) -> None:
        async with connection.transaction():
            n = await connection.fetchval("SELECT t.n FROM tally t WHERE t.id = 1")
            await connection.execute("UPDATE tally SET n = $1::INT8 WHERE id = 1", n + 1)

    await asyncio.gather(*(run(add_one, idempotent=False) for _ in range(6)))
    assert await run(lambda c: c.fetchval("SELECT n FROM tally")) == 6
    assert counters.counts["sql_conflicts"] > 0


async def test_write_skew_is_prevented_and_run_again(run: Any, counters: CountingCounters) -> None:
    """Two that each read both rows and change one cannot both act on what they saw: one re-reads."""
    await run(lambda c: c.execute("CREATE TABLE duty (id INT8 PRIMARY KEY, here BOOL NOT NULL)"))
    await run(lambda c: c.execute("INSERT INTO duty VALUES (1, true), (2, true)"))
    read = asyncio.Barrier(2)

    async def leave(connection: Connection, who: int, first_try: list[bool]) -> None:
        async with connection.transaction():
            here = await connection.fetchval("SELECT count(*) FROM duty d WHERE d.here")
            if first_try.pop():
                await read.wait()
            if here > 1:
                await connection.execute("UPDATE duty SET here = false WHERE id = $1::INT8", who)

    tries = {1: [False, True], 2: [False, True]}
    await asyncio.gather(*(run(lambda c, w=who: leave(c, w, tries[w]), idempotent=False) for who in (1, 2)))
    assert await run(lambda c: c.fetchval("SELECT count(*) FROM duty d WHERE d.here")) == 1
    assert counters.counts["sql_conflicts"] == 1


async def test_a_deadlock_is_run_again(run: Any, counters: CountingCounters) -> None:
    """Two that lock two rows in opposite orders: PostgreSQL ends one (40P01), which then succeeds."""
    await run(lambda c: c.execute("CREATE TABLE pair (id INT8 PRIMARY KEY, n INT8 NOT NULL)"))
    await run(lambda c: c.execute("INSERT INTO pair VALUES (1, 0), (2, 0)"))
    both_hold_one = asyncio.Barrier(2)
    codes: list[str] = []

    async def add(connection: Connection, order: tuple[int, int], first_try: list[bool]) -> None:
        async with connection.transaction():
            await connection.execute("SET LOCAL transaction_isolation = 'read committed'")
            await connection.execute("UPDATE pair SET n = n + 1 WHERE id = $1::INT8", order[0])
            if first_try.pop():
                await both_hold_one.wait()
            try:
                await connection.execute("UPDATE pair SET n = n + 1 WHERE id = $1::INT8", order[1])
            except asyncpg.PostgresError as error:
                codes.append(error.sqlstate)
                raise

    orders = {(1, 2): [False, True], (2, 1): [False, True]}
    await asyncio.gather(
        *(run(lambda c, o=order: add(c, o, orders[o]), idempotent=False) for order in orders)
    )
    assert codes == ["40P01"]
    assert [row["n"] for row in await run(lambda c: c.fetch("SELECT n FROM pair"))] == [2, 2]


async def test_conflicts_without_end_end(run: Any, counters: CountingCounters) -> None:
    """Work that conflicts every time is tried a bounded number of times, then 503 with nothing done."""

    async def always_conflicts(connection: Connection) -> None:
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    with pytest.raises(DatabaseError) as caught:
        await run(always_conflicts, idempotent=False)
    assert (caught.value.code, caught.value.retry_after_s) == ("database_unavailable", 1)
    assert counters.counts["sql_conflicts"] == transactions.ATTEMPTS_MAX


async def test_a_changed_table_under_a_prepared_statement(run: Any, counters: CountingCounters) -> None:
    """A migration while we run does not break transactions with statements prepared before it."""

    async def read(connection: Connection) -> object:
        async with connection.transaction():
            return await connection.fetchval("SELECT p.id FROM plans p ORDER BY p.id LIMIT 1")

    assert await run(read) == "STK-12M"
    await run(lambda c: c.execute("ALTER TABLE plans ALTER COLUMN id TYPE VARCHAR(64)"))
    assert await run(read, idempotent=False) == "STK-12M"
    assert counters.counts["sql_conflicts"] == 1


async def test_a_lost_answer_to_a_creation(
    cut_run: Any, run: Any, make_user: Any, proxy: PostgresProxy, counters: CountingCounters,
    clock: ManualClock, entropy: SeededEntropy,
) -> None:  # fmt: skip
    """PostgreSQL commits and the answer is cut: the stake is found by its id, not made again.

    Twice in a row, without a key and with one.
    """
    alice = await make_user("alice")
    for key in (None, KEY):
        new = NewStake(alice, new_id(clock, entropy), UUID(int=1), 1, 5, CHOICE, idempotency=key)
        proxy.cut_answers(2, "INTO stakes")
        made = await cut_run(lambda c, n=new: stake_creation.create_stake(c, n), idempotent=True)
        assert made == Creation("created", new.id, 1, 0, 1)
        assert await run(lambda c, n=new: _count(c, n.id)) == 1
    assert counters.counts["sql_unknown_outcomes"] == 4


async def _count(connection: Connection, stake_id: UUID) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM stakes s WHERE s.id = $1::UUID", stake_id)
    return count


async def test_a_request_cut_before_the_database_is_the_same(
    cut_run: Any, run: Any, make_user: Any, proxy: PostgresProxy, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """From here it cannot be told apart from a lost answer; run again, the stake is made once."""
    new = NewStake(await make_user("alice"), new_id(clock, entropy), UUID(int=1), 1, 5, CHOICE)
    proxy.cut_requests(1)
    assert (
        await cut_run(lambda c: stake_creation.create_stake(c, new), idempotent=True)
    ).outcome == "created"
    assert await run(lambda c: _count(c, new.id)) == 1


async def test_an_unknown_outcome_is_said_to_be_unknown(
    cut_run: Any, run: Any, proxy: PostgresProxy, counters: CountingCounters
) -> None:
    """What may not be run twice is not: the caller hears that its outcome is unknown."""
    await run(lambda c: c.execute("CREATE TABLE log (n INT8)"))
    proxy.cut_answers(1)
    with pytest.raises(DatabaseError) as caught:
        await cut_run(lambda c: c.execute("INSERT INTO log VALUES (1)"), idempotent=False)
    assert (caught.value.code, caught.value.retry_after_s) == ("outcome_unknown", 1)
    assert await run(lambda c: c.fetchval("SELECT count(*) FROM log")) == 1


async def test_a_commit_whose_answer_is_lost_is_unknown(cut_run: Any, run: Any, proxy: PostgresProxy) -> None:
    """The COMMIT of a transaction of several statements may have gone through, and is not called undone."""
    await run(lambda c: c.execute("CREATE TABLE log (n INT8)"))

    async def insert_then_lose_the_commit(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("INSERT INTO log VALUES (1)")
            proxy.cut_answers(1)

    with pytest.raises(DatabaseError) as caught:
        await cut_run(insert_then_lose_the_commit, idempotent=False)
    assert caught.value.code == "outcome_unknown"
    assert await run(lambda c: c.fetchval("SELECT count(*) FROM log")) == 1


async def test_unknown_stays_unknown_when_the_re_run_fails(
    cut_run: Any, run: Any, make_user: Any, proxy: PostgresProxy, clock: ManualClock, entropy: SeededEntropy,
    deadline: Deadline,
) -> None:  # fmt: skip
    """After a lost answer, running out of time does not turn the outcome into `nothing was done`."""
    new = NewStake(await make_user("alice"), new_id(clock, entropy), UUID(int=1), 1, 5, CHOICE)

    async def create_late(connection: Connection) -> Creation:
        proxy.cut_answers(1)
        clock.advance(6.0)
        return await stake_creation.create_stake(connection, new)

    with pytest.raises(DatabaseError) as caught:
        await cut_run(create_late, idempotent=True)
    assert caught.value.code == "outcome_unknown"
    clock.advance(-6.0)
    assert await run(lambda c: _count(c, new.id)) == 1


async def test_no_statement_starts_too_late(run: Any, clock: ManualClock) -> None:
    """With less time left than a statement may take, nothing is sent."""
    clock.advance(5.5)
    started = False

    async def work(connection: Connection) -> None:
        nonlocal started
        started = True

    with pytest.raises(OverloadedError):
        await run(work)
    assert not started


async def test_violated_constraints_pass_through(run: Any) -> None:
    """They are answers, not failures: the caller knows what they mean, by the constraint's name."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await run(
            lambda c: c.execute(
                "INSERT INTO balances (user_id, asset, available_minor, staked_minor)"
                " VALUES (gen_random_uuid(), 'STK', -1, 0)"
            )
        )
    assert caught.value.constraint_name == "balances_available_not_negative"


async def test_nothing_internal_is_told(run: Any, counters: CountingCounters) -> None:
    """A statement the database refuses becomes a 503 that names no table; it is not tried again."""
    with pytest.raises(DatabaseError) as caught:
        await run(lambda c: c.execute("SELECT secret FROM nowhere"))
    assert caught.value.detail == "The database is unavailable."
    assert caught.value.code == "database_unavailable"
    assert counters.counts["sql_refused"] == 1


async def test_a_statement_that_the_server_ends_is_not_run_again(
    run: Any, counters: CountingCounters
) -> None:
    """What took too long once would again: the server undid it, and the caller hears so at once."""

    async def too_long(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 20")
            await connection.execute("SELECT pg_sleep(5)")

    with pytest.raises(DatabaseError) as caught:
        await run(too_long)
    assert caught.value.code == "database_unavailable"
    assert counters.counts["sql_refused"] == 1


async def test_a_verdict_of_the_work_itself_passes_through(run: Any, counters: CountingCounters) -> None:
    """A DatabaseError that the work raises is its answer, not the lack of a connection: it runs once."""
    runs = 0

    async def verdict(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        raise DatabaseError("Mine.", code="outcome_unknown")

    with pytest.raises(DatabaseError, match="Mine"):
        await run(verdict)
    assert runs == 1
    assert not counters.counts.get("sql_no_connection")


async def test_no_connection_in_time_is_nothing_done(
    cut_run: Any, proxy: PostgresProxy, counters: CountingCounters, clock: ManualClock, deadline: Deadline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Time that runs out while a connection is being made leaves nothing unknown: nothing was sent."""
    monkeypatch.setattr(transactions, "STATEMENT_TIMEOUT_S", 0.01)
    clock.advance(deadline.left_s() - 0.02)
    proxy.stall()
    with pytest.raises(DatabaseError) as caught:
        await cut_run(lambda c: c.execute("SELECT 1"), idempotent=False)
    assert (caught.value.code, caught.value.retry_after_s) == ("database_unavailable", 1)
    assert counters.counts["sql_no_connection"] == transactions.ATTEMPTS_MAX


async def test_errors_of_the_work_itself_pass_through(run: Any) -> None:
    """A mistake in Python is not mistaken for the database's."""

    async def wrong(connection: Connection) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await run(wrong)


async def test_cancelling_leaves_the_pool_whole(run: Any, pool: Pool, deadline: Deadline) -> None:
    """A client that goes away in the middle of a statement costs the pool a connection, not a slot."""
    for _ in range(12):
        task = asyncio.create_task(run(lambda c: c.fetchval("SELECT pg_sleep(2)")))
        await asyncio.wait({task}, timeout=0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(*(run(lambda c: c.fetchval("SELECT 1")) for _ in range(10)))
