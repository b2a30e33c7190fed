"""A model of the cache and its fences, and every way in which readers and writers can meet over it.

The database is a register: a write makes it one higher. The actors, and their turns, are

    filler, reader   enter (a trip) | SELECT | store the page (a trip); after a cached page they are done
    writer           enter (a trip) | COMMIT | leave (a trip), after which the write is acknowledged
    fault            one thing that goes wrong, and for a loss of Redis its return, trip by trip

in every interleaving (interleavings.py says how). What runs is the real gate with its real scripts on a real
Valkey, under the test's clock (timed_scripts.py). A reader has a turn at every moment of some schedule, and
after every turn of every schedule an observer looks too, through a script that changes nothing. The rules:

  NOT_OLDER    a page served is no older than what was acknowledged before it was asked for, but for the one
               exception of docs/operations.md: by a process that has Redis, until the return of the one that
               could not open or close its fence, and never beyond the page's age
  OWN_WRITE    a process that wrote shows what it wrote, without any exception
  BYPASS       a reader that met a write under way gets no ticket to store anything
  NO_REMAINS   in the end, marks having run out, nothing older than the register is left
  OPEN_AGAIN   and pages are stored and served again
  ANSWERED     whoever asked was answered, whoever else was cancelled
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from stakehold.cache.entries import FillTicket
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import FENCE_TTL_S
from stakehold.gate import Caller, Entered, Entering, Fence, Gate, NewEntry, PageRead, Policies
from stakehold.redis.port import Redis
from stakehold.redis.ring import Ring
from tests.stateful.models.findings import Findings, Violation
from tests.stateful.models.interleavings import Path, Schedule, explore
from tests.stateful.models.processes import LinkedRedis, NoBackground
from tests.stateful.models.timed_scripts import Change, TimedScripts
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

NOT_OLDER = "a page older than the last acknowledged write was served"
OWN_WRITE = "a process did not show its own acknowledged write"
BYPASS = "a reader that met a write under way may store what it read"
NO_REMAINS = "something stale is left behind"
OPEN_AGAIN = "the cache does not work again"
ANSWERED = "somebody waits for an answer in vain"

EXCEPTION = "the documented exception was used"

USER = UUID("0190a000-0000-7000-8000-000000000001")
TAG = f"u:{USER}"
PAGE = "page=1&limit=10"
FRESH_S = STALE_S = 300
AFTER_THE_MARK_S = FENCE_TTL_S + 1
_CALLER = Caller(USER, "0190a000-0000-7000-8000-00000000aaaa", 0)
_KEYS = [f"{{{TAG}}}:{name}" for name in ("stakes", "stakes:marks", "account", "account:marks")]

MakeGate = Callable[..., Gate]
Fault = Literal[
    "none",
    "the writer dies before its commit",
    "the writer dies after its commit",
    "the mark expires",
    "the mark is evicted",
    "the page is evicted",
    "Redis is wiped",
    "the writer loses Redis",
    "the writer loses an answer of Redis",
    "the writer's command reaches Redis late",
    "the writer is connected anew",
    "the writer loses Redis for good",
    "all lose Redis",
    "all lose Redis, which returns empty",
    "all lose Redis, which returns as it was",
    "the leader is cancelled",
]
_DEATHS: tuple[Fault, ...] = ("the writer dies before its commit", "the writer dies after its commit")
_FAULTS_OF_REDIS: tuple[Fault, ...] = (
    "the mark expires", "the mark is evicted", "the page is evicted", "Redis is wiped"
)  # fmt: skip
_LOSSES: tuple[Fault, ...] = (
    "the writer loses Redis",
    "the writer loses an answer of Redis",
    "the writer's command reaches Redis late",
    "the writer is connected anew",
    "the writer loses Redis for good",
)
_LOSSES_OF_ALL: tuple[Fault, ...] = (
    "all lose Redis",
    "all lose Redis, which returns empty",
    "all lose Redis, which returns as it was",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who acts, in which process, with which fault, and what is cached at first."""

    fault: Fault
    readers: tuple[str, ...]
    """The process of each reader: "f" and "r" are others' than the writers' "w1" and "w2"."""
    writers: int = 1
    cached: Literal["nothing", "fresh", "stale"] = "nothing"
    asks_again_later: bool = False
    """A process that is told that Redis forgot asks again in a turn of its own. The first asking changed
    nothing in Redis, so that this moves no step past another that it disturbs: once is enough."""

    @property
    def loses_redis(self) -> bool:
        """Whether some process is without Redis at times."""
        return self.fault in _LOSSES + _LOSSES_OF_ALL

    def __str__(self) -> str:
        readers = "+".join(self.readers)
        return f"readers at {readers}, writers {self.writers}, cached: {self.cached}, fault: {self.fault}"


def scenarios(*, thorough: bool = False) -> Iterator[Scenario]:
    """All that are explored; if `thorough`, with more turns and readers where there are most schedules."""
    for cached in ("nothing", "stale"):
        for fault in ("none", *_DEATHS, *_FAULTS_OF_REDIS):
            asks_again_later = thorough or cached == "nothing"
            yield Scenario(fault, ("f", "r"), cached=cached, asks_again_later=asks_again_later)
    for fault in ("none", *_DEATHS, *_FAULTS_OF_REDIS):
        yield Scenario(fault, ("f",), writers=2, asks_again_later=thorough)
    for fault in (*_LOSSES, *_LOSSES_OF_ALL):
        many = fault == "the writer's command reaches Redis late" or fault in _LOSSES_OF_ALL
        yield Scenario(fault, ("f",) if many and not thorough else ("f", "w1"), cached="fresh")
    yield Scenario("the leader is cancelled", ("f", "f"))


async def explore_fences(
    redis: Redis,
    *,
    make_gate: MakeGate = Gate,
    change: Change | None = None,
    only: Callable[[Scenario], bool] = lambda _: True,
    thorough: bool = False,
    reduce: bool = True,
    stop_after: int = 10,
) -> Findings:
    """Run every interleaving of every scenario and tell what was found.

    `make_gate` is called with the arguments of `Gate`; `change` is given every script on its way to Redis:
    either may plant a bug. No further scenario is begun once there are `stop_after` violations.
    """
    scripts = TimedScripts(redis, tick_us=1, change=change)
    findings = Findings()
    epochs = itertools.count(1)
    for scenario in filter(only, scenarios(thorough=thorough)):
        if len(findings.violations) >= stop_after:
            break

        async def run(path: Path, scenario: Scenario = scenario) -> bool:
            return await Run(scenario, scripts, make_gate, next(epochs), findings).play(path)

        findings.ran[str(scenario)] = await explore(run, reduce=reduce)
        await scripts.command("FLUSHALL", "ASYNC")
    return findings


class Process:
    """A process of the service."""

    def __init__(
        self, name: str, scripts: TimedScripts, schedule: Schedule, make_gate: MakeGate, epoch: int
    ) -> None:
        self.name = name
        self.redis = LinkedRedis(scripts, schedule)
        self.clock = ManualClock()
        self.gate = make_gate(
            Ring([self.redis], ["one"]),
            policies=_POLICIES,
            clock=self.clock,
            entropy=_ENTROPY,
            counters=CountingCounters(),
            background=NoBackground(),
            processes=4,
            ring_epoch=epoch,
        )
        self._requests = itertools.count(1)

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.clock, 8.0)

    async def enter(self, *, writes: bool = False) -> Entered:
        """Ask to read the page, or to write."""
        entering = Entering(
            f"{self.name}-{next(self._requests)}",
            (),
            TAG,
            _CALLER,
            None if writes else PAGE,
            ("stakes",) if writes else (),
        )
        return await self.gate.enter(entering, self.deadline)

    async def read(self) -> PageRead:
        """What the gate says of the page."""
        page = (await self.enter()).page
        assert page is not None
        return page

    async def look(self) -> PageRead:
        """The same, leaving everything in Redis as it was."""
        self.redis.only_looks = True
        try:
            return await self.read()
        finally:
            self.redis.only_looks = False


_POLICIES = Policies()
_ENTROPY = SeededEntropy(1)


@dataclass(eq=False, slots=True)
class Write:
    """A write by `process`: what it made of the register, and how far it came."""

    process: Process
    fence: Fence | None = None
    version: int = 0
    acknowledged: bool = False
    unfenced: bool = False
    """Redis was away when it entered, or when it left."""
    repaired: bool = False
    """Its process has found Redis again since."""


@dataclass
class Run:
    """One schedule of one scenario, in a world of its own."""

    scenario: Scenario
    scripts: TimedScripts
    make_gate: MakeGate
    epoch: int
    findings: Findings
    schedule: Schedule = field(default_factory=Schedule)
    row: int = 0
    writes: list[Write] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    outcome: set[str] = field(default_factory=set)

    @property
    def _hash_key(self) -> str:
        return f"sh{self.epoch}:{_KEYS[0]}"

    async def play(self, path: Path) -> bool:
        """Give turns as `path` says until all have ended, then look what is left. False: it was cut short."""
        try:
            await self._begin()
            while not self.schedule.all_ended:
                possible = self.schedule.possible()
                if not possible:
                    self._broken(ANSWERED, "nobody has a turn, and not all have ended")
                    return True
                turn = path.next(self.schedule.taken, possible)
                if turn is None:
                    return False
                await self.schedule.take(turn)
                await self._observe()
            await self._end()
            self.findings.outcomes.add(frozenset(self.outcome))
            return True
        finally:
            await self.schedule.end()

    # Who acts

    async def _begin(self) -> None:
        scenario = self.scenario
        writers = [f"w{number + 1}" for number in range(scenario.writers)]
        for name in dict.fromkeys([*scenario.readers, *writers, "observer"]):
            self.processes[name] = process = Process(
                name, self.scripts, self.schedule, self.make_gate, self.epoch
            )
            await process.gate.start()
            process.redis.asks_again_later = scenario.asks_again_later
        if scenario.cached != "nothing":
            first = self.processes["f"]
            await self._store(first, (await first.read()).ticket, 0)
            await self.scripts.command("COPY", self._hash_key, self._hash_key + ":before")
        if scenario.cached == "stale":
            await self._pass_time(FRESH_S + 1)
        self.schedule.free = False
        for number, name in enumerate(scenario.readers):
            self.schedule.start(f"reader {number + 1}", self._reader(number, self.processes[name]))
        for number, name in enumerate(writers):
            self.schedule.start(f"writer {number + 1}", self._writer(number, self.processes[name]))
        if scenario.loses_redis:
            self.schedule.start("loss", self._loss())
        elif scenario.fault == "the leader is cancelled":
            self.schedule.start("fault", self._cancelling())
        elif scenario.fault in _FAULTS_OF_REDIS:
            self.schedule.start("fault", self._fault())
        await self.schedule.rest()

    async def _reader(self, number: int, process: Process) -> None:
        mirrored = self.scenario.readers == ("f", "r")
        await self._begin_in_order("reader", number, mirrored)
        floors = self._floor(process), self._floor(process, excused=False)
        page = await process.read()
        self.outcome.add(f"reader {number + 1} at {floors}: {page.kind}")
        if page.kind == "bypass" and page.ticket is not None:
            self._broken(BYPASS, f"{process.name} met a write and got a ticket")
        if page.entry is not None:
            self._judge(process, _version(page), floors)
            if page.refresh:
                await self.schedule.turn("reads")
                await self._store(process, page.ticket, self.row)
        elif page.ticket is None:
            await self.schedule.turn("reads")
            self._judge(process, self.row, floors)
        elif self.scenario.fault == "the leader is cancelled":
            ticket = page.ticket
            version = await process.gate.flights.join(
                ticket.flight_key, lambda: self._flight(number, process, ticket)
            )
            self._judge(process, version, floors)
        else:
            await self.schedule.turn("reads")
            self._judge(process, self.row, floors)
            await self._store(process, page.ticket, self.row)

    async def _begin_in_order(self, kind: str, number: int, mirrored: bool) -> None:
        """Two who do the same at processes of the same fate are mirror images: the second begins second."""
        second = mirrored and number > 0
        await self.schedule.turn("redis", (lambda: kind in self.begun) if second else None)
        self.begun.add(kind)

    async def _flight(self, number: int, process: Process, ticket: FillTicket) -> int:
        """What http/pipeline.py does with a miss: read for all who join, and store behind the answer."""
        await self.schedule.turn("reads")
        version = self.row
        self.schedule.start(f"store of reader {number + 1}", self._store(process, ticket, version))
        return version

    async def _store(self, process: Process, ticket: FillTicket | None, version: int) -> None:
        assert ticket is not None
        await self.schedule.turn("redis")
        entry = NewEntry(b"%d" % version, '"tag"', FRESH_S, STALE_S, process.clock.now_ms())
        await process.gate.fill(ticket, entry)

    async def _writer(self, number: int, process: Process) -> None:
        fault = self.scenario.fault if number == 0 else "none"
        write = Write(process)
        self.writes.append(write)
        await self._begin_in_order("writer", number, self.scenario.fault not in _DEATHS)
        write.fence = (await process.enter(writes=True)).fence
        assert write.fence is not None
        if fault == "the writer dies before its commit":
            return
        await self.schedule.turn("writes")
        self.row += 1
        write.version = self.row
        if fault == "the writer dies after its commit":
            return
        await self.schedule.turn("redis")
        await process.gate.leave(write.fence, process.deadline)
        write.unfenced = process.gate.state == "down"
        write.acknowledged = True

    async def _fault(self) -> None:
        await self.schedule.turn("redis")
        fault = self.scenario.fault
        hash_key, marks_key = [f"sh{self.epoch}:{key}" for key in _KEYS[:2]]
        async with self.schedule.asking():
            if fault == "the mark expires":
                await self._pass_time(AFTER_THE_MARK_S)
            elif fault == "the mark is evicted":
                await self.scripts.command("DEL", marks_key)
            elif fault == "the page is evicted":
                await self.scripts.command("DEL", hash_key)
            else:
                await self.scripts.wipe(self.epoch, _KEYS)

    async def _cancelling(self) -> None:
        await self.schedule.turn("redis")
        self.schedule.cancel("reader 1")

    async def _loss(self) -> None:
        fault, writer = self.scenario.fault, self.processes["w1"]
        await self.schedule.turn("redis")
        losers = [writer]
        if fault in _LOSSES_OF_ALL:
            losers = [process for name, process in self.processes.items() if name != "observer"]
        for process in losers:
            if fault == "the writer is connected anew":
                process.redis.connection_losses += 1
            elif fault == "the writer loses an answer of Redis":
                process.redis.lose_next = "answer"
            elif fault == "the writer's command reaches Redis late":
                process.redis.lose_next = "late"
            else:
                process.redis.away = True
        if fault == "all lose Redis, which returns empty":
            async with self.schedule.asking():
                await self.scripts.wipe(self.epoch, _KEYS)
        if fault == "all lose Redis, which returns as it was":
            async with self.schedule.asking():
                await self.scripts.command("COPY", self._hash_key + ":before", self._hash_key, "REPLACE")
        if fault != "the writer loses Redis for good":
            for process in losers:
                self.schedule.start(f"return of {process.name}", self._return(process))

    async def _return(self, process: Process) -> None:
        """What looks for Redis behind the requests of a process finds it again."""
        await self.schedule.turn("redis")
        process.redis.lose_next, process.redis.away = "", False
        await process.gate.start()
        if process.gate.state == "up":
            for write in self.writes:
                write.repaired = write.repaired or (write.process is process and write.acknowledged)

    # What is asked of it

    def _floor(self, process: Process, *, excused: bool = True) -> int:
        """The version that `process` owes whoever asks it now."""
        acknowledged = [write for write in self.writes if write.acknowledged]
        owed = [write for write in acknowledged if not (excused and _is_excused(write, process))]
        return max((write.version for write in owed), default=0)

    def _judge(self, process: Process, version: int, floors: tuple[int, int]) -> None:
        floor, floor_without_exception = floors
        self.outcome.add(f"{process.name} at {floors}: {version}")
        if version < floor:
            own = any(write.process is process and write.version == floor for write in self.writes)
            self._broken(
                OWN_WRITE if own else NOT_OLDER,
                f"{process.name} served {version} after {floor} was acknowledged",
            )
        elif version < floor_without_exception:
            self.findings.seen[EXCEPTION] += 1

    async def _observe(self) -> None:
        """What anybody would be served now who came to a process that has lost nothing."""
        observer, other = self.processes["observer"], self.processes["f"]
        if self.schedule.taken[-1].touches == "redis" and self._floor(observer, excused=False):
            if self.scenario.fault != "all lose Redis, which returns as it was":
                await self._look(observer)
            if self.scenario.fault in _LOSSES_OF_ALL and other.gate.state == "up" and not other.redis.away:
                await self._look(other)

    async def _look(self, process: Process) -> PageRead:
        page = await process.look()
        if page.entry is not None:
            self._judge(process, _version(page), (self._floor(process), self._floor(process, excused=False)))
        return page

    async def _end(self) -> None:
        """Let Redis return, look at what is left, let marks and pages run out, and look again."""
        self.schedule.free = True
        for_good = self.scenario.fault == "the writer loses Redis for good"
        disturbed = for_good or self.scenario.fault in _DEATHS or self.scenario.loses_redis
        for process in self.processes.values():
            if process.gate.state == "down" and not for_good:
                await self._return(process)
        for name in self.scenario.readers:
            page = await self._look(self.processes[name])
            if page.kind == "bypass" and not disturbed:
                self._broken(OPEN_AGAIN, "a fence is closed though every writer has left")
        await self._pass_time(AFTER_THE_MARK_S)
        await self._find_no_remains(excused=for_good)
        if for_good:
            await self._pass_time(FRESH_S + STALE_S)
            await self._find_no_remains(excused=False)
        await self._use_the_cache()

    async def _find_no_remains(self, *, excused: bool) -> None:
        for process in {self.processes[name] for name in self.scenario.readers}:
            page = await process.look()
            if page.kind == "bypass":
                self._broken(OPEN_AGAIN, "a mark outlives its time")
            if page.entry is not None and _version(page) < self.row:
                if not excused:
                    self._broken(
                        NO_REMAINS, f"{process.name} finds {_version(page)} and the row is {self.row}"
                    )
                self.findings.seen[EXCEPTION] += 1

    async def _use_the_cache(self) -> None:
        process = self.processes["f"]
        page = await process.read()
        if page.ticket is not None:
            await self._store(process, page.ticket, self.row)
            page = await process.read()
        if page.entry is None or _version(page) != self.row:
            self._broken(OPEN_AGAIN, f"{page.kind} after storing a page")

    async def _pass_time(self, seconds: float) -> None:
        await self.scripts.advance(self.epoch, round(seconds * 1e6))
        for process in self.processes.values():
            process.clock.advance(seconds)

    def _broken(self, rule: str, detail: str) -> None:
        self.findings.violations.append(Violation(rule, str(self.scenario), detail, str(self.schedule)))


def _is_excused(write: Write, reader: Process) -> bool:
    """Whether `reader` may not yet show `write`: the one exception of docs/operations.md."""
    return write.unfenced and not write.repaired and write.process is not reader


def _version(page: PageRead) -> int:
    assert page.entry is not None
    return int(page.entry.body)
