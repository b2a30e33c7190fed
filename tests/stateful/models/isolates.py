"""A model of isolates: requests that are killed or held up at any trip, over the cache and its fences.

The database is a register for each user: a write makes it one higher. A *request* is a coroutine; one that
is held up goes on when the model says so, and one that is killed never does, so that no `except` and no
`finally` of it runs. What runs is the real gate, serverless, with its real scripts on a real Valkey, under
the clock of a test (timed_scripts.py). Seeds choose what happens, and repeat it. The rules:

  NOT_OLDER   a page served is no older than what was acknowledged before it was asked for, but for the one
              exception of docs/operations.md: writes of an isolate without Redis, until it has returned
  NO_REMAINS  when all have Redis again and marks have run out, nothing older than the register is left
  COMES_BACK  an isolate finds Redis again, soon after it is there, whoever was killed on the way
  AT_ONCE     who is not held up is answered, without waiting for another
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from stakehold.domain.ports import Deadline
from stakehold.gate import Caller, Entering, Fence, Gate, NewEntry, PageRead, Policies
from stakehold.redis.port import Argument, Redis, RedisUnavailableError, Reply, Script
from stakehold.redis.ring import Ring
from tests.stateful.models.findings import Findings, Violation
from tests.stateful.models.processes import NoBackground
from tests.stateful.models.timed_scripts import TimedScripts
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

NOT_OLDER = "a page older than the last acknowledged write was served"
NO_REMAINS = "something stale is left behind"
COMES_BACK = "an isolate does not find Redis again"
AT_ONCE = "somebody waits for another's request"

USERS = (UUID(int=1), UUID(int=2))
BYSTANDER = UUID(int=3)
PAGE = "page=1&limit=10"
LONGEST_WRITE_S = 11.0
"""Between a write's entering and its commit: the deadline and the statement timeout."""

MARKS_ARE_OVER_S = 16.0
COMES_BACK_WITHIN_S = 6.0
_ANSWER_S = 20.0
_POLICIES = Policies()

Fate = Literal["killed", "held up"]


@dataclass(slots=True)
class Doom:
    """What becomes of a request at its `trip`, counted down to 0: before Redis is reached, or after."""

    fate: Fate
    trip: int
    before: bool


@dataclass(eq=False, slots=True)
class Request:
    """One request, and where it was held up."""

    doom: Doom | None
    task: asyncio.Task[None] | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False, slots=True)
class Write:
    """An acknowledged write."""

    isolate: "Isolate"
    user: UUID
    version: int
    excused: bool


class DoomedRedis:
    """Redis as one isolate has it: away at times, and the end of those who are doomed."""

    def __init__(self, scripts: TimedScripts, clock: ManualClock) -> None:
        self.connection_losses = 0
        self.away = False
        self.request: Request | None = None
        """Whose trip the next one is: requests run one at a time until they end or are stopped."""
        self._scripts = scripts
        self._clock = clock
        self._requests: dict[asyncio.Task[Any], Request] = {}

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        if self.request is not None:
            self._requests[task] = self.request
            self.request = None
        doom = self._doom_of(task)
        sent_at_s = self._clock.monotonic_s()
        if doom is not None and doom.before:
            await self._stop(task, doom)
        if self.away:
            raise self._lost(outcome_unknown=False)
        reply = await self._scripts.run(script, keys, arguments)
        if doom is not None and not doom.before:
            await self._stop(task, doom)
        if self._clock.monotonic_s() - sent_at_s > timeout_s:
            raise self._lost(outcome_unknown=True)
        return reply

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        raise self._lost(outcome_unknown=False)

    async def close(self) -> None:
        """Nothing: the connection is shared."""

    def _lost(self, *, outcome_unknown: bool) -> RedisUnavailableError:
        self.connection_losses += 1
        return RedisUnavailableError("away, says the test", outcome_unknown=outcome_unknown)

    def _doom_of(self, task: asyncio.Task[Any]) -> Doom | None:
        request = self._requests.get(task)
        if request is None or request.doom is None:
            return None
        request.doom.trip -= 1
        return request.doom if request.doom.trip == 0 else None

    async def _stop(self, task: asyncio.Task[Any], doom: Doom) -> None:
        request = self._requests[task]
        request.stopped.set()
        if doom.fate == "held up":
            await request.go_on.wait()
            return
        while not request.go_on.is_set():
            try:
                await request.go_on.wait()
            except asyncio.CancelledError:
                # A timer of its own: nothing reaches who is dead, until all is over.
                continue
        raise asyncio.CancelledError


class Isolate:
    """An isolate of the platform."""

    def __init__(self, name: str, scripts: TimedScripts, epoch: int, entropy: SeededEntropy) -> None:
        self.name = name
        self.clock = ManualClock()
        self.redis = DoomedRedis(scripts, self.clock)
        self.gate = Gate(
            Ring([self.redis], ["one"]),
            policies=_POLICIES,
            clock=self.clock,
            entropy=entropy,
            counters=CountingCounters(),
            background=NoBackground(),
            ring_epoch=epoch,
            serverless=True,
        )

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.clock, 8.0)


Act = Callable[[Isolate, UUID], Coroutine[Any, Any, None]]


class Run:
    """One world, and what a seed makes of it."""

    def __init__(self, scripts: TimedScripts, epoch: int, seed: int, findings: Findings) -> None:
        self._scripts = scripts
        self._epoch = epoch
        self._seed = seed
        self._draw = random.Random(seed)
        self._findings = findings
        entropy = SeededEntropy(seed)
        self._isolates = [Isolate(name, scripts, epoch, entropy) for name in ("one", "two", "three")]
        self._rows = dict.fromkeys(USERS, 0)
        self._writes: list[Write] = []
        self._stopped: list[Request] = []
        self._numbers = 0
        self._history: list[str] = []

    async def play(self, steps: int) -> None:
        """So many things that happen, then the end of all trouble, and what is left then."""
        try:
            for _ in range(steps):
                await self._step()
                self._note_returns()
            await self._settle()
        finally:
            await self._bury()

    async def _step(self) -> None:
        draw, isolate = self._draw, self._draw.choice(self._isolates)
        user = draw.choice(USERS)
        act = draw.choices(["read", "write", "away", "back", "time", "go on"], weights=[8, 5, 2, 3, 4, 2])[0]
        if act == "read":
            await self._ask(isolate, self._read, user, "reads")
        elif act == "write":
            await self._ask(isolate, self._write, user, "writes")
        elif act == "away":
            self._history.append(f"{isolate.name} loses Redis")
            isolate.redis.away = True
        elif act == "back":
            self._history.append(f"{isolate.name} may have Redis")
            isolate.redis.away = False
        elif act == "time":
            await self._pass_time(draw.choice([0.1, 0.5, 1.1, 2.0, 2.1, 8.0, 16.0]))
        else:
            await self._go_on()

    async def _ask(self, isolate: Isolate, act: Act, user: UUID, what: str, *, safe: bool = False) -> None:
        doom = None
        if not safe and self._draw.random() < 0.5:
            fate: Fate = self._draw.choice(["killed", "held up"])
            doom = Doom(fate, self._draw.randint(1, 4), self._draw.random() < 0.5)
        self._history.append(f"{isolate.name} {what} {user.int} {doom or ''}")
        request = Request(doom)
        isolate.redis.request = request
        request.task = asyncio.create_task(act(isolate, user))
        stopping = asyncio.create_task(request.stopped.wait())
        await asyncio.wait({request.task, stopping}, return_when=asyncio.FIRST_COMPLETED, timeout=_ANSWER_S)
        stopping.cancel()
        isolate.redis.request = None
        if request.task.done():
            request.task.result()
            return
        if not request.stopped.is_set():
            self._broken(AT_ONCE, f"{isolate.name} {what}")
        self._stopped.append(request)

    async def _go_on(self) -> None:
        """One who is held up goes on, and this time to its end."""
        held_up = [one for one in self._stopped if one.doom is not None and one.doom.fate == "held up"]
        if not held_up:
            return
        request = self._draw.choice(held_up)
        self._stopped.remove(request)
        self._history.append("one goes on")
        request.go_on.set()
        assert request.task is not None
        done, _ = await asyncio.wait({request.task}, timeout=_ANSWER_S)
        if not done:
            self._broken(AT_ONCE, "who was held up and goes on")
        request.task.result()

    # What a request does

    async def _read(self, isolate: Isolate, user: UUID) -> None:
        floor = self._floor(isolate, user)
        page = await self._page(isolate, user)
        if page.entry is not None:
            self._judge(isolate, user, page, floor)
        if page.ticket is not None:
            entry = NewEntry(b"%d" % self._rows[user], '"tag"', 300, 300, isolate.clock.now_ms())
            await isolate.gate.fill(page.ticket, entry)

    async def _write(self, isolate: Isolate, user: UUID) -> None:
        begun_at_s = isolate.clock.monotonic_s()
        fence = (await isolate.gate.enter(self._entering(user, writes=True), isolate.deadline)).fence
        assert fence is not None
        if isolate.clock.monotonic_s() - begun_at_s > LONGEST_WRITE_S:
            # No statement begins so late; the fence is left, with nothing done.
            await isolate.gate.leave(fence, isolate.deadline)
            return
        self._rows[user] += 1
        version = self._rows[user]
        if self._draw.random() < 0.2:
            self._history.append("and is killed after its commit")
            return
        await self._acknowledge(isolate, user, version, fence)

    async def _acknowledge(self, isolate: Isolate, user: UUID, version: int, fence: Fence) -> None:
        await isolate.gate.leave(fence, isolate.deadline)
        self._writes.append(Write(isolate, user, version, excused=isolate.gate.state == "down"))

    async def _page(self, isolate: Isolate, user: UUID) -> PageRead:
        page = (await isolate.gate.enter(self._entering(user), isolate.deadline)).page
        assert page is not None
        return page

    def _entering(self, user: UUID, *, writes: bool = False) -> Entering:
        self._numbers += 1
        caller = Caller(user, "0190a000-0000-7000-8000-00000000aaaa", 0)
        tag = f"u:{user}"
        if writes:
            return Entering(f"r{self._numbers}", (), tag, caller, fences=("stakes",))
        return Entering(f"r{self._numbers}", (), tag, caller, PAGE)

    # What is asked of it

    def _floor(self, isolate: Isolate, user: UUID) -> int:
        owed = [
            write.version
            for write in self._writes
            if write.user == user and (not write.excused or write.isolate is isolate)
        ]
        return max(owed, default=0)

    def _judge(self, isolate: Isolate, user: UUID, page: PageRead, floor: int) -> None:
        assert page.entry is not None
        version = int(page.entry.body)
        self._findings.seen["a cached page was served"] += 1
        if version < floor:
            self._broken(NOT_OLDER, f"{isolate.name} served {version} of {user.int}, owing {floor}")

    def _note_returns(self) -> None:
        for write in self._writes:
            if write.excused and write.isolate.gate.state == "up":
                write.excused = False
                self._findings.seen["a write without Redis was put right"] += 1

    async def _settle(self) -> None:
        """All have Redis, requests come, marks run out: then all is as it should be."""
        self._history.append("all may have Redis")
        for isolate in self._isolates:
            isolate.redis.away = False
        waited_s = 0.0
        while any(isolate.gate.state == "down" for isolate in self._isolates):
            if waited_s > COMES_BACK_WITHIN_S:
                self._broken(COMES_BACK, f"after {waited_s} s")
                return
            for isolate in self._isolates:
                await self._ask(isolate, self._look, BYSTANDER, "looks for", safe=True)
            await self._pass_time(0.5)
            waited_s += 0.5
        self._note_returns()
        await self._pass_time(MARKS_ARE_OVER_S)
        for isolate in self._isolates:
            for user in USERS:
                await self._ask(isolate, self._look, user, "looks for", safe=True)

    async def _look(self, isolate: Isolate, user: UUID) -> None:
        page = await self._page(isolate, user)
        if page.entry is not None and int(page.entry.body) < self._rows[user]:
            self._broken(
                NO_REMAINS, f"{isolate.name} finds {page.entry.body!r} of {user.int}: {self._rows[user]}"
            )
        if page.kind == "bypass" and user is not BYSTANDER:
            self._broken(NO_REMAINS, f"a fence of {user.int} is still closed")

    async def _pass_time(self, seconds: float) -> None:
        self._history.append(f"{seconds} s")
        await self._scripts.advance(self._epoch, round(seconds * 1e6))
        for isolate in self._isolates:
            isolate.clock.advance(seconds)

    async def _bury(self) -> None:
        for request in self._stopped:
            request.go_on.set()
            assert request.task is not None
            request.task.cancel()
        tasks = [request.task for request in self._stopped if request.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _broken(self, rule: str, detail: str) -> None:
        violation = Violation(rule, f"seed {self._seed}", detail, "; ".join(self._history))
        self._findings.violations.append(violation)


async def explore_isolates(redis: Redis, *, seed: int, runs: int, steps: int = 40) -> Findings:
    """Run so many worlds, each of its own seed, and tell what was found."""
    scripts = TimedScripts(redis, tick_us=1)
    findings = Findings()
    for number in range(runs):
        await Run(scripts, number + 1, seed + number, findings).play(steps)
        findings.ran["worlds of isolates"] += 1
    await scripts.command("FLUSHALL", "ASYNC")
    return findings
