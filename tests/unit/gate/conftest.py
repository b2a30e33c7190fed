"""Gates over a real Valkey, with faults between the two that a test chooses."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from stakehold.domain.accounts import UserState
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller, Entered, Entering, Gate, NewEntry, Policies, Policy, Resource
from stakehold.redis.port import Argument, Redis, RedisUnavailableError, Reply, Script
from stakehold.redis.resp import RespRedis
from stakehold.redis.ring import Ring
from stakehold.runtime.embedded import EmbeddedValkey
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

USER = UUID("0190a000-0000-7000-8000-000000000001")
SESSION = "0190a000-0000-7000-8000-00000000aaaa"
ACTIVE = UserState("active", 0, frozenset())
PAGE = "page=1&limit=10"
READ, ALL = Policy("stake-read", 60), Policy("global", 100)


class RunningClock:
    """The machine's own clock, for the client of Redis."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class Tasks:
    """Background work as the native runtime does it, to be awaited by the test."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.started = 0
        self.full = False
        """New work is refused, as the native runtime does beyond its bound."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        if self.full:
            work.close()
            return False
        self.started += 1
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return True

    async def finish(self) -> None:
        """Wait for all that was started."""
        async with asyncio.timeout(20):
            while self.tasks:
                await asyncio.gather(*self.tasks)


class Wire:
    """A Redis between the gate and the real one: counts trips, and fails when told."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.scripts: list[Script] = []
        self.trips = 0
        self.away = False
        """Every call fails, and nothing reaches Redis."""
        self.lose_replies = 0
        """That many calls reach Redis and then fail."""
        self.hold: asyncio.Event | None = None
        """Calls wait for this before they reach Redis."""
        self.fail_at = ""
        """Scripts whose text has this fail once, before they reach Redis."""
        self.losses = 0
        self.timeouts_s: list[float] = []

    @property
    def connection_losses(self) -> int:
        return self.losses + self.redis.connection_losses

    async def _pass(self, call: Callable[[], Coroutine[Any, Any, Reply]], timeout_s: float) -> Reply:
        self.trips += 1
        self.timeouts_s.append(timeout_s)
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise RedisUnavailableError("away, says the test", outcome_unknown=False)
        reply = await call()
        if self.lose_replies:
            self.lose_replies -= 1
            raise RedisUnavailableError("the reply is lost, says the test", outcome_unknown=True)
        return reply

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self._pass(lambda: _call(self.redis.command(*arguments, timeout_s=timeout_s)), timeout_s)

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        self.scripts.append(script)
        if self.fail_at and self.fail_at in script.source:
            self.fail_at = ""
            raise RedisUnavailableError("failed at this script, says the test", outcome_unknown=False)
        return await self._pass(
            lambda: _call(self.redis.script(script, keys, arguments, timeout_s)), timeout_s
        )

    async def close(self) -> None:
        await self.redis.close()


async def _call(awaitable: Any) -> Reply:
    reply: Reply = await awaitable
    return reply


@dataclass
class Process:
    """One process of the service, as far as the gate sees it."""

    gate: Gate
    wire: Wire
    clock: ManualClock
    counters: CountingCounters
    tasks: Tasks
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.clock, 8.0)

    async def enter(
        self,
        *limits: Policy,
        subject: str | None = None,
        user: UUID | None = USER,
        page: str | None = None,
        fences: tuple[Resource, ...] = (),
        request_id: str | None = None,
        session: str = SESSION,
        epoch: int = 0,
    ) -> Entered:
        """Let a request in, by default of USER."""
        caller = None if user is None or subject else Caller(user, session, epoch)
        entering = Entering(
            request_id or f"{id(self):x}-{next(self.numbers)}",
            limits,
            subject or f"u:{user}",
            caller,
            page,
            fences,
        )
        return await self.gate.enter(entering, self.deadline)

    async def read(self, user: UUID = USER, name: str = PAGE) -> bytes | None:
        """The cached page, if one is served."""
        page = (await self.enter(user=user, page=name)).page
        assert page is not None
        return page.entry.body if page.entry else None

    async def fill(self, body: bytes, user: UUID = USER, name: str = PAGE) -> None:
        """Read a page that is not cached, and store it."""
        page = (await self.enter(user=user, page=name)).page
        assert page is not None
        assert page.ticket is not None, page.kind
        await self.gate.fill(page.ticket, a_page(body))

    async def write(self, user: UUID = USER) -> None:
        """Open and close a fence on the user's stakes."""
        fence = (await self.enter(user=user, fences=("stakes",))).fence
        assert fence is not None
        await self.gate.leave(fence, self.deadline)

    async def until_it_asks(self, text: str) -> None:
        """Wait until the script whose text has `text` is on its way."""
        async with asyncio.timeout(10):
            while not self.wire.scripts or text not in self.wire.scripts[-1].source:
                await asyncio.sleep(0.001)

    async def come_back(self) -> None:
        """Let Redis be found again."""
        self.wire.away = False
        await self.tasks.finish()
        assert self.gate.state == "up"

    def count(self, name: str) -> int:
        return self.counters.counts.get(name, 0)


def a_page(body: bytes, fresh_s: int = 300, stale_s: int = 300, life_ms: int | None = None) -> NewEntry:
    not_after_ms = None if life_ms is None else 1_800_000_000_000 + life_ms
    return NewEntry(body, '"tag"', fresh_s, stale_s, 1_800_000_000_000, not_after_ms)


class Start:
    """Makes processes, all over one Redis unless told otherwise."""

    def __init__(self, redis_url: str, entropy: SeededEntropy) -> None:
        self._redis_url = redis_url
        self._entropy = entropy
        self._made: list[Process] = []

    def client(self, redis_url: str | None = None) -> RespRedis:
        return RespRedis(
            redis_url or self._redis_url,
            clock=RunningClock(),
            entropy=self._entropy,
            counters=CountingCounters(),
        )

    async def __call__(
        self, *, redis_url: str | None = None, started: bool = True, **options: Any
    ) -> Process:
        wire = Wire(self.client(redis_url))
        clock, counters, tasks = ManualClock(), CountingCounters(), Tasks()
        gate = Gate(
            Ring([wire], ["one"]),
            policies=Policies(),
            clock=clock,
            entropy=self._entropy,
            counters=counters,
            background=tasks,
            **options,
        )
        process = Process(gate, wire, clock, counters, tasks)
        self._made.append(process)
        if started:
            await gate.start()
            assert gate.state == "up"
        return process

    async def close(self) -> None:
        for process in self._made:
            process.wire.hold = None
            await process.gate.close()
            await process.tasks.finish()
            await process.wire.close()


@pytest_asyncio.fixture
async def start(redis_url: str, entropy: SeededEntropy) -> AsyncIterator[Start]:
    starter = Start(redis_url, entropy)
    yield starter
    await starter.close()


@pytest_asyncio.fixture
async def redis(redis_url: str, entropy: SeededEntropy) -> AsyncIterator[RespRedis]:
    """A client of the test's own, to look and to tamper."""
    client = RespRedis(redis_url, clock=RunningClock(), entropy=entropy, counters=CountingCounters())
    yield client
    await client.close()


@pytest.fixture
def private_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey of this test alone, to be killed, stopped and restarted."""
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.stop()
