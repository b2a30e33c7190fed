"""A model of the rate limits, and the real gates that it is held against, one operation after the other.

`Model` says in plain lists what is promised: an exact sliding log over all processes, all limits of a request
at once, nothing charged on a denial, a request id charged once; without Redis each process's own share, and
both for one window after a return or a wipe (docs/adr/0003). `World` does the same things to real gates over
the real scripts on a real Valkey, under the test's clock, compares every answer, and counts for itself what
was let in: at most N in any window, or after a loss N + (P - 1) * max(1, N // P).
"""

import itertools
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from stakehold.domain.ports import Deadline
from stakehold.gate import Entering, Gate, LimitedError, Policies, Policy
from stakehold.redis.port import Redis
from stakehold.redis.ring import Ring
from tests.stateful.models.findings import Findings, Violation
from tests.stateful.models.interleavings import Schedule
from tests.stateful.models.processes import LinkedRedis, NoBackground
from tests.stateful.models.timed_scripts import START_US, Change, TimedScripts
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

SAME_ANSWER = "an answer differs from the model's"
AT_MOST_N = "more than the quota passed in one window"
WORST_CASE = "more than the documented worst case passed in one window with a loss of Redis"

REACHED = "the worst case across a loss was reached"

MakeGate = Callable[..., Gate]
_epochs = itertools.count(1_000_000)

Log = dict[str, float]
"""Request ids, and when each was charged."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is told: let in with what remains of each limit, or refused, and by which limits."""

    remaining: tuple[int, ...] = ()
    violated: tuple[str, ...] = ()


@dataclass
class ProcessModel:
    """What one process remembers by itself."""

    up: bool = True
    settling_since_s: float | None = None
    known_incarnation: int = 0
    let_in: dict[tuple[str, str], Log] = field(default_factory=dict)
    blocked_until_s: dict[tuple[str, str], float] = field(default_factory=dict)


class Model:
    """The limits of `count` processes. Times are arguments: Redis' in microseconds, processes' in seconds."""

    def __init__(self, count: int) -> None:
        self.processes = [ProcessModel() for _ in range(count)]
        self.reachable = [True] * count
        self.incarnation = 0
        self.shared: dict[tuple[str, str], Log] = {}

    def enter(
        self, index: int, subject: str, policies: tuple[Policy, ...], request: str, now_us: int, now_s: float
    ) -> Answer:
        """A request that is refused at once while it is known to be blocked."""
        process = self.processes[index]
        blocked = [
            policy.name
            for policy in policies
            if process.blocked_until_s.get((subject, policy.name), now_s) - now_s > 0
        ]
        if blocked:
            return Answer(violated=tuple(blocked))
        return self.ask(index, subject, policies, request, now_us, now_s, may_block=True)

    def ask(
        self,
        index: int,
        subject: str,
        policies: tuple[Policy, ...],
        request: str,
        now_us: int,
        now_s: float,
        *,
        may_block: bool = False,
    ) -> Answer:
        """A request that is decided by Redis, by the process's own share, or by both."""
        process = self.processes[index]
        settling = self._settling(process, policies, now_s)
        if process.up and (refused := self._share_refuses(process, subject, settling, request, now_s)):
            return Answer(violated=refused)
        process.up = process.up and self.reachable[index]
        if process.up and process.known_incarnation != self.incarnation:
            process.known_incarnation = self.incarnation
            process.settling_since_s = now_s
            settling = policies
            if refused := self._share_refuses(process, subject, settling, request, now_s):
                return Answer(violated=refused)
        if not process.up:
            return self._decide_alone(process, subject, policies, request, now_s)
        logs = [self._log(self.shared, subject, policy, now_us, 1_000_000) for policy in policies]
        full = [
            (policy, log)
            for policy, log in zip(policies, logs, strict=True)
            if request not in log and len(log) >= policy.quota
        ]
        for policy, log in full if may_block else ():
            wait_ms = ceil((min(log.values()) + policy.window_s * 1_000_000 - now_us) / 1000)
            process.blocked_until_s[subject, policy.name] = now_s + ceil(wait_ms / 1000)
        if full:
            return Answer(violated=tuple(policy.name for policy, _ in full))
        for log in logs:
            log.setdefault(request, now_us)
        for policy in policies:
            self._log(process.let_in, subject, policy, now_s).setdefault(request, now_s)
        return Answer(self._remaining(process, subject, policies, logs, settling, now_s))

    def release(self, index: int, subject: str, policy: Policy, request: str) -> None:
        """A charge is given back, as far as Redis can be told."""
        process = self.processes[index]
        process.let_in.get((subject, policy.name), {}).pop(request, None)
        process.up = process.up and self.reachable[index]
        if process.up:
            self.shared.get((subject, policy.name), {}).pop(request, None)

    def wipe(self) -> None:
        """Redis forgets everything."""
        self.shared.clear()
        self.incarnation += 1

    def find_again(self, index: int, now_s: float) -> None:
        """A process that knew that Redis was away finds it."""
        process = self.processes[index]
        process.up, process.settling_since_s = True, now_s
        process.known_incarnation = self.incarnation

    def share(self, policy: Policy) -> int:
        """What each process may let in on its own word."""
        return max(1, policy.quota // len(self.processes))

    def _settling(
        self, process: ProcessModel, policies: tuple[Policy, ...], now_s: float
    ) -> tuple[Policy, ...]:
        since_s = process.settling_since_s
        if since_s is None:
            return ()
        return tuple(policy for policy in policies if now_s - since_s <= policy.window_s)

    def _share_refuses(
        self, process: ProcessModel, subject: str, policies: tuple[Policy, ...], request: str, now_s: float
    ) -> tuple[str, ...]:
        logs = [(policy, self._log(process.let_in, subject, policy, now_s)) for policy in policies]
        return tuple(
            policy.name for policy, log in logs if request not in log and len(log) >= self.share(policy)
        )

    def _decide_alone(
        self, process: ProcessModel, subject: str, policies: tuple[Policy, ...], request: str, now_s: float
    ) -> Answer:
        if refused := self._share_refuses(process, subject, policies, request, now_s):
            return Answer(violated=refused)
        logs = [self._log(process.let_in, subject, policy, now_s) for policy in policies]
        for log in logs:
            log.setdefault(request, now_s)
        shares = [self.share(policy) for policy in policies]
        return Answer(tuple(max(0, share - len(log)) for share, log in zip(shares, logs, strict=True)))

    def _remaining(
        self,
        process: ProcessModel,
        subject: str,
        policies: tuple[Policy, ...],
        logs: list[Log],
        settling: tuple[Policy, ...],
        now_s: float,
    ) -> tuple[int, ...]:
        remaining = []
        for policy, log in zip(policies, logs, strict=True):
            left = max(0, policy.quota - len(log))
            if policy in settling:
                own = self._log(process.let_in, subject, policy, now_s)
                left = min(left, max(0, self.share(policy) - len(own)))
            remaining.append(left)
        return tuple(remaining)

    @staticmethod
    def _log(
        logs: dict[tuple[str, str], Log], subject: str, policy: Policy, now: float, per_s: int = 1
    ) -> Log:
        """The log without what is a window old."""
        log = logs.get((subject, policy.name), {})
        log = {request: at for request, at in log.items() if at > now - policy.window_s * per_s}
        logs[subject, policy.name] = log
        return log


class World:
    """The model and as many real gates, which have to say the same of everything.

    Create it with `await World.start(...)`. Each operation raises Disagreement as soon as they differ.
    """

    def __init__(
        self, scripts: TimedScripts, make_gate: MakeGate, count: int, policies: tuple[Policy, ...]
    ) -> None:
        self.policies = policies
        self.model = Model(count)
        self.clock = ManualClock()
        self.now_us = START_US
        self.history: list[str] = [f"{count} processes, {', '.join(policy.item for policy in policies)}"]
        self.let_in: dict[tuple[str, Policy], Log] = {}
        self.has_lost = False
        self.bounds_reached = 0
        """How often as many as allowed were let in across a loss: more than the quota."""
        self._epoch = next(_epochs)
        self._scripts = scripts
        self._links = [LinkedRedis(scripts, Schedule()) for _ in range(count)]
        self._gates = [
            make_gate(
                Ring([link], ["one"]),
                policies=Policies(),
                clock=self.clock,
                entropy=SeededEntropy(self._epoch + number),
                counters=CountingCounters(),
                background=NoBackground(),
                processes=count,
                ring_epoch=self._epoch,
            )
            for number, link in enumerate(self._links)
        ]

    async def start(self) -> None:
        """Begin, with Redis there and empty."""
        for gate in self._gates:
            await gate.start()

    async def enter(self, index: int, subject: str, policies: tuple[Policy, ...], request: str) -> None:
        """A request at one process."""
        gate = self._gates[index]
        now_s = self.clock.monotonic_s()
        expected = self.model.enter(index, subject, policies, request, self.now_us, now_s)
        work = gate.enter(Entering(request, policies, subject), Deadline.after(self.clock, 8.0))
        answer = await self._answer(work, lambda entered: entered.limits)
        self._compare(f"{request} of {subject} at {index} asks {_names(policies)}", answer, expected)
        self._count(subject, policies, request, answer)

    async def charge(self, index: int, subject: str, policy: Policy, request: str) -> None:
        """A charge that can be given back."""
        now_s = self.clock.monotonic_s()
        expected = self.model.ask(index, subject, (policy,), request, self.now_us, now_s)
        work = self._gates[index].charge(subject, (policy,), request, Deadline.after(self.clock, 8.0))
        answer = await self._answer(work, lambda limits: limits)
        self._compare(f"{request} of {subject} at {index} charges {policy.name}", answer, expected)
        self._count(subject, (policy,), request, answer)

    async def release(self, index: int, subject: str, policy: Policy, request: str) -> None:
        """Give a charge back."""
        self.history.append(f"{request} of {subject} at {index} gives {policy.name} back")
        self.model.release(index, subject, policy, request)
        await self._gates[index].release(subject, policy, request)
        self.let_in.get((subject, policy), {}).pop(request, None)

    async def pass_time(self, us: int) -> None:
        """Let time pass everywhere."""
        self.history.append(f"{us} us pass")
        self.now_us += us
        self.clock.advance(us / 1e6)
        await self._scripts.advance(self._epoch, us)

    def until_edge_us(self, subject: str, policy: Policy) -> int:
        """Microseconds until the oldest charge of a log leaves it; 0 if there is none."""
        log = self.model.shared.get((subject, policy.name), {})
        leaving = [at + policy.window_s * 1_000_000 - self.now_us for at in log.values()]
        return int(min((us for us in leaving if us > 0), default=0))

    def lose(self, index: int) -> None:
        """One process loses Redis."""
        self.history.append(f"{index} loses Redis")
        self.has_lost = True
        self.model.reachable[index] = False
        self._links[index].away = True

    async def find_again(self, index: int) -> None:
        """It has Redis again; what looks for it finds it, if the loss was noticed."""
        self.history.append(f"{index} finds Redis")
        self.model.reachable[index] = True
        self._links[index].away = False
        if not self.model.processes[index].up:
            self.model.find_again(index, self.clock.monotonic_s())
            await self._gates[index].start()

    async def wipe(self, subjects: tuple[str, ...]) -> None:
        """Redis is emptied."""
        self.history.append("Redis is wiped")
        self.has_lost = True
        self.model.wipe()
        keys = [f"{{{subject}}}:{policy.key_part}" for subject in subjects for policy in self.policies]
        await self._scripts.wipe(self._epoch, keys)
        # What is named by the time and a request is named once: here ids come again, and time stands still.
        await self.pass_time(1)

    def check_bounds(self) -> None:
        """What was let in, by our own count: never more than promised in any window."""
        count = len(self._gates)
        for (subject, policy), log in self.let_in.items():
            most = policy.quota
            if self.has_lost:
                most += (count - 1) * max(1, policy.quota // count)
            window_us = policy.window_s * 1_000_000
            for end_us in log.values():
                passed = sum(end_us - window_us < at_us <= end_us for at_us in log.values())
                self.bounds_reached += passed == most > policy.quota
                if passed > most:
                    rule = WORST_CASE if self.has_lost else AT_MOST_N
                    raise Disagreement(rule, f"{passed} of {subject}, at most {most}", self.history)

    def _count(self, subject: str, policies: tuple[Policy, ...], request: str, answer: Answer) -> None:
        if answer.violated:
            return
        for policy in policies:
            log = self.let_in.setdefault((subject, policy), {})
            window_us = policy.window_s * 1_000_000
            if log.get(request, -window_us) <= self.now_us - window_us:
                # A request that is sent again a window later is another one.
                earlier = log.pop(request, None)
                if earlier is not None:
                    log[f"{request}, charged at {earlier}"] = earlier
                log[request] = self.now_us
        self.check_bounds()

    async def _answer(self, work: Coroutine[Any, Any, Any], limits_of: Callable[[Any], Any]) -> Answer:
        try:
            states = limits_of(await work)
        except LimitedError as error:
            return Answer(violated=tuple(state.policy.name for state in error.violated))
        return Answer(tuple(state.remaining for state in states))

    def _compare(self, what: str, answer: Answer, expected: Answer) -> None:
        self.history.append(f"{what}: {answer}")
        if answer != expected:
            raise Disagreement(SAME_ANSWER, f"{what}: {answer}, but {expected} is right", self.history)


class Disagreement(AssertionError):
    """The gate did other than the model, or than was promised."""

    def __init__(self, rule: str, detail: str, history: list[str]) -> None:
        super().__init__(f"{rule}: {detail}\n" + "\n".join(history))
        self.rule, self.detail, self.history = rule, detail, list(history)


def _names(policies: tuple[Policy, ...]) -> str:
    return "+".join(policy.name for policy in policies)


SUBJECTS = ("u:1", "a:192.0.2.1")


def random_policies(chance: random.Random) -> tuple[Policy, ...]:
    """Two limits that a request asks together, and one whose charges are given back."""
    return (
        Policy("stake-read", chance.randint(1, 5), chance.randint(1, 3)),
        Policy("global", chance.randint(1, 8), chance.randint(1, 4)),
        Policy("auth-failure", chance.randint(1, 3), chance.randint(1, 3)),
    )


async def explore_limits(
    redis: Redis,
    *,
    make_gate: MakeGate = Gate,
    change: Change | None = None,
    seed: int = 1,
    runs: int = 50,
    operations: int = 60,
    losses: bool = True,
    stop_after: int = 1,
) -> Findings:
    """Random operations on gates and model side by side; what was found.

    `make_gate` is called with the arguments of `Gate`; `change` is given every script on its way to Redis.
    """
    scripts = TimedScripts(redis, change=change)
    findings = Findings()
    for run in range(runs):
        chance = random.Random(f"{seed}-{run}")
        world = World(scripts, make_gate, chance.randint(1, 4), random_policies(chance))
        try:
            await world.start()
            for operation in _operations(world, chance, operations, losses):
                await operation
                findings.ran["operations"] += 1
            findings.seen[REACHED] += world.bounds_reached > 0
        except Disagreement as error:
            detail = f"seed {seed}, run {run}: {error.detail}"
            findings.violations.append(Violation(error.rule, "limits", detail, "; ".join(error.history)))
            if len(findings.violations) >= stop_after:
                break
    return findings


def _operations(
    world: World, chance: random.Random, count: int, losses: bool
) -> Iterator[Coroutine[Any, Any, None]]:
    requests = itertools.count(1)
    processes = len(world.model.processes)
    read, everything, failures = world.policies
    for _ in range(count):
        index, subject = chance.randrange(processes), chance.choice(SUBJECTS)
        number = next(requests) if chance.random() < 0.8 else chance.randint(1, 5)
        request = f"{index}-{number}"
        policies = chance.choice([(read, everything), (everything,), (everything, read)])
        kind = chance.random()
        if kind < 0.6:
            yield world.enter(index, subject, policies, request)
        elif kind < 0.7:
            yield world.charge(index, subject, failures, request)
        elif kind < 0.75:
            yield world.release(index, subject, failures, f"{index}-{chance.randint(1, 30)}")
        elif kind < 0.9 or not losses:
            edge_us = world.until_edge_us(subject, chance.choice(policies))
            yield world.pass_time(max(0, chance.choice([edge_us - 1, edge_us, edge_us + 1, 1, 700_000])))
        elif kind < 0.94:
            world.lose(index)
        elif kind < 0.98:
            yield world.find_again(index)
        else:
            yield world.wipe(SUBJECTS)
