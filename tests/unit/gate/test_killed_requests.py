"""Requests that are killed: nothing of theirs runs any more, no `except` and no `finally`.

This is how a platform ends a request whose client is gone or whose time is up, in an isolate that goes on
serving others. What such a request held, or had begun to put right, must not be lost or stuck.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

import pytest
import pytest_asyncio

from stakehold.gate import LimitedError, Policy
from stakehold.gate import unfenced as unfenced_module
from stakehold.redis.port import Argument, Redis, Reply, Script
from tests.unit.gate.conftest import PAGE, Process, Start, a_page

T = TypeVar("T")
Moment = Literal["before Redis", "after Redis"]
MOMENTS: tuple[Moment, ...] = ("before Redis", "after Redis")
USERS = [UUID(int=number) for number in range(1, 7)]
BYSTANDER = UUID(int=99)
# What a return may take, after the last kill: a claim that runs out, and the wait before another look.
BACK_WITHIN_S = 2.0 + 1.0


class Executioner:
    """Between the gate and its wire: kills requests at trips that a test chooses, and keeps their remains."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.kills: dict[int, Moment] = {}
        """By the number of the trip, from 1, counted while there are any."""
        self.trips = 0
        self.hold_at = ""
        """The next script whose text has this waits for `held` before it reaches Redis."""
        self.held = asyncio.Event()
        self._killed = asyncio.Event()
        self._bodies: list[asyncio.Task[Any]] = []
        self._over = False

    @property
    def connection_losses(self) -> int:
        return self.redis.connection_losses

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        self.trips += 1
        if self.hold_at and self.hold_at in script.source:
            self.hold_at = ""
            await self.held.wait()
        moment = self.kills.pop(self.trips, None)
        if moment == "before Redis":
            await self._die()
        reply = await self.redis.script(script, keys, arguments, timeout_s)
        if moment == "after Redis":
            await self._die()
        return reply

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self.redis.command(*arguments, timeout_s=timeout_s)

    async def close(self) -> None:
        await self.redis.close()

    async def _die(self) -> None:
        self._killed.set()
        while not self._over:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                # A timer of its own, say: nothing reaches who is dead.
                if self._over:
                    raise

    async def run(self, request: Coroutine[Any, Any, T]) -> T | None:
        """What the request gives; None if it was killed on its way."""
        self._killed.clear()
        task = asyncio.create_task(request)
        killed = asyncio.create_task(self._killed.wait())
        async with asyncio.timeout(10):
            await asyncio.wait({task, killed}, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if task.done():
            return task.result()
        self._bodies.append(task)
        return None

    async def bury(self) -> None:
        """Let the dead unwind, now that nobody looks."""
        self._over = True
        for body in self._bodies:
            body.cancel()
        await asyncio.gather(*self._bodies, return_exceptions=True)


class Isolate:
    """A process that serves as an isolate of the platform does, and whose requests can be killed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.executioner = Executioner(process.wire.redis)
        process.wire.redis = self.executioner


@pytest_asyncio.fixture
async def isolate(start: Start) -> AsyncIterator["StartIsolate"]:
    starter = StartIsolate(start)
    yield starter
    for made in starter.made:
        await made.executioner.bury()


class StartIsolate:
    """Makes isolates."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.made: list[Isolate] = []

    async def __call__(self, **options: Any) -> Isolate:
        process = await self._start(started=False, serverless=True, **options)
        self.made.append(Isolate(process))
        return self.made[-1]


async def _write_without_redis(isolate: Isolate) -> None:
    """Writes for all of USERS; that for the last commits and is killed before it can leave."""
    process = isolate.process
    process.wire.away = True
    for user in USERS[:-1]:
        await process.write(user)
    assert (await process.enter(user=USERS[-1], fences=("stakes",))).fence is not None
    process.wire.away = False


async def _come_back(isolate: Isolate, kills: dict[int, Moment]) -> int:
    """Requests come until Redis is found again, some killed on the way. How many trips it took."""
    process, executioner = isolate.process, isolate.executioner
    process.clock.advance(1)
    executioner.kills, executioner.trips = kills, 0
    waited_s = 0.0
    while process.gate.state == "down" or executioner.kills:
        alive_before = len(executioner.kills)
        await executioner.run(process.enter(user=BYSTANDER, page=PAGE))
        # While a killed request still holds the return, others are answered, and at once.
        trips = executioner.trips
        other = await executioner.run(process.enter(user=BYSTANDER))
        if len(executioner.kills) < alive_before:
            waited_s = 0.0
        elif process.gate.state == "down":
            assert other is None or not other.redis or executioner.trips > trips
            assert waited_s <= BACK_WITHIN_S, "the return is stuck"
        process.clock.advance(0.25)
        waited_s += 0.25
        if executioner.trips > 40:
            executioner.kills.clear()
    return executioner.trips


def _kill_points(trips: int) -> list[dict[int, Moment]]:
    """No kill, every one, and every two, at each trip before and after Redis."""
    singles = [(trip, moment) for trip in range(1, trips + 1) for moment in MOMENTS]
    pairs = [
        {first[0]: first[1], second[0]: second[1]}
        for first, second in itertools.combinations(singles, 2)
        if first[0] != second[0]
    ]
    return [{}, *[{trip: moment} for trip, moment in singles], *pairs]


async def test_no_kill_loses_a_repair_or_stops_the_return(
    isolate: StartIsolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes without Redis, then a return of several trips whose requests are killed at every one of them.

    Every single kill and every two of them: the return is found soon after, and no isolate, also one that
    never lost Redis, is left with a page from before those writes.
    """
    monkeypatch.setattr(unfenced_module, "BATCH", 2)
    # Three batches of users, one of the write under way, the time, and the request's own trip.
    points = _kill_points(7)
    for epoch, kills in enumerate(points):
        described = dict(kills)
        other, lost = await isolate(ring_epoch=epoch), await isolate(ring_epoch=epoch)
        for user in USERS:
            await other.process.fill(b"old", user)
        await _write_without_redis(lost)
        trips = await _come_back(lost, kills)
        assert trips >= 5, "the return takes several trips, or this test shows little"
        for user in USERS:
            for reader in (other, lost):
                assert await reader.process.read(user) != b"old", described
        assert lost.process.gate.state == "up"
    assert len(points) == 1 + 14 + 84


async def test_a_kill_while_the_incarnation_is_renewed_asks_for_it_again(
    isolate: StartIsolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More users than are remembered, and who would void all pages is killed: the next request does it."""
    monkeypatch.setattr(unfenced_module.UnfencedWrites.__init__, "__defaults__", (3,))
    for epoch, kills in enumerate(_kill_points(3)):
        described = dict(kills)
        other, lost = await isolate(ring_epoch=epoch), await isolate(ring_epoch=epoch)
        for user in USERS:
            await other.process.fill(b"old", user)
        await _write_without_redis(lost)
        await _come_back(lost, kills)
        for user in USERS:
            assert await other.process.read(user) is None, described
        assert other.process.count("redis_forgot") == 1


async def test_a_write_whose_request_was_killed_is_put_right_and_then_forgotten(
    isolate: StartIsolate,
) -> None:
    """Nobody leaves for it. A return fences it for what is left of its life; one after that is its last."""
    other, lost = await isolate(), await isolate()
    user = USERS[0]
    lost.process.wire.away = True
    assert (await lost.process.enter(user=user, fences=("stakes",))).fence is not None
    await other.process.fill(b"old", user)
    lost.process.wire.away = False
    await _come_back(lost, {})
    for reader in (other, lost):
        page = (await reader.process.enter(user=user, page=PAGE)).page
        assert page is not None
        assert page.kind == "bypass", "it may still commit"
    repaired = []
    for _ in range(3):
        lost.process.clock.advance(16)
        lost.process.wire.losses += 1
        before = lost.process.count("cache_repairs")
        await _come_back(lost, {})
        repaired.append(lost.process.count("cache_repairs") - before)
    assert repaired == [1, 0, 0]


@pytest.mark.parametrize("at", ["many users", "Return:"])
async def test_a_return_that_was_slow_and_overtaken_ends_without_a_word(
    isolate: StartIsolate, at: str
) -> None:
    """Who held the return for too long, alive after all, asks no more and changes nothing that is trusted."""
    lost = await isolate()
    process = lost.process
    process.wire.away = True
    await process.write(USERS[0])
    process.wire.away = False
    process.clock.advance(1)
    # Held in its own trip: what reaches Redis meanwhile is others'.
    lost.executioner.hold_at = at
    slow = asyncio.create_task(process.enter(user=BYSTANDER))
    await process.until_it_asks(at)
    process.clock.advance(2)
    assert (await process.enter(user=BYSTANDER)).redis
    await process.fill(b"kept")
    asked = len(process.wire.scripts)
    lost.executioner.held.set()
    assert not (await slow).redis
    assert len(process.wire.scripts) == asked
    assert await process.read() == b"kept"


@pytest.mark.parametrize("moment", MOMENTS)
async def test_what_a_killed_request_was_charged_leaves_with_its_window(
    isolate: StartIsolate, moment: Moment
) -> None:
    """Killed on its way in, a request counts at most once, and its subject is not locked out for longer."""
    two = Policy("auth", 2, 60)
    lost = await isolate()
    process, executioner = lost.process, lost.executioner
    # In the window after a return, the local share is charged before Redis is asked.
    process.wire.away = True
    await process.enter()
    process.wire.away = False
    await _come_back(lost, {})
    executioner.kills, executioner.trips = {1: moment}, 0
    assert await executioner.run(process.enter(two, subject="a:1")) is None
    assert await executioner.run(process.enter(two, subject="a:1")) is not None
    with pytest.raises(LimitedError):
        await executioner.run(process.enter(two, subject="a:1"))
    process.clock.advance(61)
    process.wire.away = True
    for _ in range(2):
        assert not (await process.enter(two, subject="a:1")).redis


async def test_a_writer_killed_with_its_fence_open_closes_the_cache_for_the_marks_life_alone(
    isolate: StartIsolate,
) -> None:
    """Killed after its commit: others bypass while the mark lives, so nothing from before is stored."""
    other, lost = await isolate(), await isolate()
    user = USERS[0]
    ticket = (await other.process.enter(user=user, page=PAGE)).page
    assert ticket is not None
    assert ticket.ticket is not None
    executioner = lost.executioner
    for moment in MOMENTS:
        fence = (await lost.process.enter(user=user, fences=("stakes",))).fence
        assert fence is not None
        executioner.kills, executioner.trips = {1: moment}, 0
        await executioner.run(lost.process.gate.leave(fence, lost.process.deadline))
        await other.process.gate.fill(ticket.ticket, a_page(b"old"))
        assert await other.process.read(user) is None
    assert lost.process.gate.state == "up"
