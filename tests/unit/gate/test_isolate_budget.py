"""What an isolate's requests cost at Upstash, from its very first on: counted as HTTP requests."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest_asyncio

from stakehold.domain.ports import Deadline
from stakehold.gate import Caller, Entered, Entering, Gate, Policies, Resource
from stakehold.redis.aiohttp_sender import AiohttpSender
from stakehold.redis.ring import Ring
from stakehold.redis.upstash import UpstashRedis
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.upstash_front import UpstashFront
from tests.unit.gate.conftest import ACTIVE, ALL, PAGE, READ, SESSION, USER, RunningClock, Tasks, a_page

_CALLER = Caller(USER, SESSION, 0)


@dataclass
class Isolate:
    """A gate as an isolate has it, new, over Upstash."""

    gate: Gate
    front: UpstashFront
    clock: ManualClock
    tasks: Tasks

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.clock, 8.0)

    async def enter(self, page: str | None = None, fences: tuple[Resource, ...] = ()) -> Entered:
        entering = Entering(f"{time.monotonic_ns()}", (READ, ALL), f"u:{USER}", _CALLER, page, fences)
        return await self.gate.enter(entering, self.deadline)

    async def fill(self) -> None:
        """Have the user entry and the page cached."""
        entered = await self.enter(page=PAGE)
        assert entered.account is not None
        assert entered.account.fill is not None
        assert entered.page is not None
        assert entered.page.ticket is not None
        await self.gate.fill_account(entered.account.fill, ACTIVE)
        await self.gate.fill(entered.page.ticket, a_page(b"page"))


@pytest_asyncio.fixture
async def isolate(redis_url: str, entropy: SeededEntropy) -> AsyncIterator[Callable[[], Isolate]]:
    """Makes isolates, which share nothing but Upstash."""
    front = UpstashFront(redis_url)
    await front.start()
    clients: list[UpstashRedis] = []

    def make() -> Isolate:
        counters, clock, tasks = CountingCounters(), ManualClock(), Tasks()
        clients.append(
            UpstashRedis(
                front.url,
                front.token,
                sender=AiohttpSender(),
                clock=RunningClock(),
                entropy=entropy,
                counters=counters,
            )
        )
        gate = Gate(
            Ring([clients[-1]], ["one"]),
            policies=Policies(),
            clock=clock,
            entropy=entropy,
            counters=counters,
            background=tasks,
            serverless=True,
        )
        return Isolate(gate, front, clock, tasks)

    yield make
    for client in clients:
        await client.close()
    await front.stop()


async def test_the_first_read_of_an_isolate_is_one_request(isolate: Callable[[], Isolate]) -> None:
    """A cached page, by an isolate that has never asked: one request, and no more for those after it."""
    await isolate().fill()
    fresh = isolate()
    for _ in range(2):
        before = fresh.front.requests
        page = (await fresh.enter(page=PAGE)).page
        assert page is not None
        assert page.entry is not None
        assert page.entry.body == b"page"
        assert fresh.front.requests - before == 1
    assert fresh.tasks.started == 0


async def test_the_first_write_of_an_isolate_is_two_requests(isolate: Callable[[], Isolate]) -> None:
    """In through the gate and out again: two requests, from the first on."""
    teacher = isolate()
    await teacher.fill()
    fence = (await teacher.enter(fences=("stakes",))).fence
    assert fence is not None
    await teacher.gate.leave(fence, teacher.deadline)
    fresh = isolate()
    for _ in range(2):
        before = fresh.front.requests
        fence = (await fresh.enter(fences=("stakes",))).fence
        assert fence is not None
        assert not fence.unfenced
        await fresh.gate.leave(fence, fresh.deadline)
        assert fresh.front.requests - before == 2


async def test_only_a_script_that_upstash_never_saw_costs_one_request_more(
    isolate: Callable[[], Isolate],
) -> None:
    """Once for a database, not for an isolate: who sends it first sends its text after its hash."""
    first, second = isolate(), isolate()
    await first.enter()
    before = first.front.requests
    await second.enter()
    assert second.front.requests - before == 1
