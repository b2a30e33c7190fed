"""Redis lost, wiped and found again: what is decided without it, and what is put right."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest

from stakehold.domain.accounts import UserState
from stakehold.gate import AccountRead, FillTicket, LimitedError, NoFlights, PageRead, Policy
from stakehold.redis.resp import RespRedis
from stakehold.runtime.embedded import EmbeddedValkey
from tests.unit.gate.conftest import ACTIVE, PAGE, SESSION, USER, Process, Start, a_page

TEN = Policy("auth", 10)


async def _admitted(process: Process, tries: int, *limits: Policy) -> int:
    outcomes = await asyncio.gather(*[process.enter(*limits) for _ in range(tries)], return_exceptions=True)
    for outcome in outcomes:
        assert not isinstance(outcome, BaseException) or isinstance(outcome, LimitedError), outcome
    return sum(not isinstance(outcome, BaseException) for outcome in outcomes)


async def test_one_failed_trip_and_then_nobody_waits(start: Start) -> None:
    """After a failed trip, requests are decided locally at once, and one probe alone asks Redis."""
    process = await start()
    process.wire.away = True
    first = await process.enter(TEN, page=PAGE)
    assert (first.redis, first.page) == (False, PageRead("down"))
    assert first.account is not None
    assert first.account.state is None
    assert process.gate.state == "down"
    probing = process.tasks.started
    scripts = len(process.wire.scripts)
    for _ in range(5):
        assert not (await process.enter(TEN)).redis
    assert process.tasks.started == probing == 1
    assert len([s for s in process.wire.scripts[scripts:] if "Enter" in s.source]) == 0
    await process.come_back()
    assert (await process.enter(TEN)).redis
    assert (process.count("redis_losses"), process.count("redis_returns")) == (1, 1)


async def test_a_probe_that_was_refused_is_started_by_a_later_request(start: Start) -> None:
    """Redis is lost while too much work is behind answers already: it is found again all the same."""
    process = await start()
    process.wire.away = process.tasks.full = True
    assert not (await process.enter()).redis
    assert process.tasks.started == 0
    process.tasks.full = False
    assert not (await process.enter()).redis
    await process.come_back()
    assert (await process.enter()).redis


async def test_a_connection_lost_between_requests_is_a_loss(start: Start) -> None:
    """A reconnection that no request noticed still counts: Redis may have forgotten in between."""
    process = await start()
    await process.fill(b"old")
    process.wire.losses += 1
    assert process.gate.state == "down"
    assert not (await process.enter(page=PAGE)).redis
    await process.come_back()
    assert await process.read() is None


async def test_a_page_that_comes_over_a_new_connection_is_not_taken(start: Start) -> None:
    """When the connection changed during a trip, its answer may come from a Redis that forgot.

    The limits that it charged are charged all the same, and once.
    """
    process = await start()
    await process.fill(b"old")
    await process.gate.fill_account(await _account_ticket(process), ACTIVE)
    process.wire.hold = asyncio.Event()
    reading = asyncio.create_task(process.enter(TEN, page=PAGE))
    await process.until_it_asks("Enter:")
    process.wire.losses += 1
    process.wire.hold.set()
    entered = await reading
    assert (entered.page, entered.account) == (PageRead("bypass"), AccountRead(None))
    assert (entered.redis, entered.limits[0].remaining) == (True, 9)
    assert process.gate.state == "down"
    await process.come_back()
    assert await process.read() is None
    assert (await process.enter(TEN)).limits[0].remaining == 8


async def _account_ticket(process: Process) -> FillTicket:
    account = (await process.enter()).account
    assert account is not None
    assert account.fill is not None
    return account.fill


async def test_a_session_refused_over_a_new_connection_is_not_refused(start: Start) -> None:
    """That too is said from an entry: the database decides."""
    process = await start()
    ended = UserState("active", 0, frozenset({SESSION}))
    await process.gate.fill_account(await _account_ticket(process), ended)
    process.wire.hold = asyncio.Event()
    reading = asyncio.create_task(process.enter())
    await process.until_it_asks("Enter:")
    process.wire.losses += 1
    process.wire.hold.set()
    assert (await reading).account == AccountRead(None)
    await process.come_back()


async def test_a_limit_refused_over_a_new_connection_is_refused(start: Start) -> None:
    """A Redis that forgot charges has none too many."""
    process = await start()
    await _admitted(process, 10, TEN)
    process.wire.hold = asyncio.Event()
    entering = asyncio.create_task(process.enter(TEN))
    await process.until_it_asks("Enter:")
    process.wire.losses += 1
    process.wire.hold.set()
    with pytest.raises(LimitedError):
        await entering


@pytest.mark.parametrize("when", ["entering", "leaving"])
async def test_a_fence_is_not_given_up_when_the_call_of_another_fails(
    start: Start, redis: RespRedis, when: str
) -> None:
    """Over HTTP each call stands for itself: who got a reply has its mark, or is rid of it.

    What others cached of the user is dropped in any case.
    """
    process, other = await start(started=False, serverless=True), await start()
    await process.enter()
    marks = f"sh0:{{u:{USER}}}:stakes:marks"

    async def disturbed(work: Awaitable[Any], asks: str) -> Any:
        process.wire.hold = asyncio.Event()
        task = asyncio.ensure_future(work)
        await process.until_it_asks(asks)
        process.wire.losses += 1
        process.wire.hold.set()
        return await task

    entering = process.enter(TEN, fences=("stakes",))
    entered = await (disturbed(entering, "Enter:") if when == "entering" else entering)
    assert (entered.redis, entered.limits[0].remaining) == (True, 9)
    assert entered.fence is not None
    assert not entered.fence.unfenced
    assert await redis.command("ZCARD", marks, timeout_s=1) == 1
    if when == "entering":
        process.clock.advance(1)
        await process.enter()
        assert process.gate.state == "up"
        await process.gate.leave(entered.fence, process.deadline)
    else:
        await disturbed(process.gate.leave(entered.fence, process.deadline), "Leave:")
    assert await redis.command("EXISTS", marks, timeout_s=1) == 0
    assert process.count("unfenced_writes") == 0
    await other.fill(b"new")


@pytest.mark.parametrize("reached", [False, True], ids=["before Redis", "after Redis"])
async def test_an_unfenced_write_is_repaired_before_redis_is_trusted(start: Start, reached: bool) -> None:
    """A write whose fence failed goes on; what others have cached of its user is dropped at the return."""
    process, other = await start(), await start()
    await other.fill(b"old")
    await process.enter()
    if reached:
        process.wire.lose_replies = 1
    else:
        process.wire.away = True
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    assert fence.unfenced
    process.wire.away = True
    await process.gate.leave(fence, process.deadline)
    assert process.count("unfenced_writes") == 1
    await process.come_back()
    page = (await other.enter(page=PAGE)).page
    assert page is not None
    assert page.entry is None


async def test_a_failed_leave_is_repaired(start: Start, redis: RespRedis) -> None:
    """When leaving fails and the mark is lost as well, the return still drops what was cached meanwhile."""
    process, other = await start(), await start()
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    await redis.command("DEL", f"sh0:{{u:{USER}}}:stakes:marks", timeout_s=1)
    await other.fill(b"old")
    process.wire.away = True
    await process.gate.leave(fence, process.deadline)
    assert process.count("unfenced_writes") == 1
    await process.come_back()
    assert await other.read() is None


async def test_a_write_under_way_is_fenced_late_by_the_return(start: Start) -> None:
    """Redis returns between a write's start and its commit: from then on its readers bypass."""
    process, other = await start(), await start()
    process.wire.away = True
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    await process.come_back()
    for reader in (process, other):
        page = (await reader.enter(page=PAGE)).page
        assert page is not None
        assert page.kind == "bypass"
    await process.gate.leave(fence, process.deadline)
    for reader in (process, other):
        page = (await reader.enter(page=PAGE)).page
        assert page is not None
        assert page.kind == "miss"


async def test_a_write_that_ends_during_the_repair_is_repaired_as_well(start: Start) -> None:
    """A user who is written for again while the return is at work is not forgotten with the first write."""
    process, other = await start(), await start()
    process.wire.away = True
    for _ in range(2):
        await process.write()
    process.wire.hold = asyncio.Event()
    process.wire.away = False
    await process.until_it_asks("many users")
    await other.fill(b"old")
    late = (await process.enter(fences=("stakes",))).fence
    assert late is not None
    assert late.unfenced
    await process.gate.leave(late, process.deadline)
    process.wire.hold.set()
    await process.come_back()
    repairs = [script for script in process.wire.scripts if "many users" in script.source]
    assert len(repairs) >= 2
    assert await other.read() is None


@pytest.mark.parametrize("left", [False, True], ids=["under way", "done"])
async def test_a_write_while_the_return_asks_the_time_is_repaired_as_well(start: Start, left: bool) -> None:
    """The return's last question is asked again after a write that began, or ended, during it."""
    process, other = await start(), await start()
    process.wire.away = True
    await process.enter()
    process.wire.hold = asyncio.Event()
    process.wire.away = False
    await process.until_it_asks("Return:")
    await other.fill(b"old")
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    assert fence.unfenced
    if left:
        await process.gate.leave(fence, process.deadline)
    process.wire.hold.set()
    await process.come_back()
    page = (await other.enter(page=PAGE)).page
    assert page is not None
    assert page.kind == ("miss" if left else "bypass")


async def test_a_connection_lost_during_the_return_makes_it_begin_anew(start: Start) -> None:
    """The time of a Redis that was lost again is not trusted."""
    process = await start()
    process.wire.away = True
    await process.enter()
    process.wire.hold = asyncio.Event()
    process.wire.away = False
    await process.until_it_asks("Return:")
    asked = len(process.wire.scripts)
    process.wire.losses += 1
    process.wire.hold.set()
    await process.come_back()
    assert len(process.wire.scripts) == asked + 1


async def test_a_write_that_left_is_not_fenced_again_by_a_later_return(start: Start) -> None:
    """An unfenced write that ended after the return is forgotten with it."""
    process = await start()
    process.wire.away = True
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    await process.come_back()
    await process.gate.leave(fence, process.deadline)
    process.wire.away = True
    await process.enter()
    await process.come_back()
    page = (await process.enter(page=PAGE)).page
    assert page is not None
    assert page.kind == "miss"


async def test_too_many_unfenced_writes_drop_everybody(start: Start) -> None:
    """Beyond what a process remembers, the return voids every generation by a new incarnation."""
    process, other = await start(), await start()
    await other.fill(b"old")
    bystander = UUID(int=7)
    await other.fill(b"bystander", bystander)
    process.wire.away = True
    await process.write()
    for number in range(10_001):
        await process.write(UUID(int=number + 1000))
    process.wire.fail_at = "Return:"
    await process.come_back()
    assert await other.read() is None
    assert await other.read(bystander) is None
    assert other.count("redis_forgot") == 1


async def test_a_wipe_voids_tickets_and_is_noticed(start: Start, redis: RespRedis) -> None:
    """After FLUSHALL, what was read before is not stored, and every process learns that Redis forgot."""
    one, two = await start(), await start()
    page = (await one.enter(page=PAGE)).page
    assert page is not None
    assert page.ticket is not None
    await redis.command("FLUSHALL", timeout_s=1)
    await one.gate.fill(page.ticket, a_page(b"old"))
    for process in (one, two):
        assert (await process.enter(page=PAGE)).redis
        assert process.count("redis_forgot") == 1
    assert await two.read() is None


async def test_the_local_share_is_the_quota_divided(start: Start) -> None:
    """Without Redis each of four processes lets in its share, in which what it had let in before counts."""
    busy, idle = await start(processes=4), await start(processes=4)
    assert await _admitted(busy, 1, TEN) == 1
    for process in (busy, idle):
        process.wire.away = True
    assert await _admitted(busy, 9, TEN) == 1
    assert await _admitted(idle, 9, TEN) == 2
    with pytest.raises(LimitedError) as caught:
        await idle.enter(TEN)
    assert caught.value.violated[0].remaining == 0
    assert caught.value.retry_after_s == 60
    idle.clock.advance(60)
    assert await _admitted(idle, 9, TEN) == 2


async def test_a_retry_without_redis_is_charged_once(start: Start) -> None:
    """Retries of one request id count once in the local log too, whichever of them reached Redis."""
    process = await start()
    await process.enter(TEN, request_id="same")
    process.wire.away = True
    for _ in range(20):
        entered = await process.enter(TEN, request_id="same")
    assert entered.limits[0].remaining == 9


@pytest.mark.parametrize("wiped", [False, True])
async def test_after_the_return_both_must_agree_for_one_window(
    start: Start, redis: RespRedis, wiped: bool
) -> None:
    """Until a window after the return, Redis and the local share must both have room; then Redis alone."""
    process = await start(processes=2)
    process.wire.away = True
    assert await _admitted(process, 9, TEN) == 5
    if wiped:
        await redis.command("FLUSHALL", timeout_s=1)
    await process.come_back()
    assert await _admitted(process, 9, TEN) == 0
    process.clock.advance(59)
    assert await _admitted(process, 9, TEN) == 0
    process.clock.advance(1.5)
    assert await _admitted(process, 12, TEN) == 10


async def test_a_wipe_alone_also_asks_for_both(start: Start, redis: RespRedis) -> None:
    """A process that let in its share before Redis was wiped lets in no more, though the logs are empty."""
    process = await start(processes=2)
    assert await _admitted(process, 7, TEN) == 7
    await redis.command("FLUSHALL", timeout_s=1)
    assert await _admitted(process, 9, TEN) == 0
    assert await redis.command("EXISTS", f"sh0:{{u:{USER}}}:limit:auth", timeout_s=1) == 0


async def test_what_redis_denies_is_not_charged_to_the_share(start: Start) -> None:
    """While both must agree, a request that Redis refuses leaves the local share as it was."""
    one, two = await start(processes=2), await start(processes=2)
    for number in range(10):
        await one.gate.charge("n:eve", (TEN,), f"one-{number}", one.deadline)
    two.wire.away = True
    await two.enter()
    await two.come_back()
    for number in range(9):
        with pytest.raises(LimitedError):
            await two.gate.charge("n:eve", (TEN,), f"two-{number}", two.deadline)
    two.wire.away = True
    entered = await two.enter(TEN, subject="n:eve")
    assert entered.limits[0].remaining == 4


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize("busy", [0, 1, 4])
async def test_the_worst_case_across_a_loss(start: Start, redis: RespRedis, wiped: bool, busy: int) -> None:
    """In a window with a loss: at most N + (processes - 1) · max(1, N // processes), however it is spread."""
    processes = [await start(processes=4) for _ in range(4)]
    admitted = 0
    for process in processes[:busy]:
        admitted += await _admitted(process, 20 // busy, TEN)
    for process in processes:
        process.wire.away = True
        await process.enter()
    for process in processes:
        admitted += await _admitted(process, 20, TEN)
    if wiped:
        await redis.command("FLUSHALL", timeout_s=1)
    for process in processes:
        await process.come_back()
    for process in processes:
        admitted += await _admitted(process, 20, TEN)
    bound = 10 + 3 * 2
    assert admitted <= bound
    if busy == 1:
        assert admitted == bound, "the bound is reached, so it is not stated too high"


async def test_a_release_without_redis_is_counted(start: Start) -> None:
    """A charge that cannot be given back to Redis is given back to the local share, and counted."""
    process = await start()
    one = Policy("auth", 1)
    process.wire.away = True
    await process.gate.charge("n:bob", (one,), "first", process.deadline)
    await process.gate.release("n:bob", one, "first")
    await process.gate.charge("n:bob", (one,), "second", process.deadline)
    assert process.count("limits_not_released") == 1


async def test_fills_while_redis_is_away_are_dropped(start: Start) -> None:
    """Storing a page never raises and never waits for a Redis that is away."""
    process = await start()
    entered = await process.enter(page=PAGE)
    assert entered.page
    assert entered.page.ticket
    assert entered.account
    assert entered.account.fill
    process.wire.away = True
    await process.gate.fill(entered.page.ticket, a_page(b"x"))
    trips = process.wire.trips
    await process.gate.fill_account(entered.account.fill, ACTIVE)
    assert process.wire.trips <= trips + 1
    assert process.gate.state == "down"


async def test_an_operators_fence_without_redis_is_remembered(start: Start) -> None:
    """A change of users' rows goes on without Redis, and what is cached of them is dropped at the end."""
    operator, reader = await start(), await start()
    await reader.fill(b"old")
    operator.wire.away = True
    async with operator.gate.fence([USER], "stakes"):
        pass
    assert operator.count("unfenced_writes") == 1
    operator.wire.away = False
    await operator.gate.close()
    assert await reader.read() is None


async def test_serverless_requests_look_for_the_return_themselves(start: Start) -> None:
    """With no task outliving a request, the cache is trusted at once and a request finds Redis again."""
    native = await start()
    process = await start(started=False, serverless=True, flights=NoFlights())
    await native.fill(b"page")
    assert await process.read() == b"page"
    process.wire.away = True
    fence = (await process.enter(fences=("stakes",))).fence
    assert fence is not None
    await process.gate.leave(fence, process.deadline)
    assert not (await process.enter()).redis
    trips = process.wire.trips
    assert not (await process.enter()).redis
    assert process.wire.trips == trips, "the next look waits its turn"
    process.wire.away = False
    process.clock.advance(2)
    assert (await process.enter()).redis
    assert process.tasks.started == 0
    assert await native.read() is None


async def test_valkey_killed_and_started_again(start: Start, private_valkey: EmbeddedValkey) -> None:
    """Over a real Valkey: kill -9 is noticed, nobody waits over a second, and all is well after its start."""
    process = await start(redis_url=private_valkey.url)
    await process.fill(b"old")
    private_valkey.kill()
    began_s = time.monotonic()
    entered = await process.enter(TEN, page=PAGE, fences=())
    fence = (await process.enter(TEN, fences=("stakes",))).fence
    assert fence is not None
    await process.gate.leave(fence, process.deadline)
    assert time.monotonic() - began_s < 1.5
    assert (entered.redis, process.gate.state) == (False, "down")
    assert not await process.gate.ping()
    private_valkey.start()
    await process.come_back()
    assert await process.gate.ping()
    assert await process.read() is None
    await process.fill(b"new")
    assert await process.read() == b"new"


async def test_a_hanging_valkey_holds_nobody_for_more_than_a_second(
    start: Start, private_valkey: EmbeddedValkey
) -> None:
    """With Valkey stopped (SIGSTOP), 50 requests are answered in about a second, later ones at once."""

    process = await start(redis_url=private_valkey.url)
    assert private_valkey.process is not None
    os.kill(private_valkey.process.pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        entered = await asyncio.gather(*[process.enter(user=UUID(int=n + 1)) for n in range(50)])
        assert time.monotonic() - began_s < 1.5
        assert not any(one.redis for one in entered)
        began_s = time.monotonic()
        assert not (await process.enter()).redis
        assert time.monotonic() - began_s < 0.2
    finally:
        os.kill(private_valkey.process.pid, signal.SIGCONT)
    await process.come_back()
    assert (await process.enter()).redis


async def test_a_process_that_starts_without_redis_finds_it(
    start: Start, private_valkey: EmbeddedValkey
) -> None:
    """Started while Redis is away, a process serves on its share, and finds Redis when it comes."""
    private_valkey.stop()
    process = await start(redis_url=private_valkey.url, started=False)
    await process.gate.start()
    assert process.gate.state == "down"
    assert await _admitted(process, 12, TEN) == 10
    private_valkey.start()
    await process.come_back()
    assert (await process.enter()).redis


async def test_a_full_redis_counts_as_away(start: Start, private_valkey: EmbeddedValkey) -> None:
    """A Redis out of memory is down until it takes writes again; requests go on without it."""
    process = await start(redis_url=private_valkey.url)
    client = start.client(private_valkey.url)
    await client.command("CONFIG", "SET", "maxmemory", 1, timeout_s=1)
    assert not (await process.enter(TEN)).redis
    asked = len(process.wire.scripts)
    async with asyncio.timeout(10):
        while len(process.wire.scripts) < asked + 2:
            await asyncio.sleep(0.001)
    assert process.gate.state == "down"
    assert not (await process.enter(TEN)).redis
    await client.command("CONFIG", "SET", "maxmemory", 0, timeout_s=1)
    await process.come_back()
    assert (await process.enter(TEN)).redis
    await client.close()
