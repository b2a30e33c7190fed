"""Limits beside their model: whatever is asked in whatever order, the gates say what the model says.

Some processes on one Redis, under a clock that the test moves, to the microsecond before, on and after the
edge of a window; requests sent again; processes that lose Redis and find it; Redis emptied. Beside each
answer the test counts what was let in: N in any window, across a loss N + (P - 1) * max(1, N // P).
"""

import asyncio

import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stakehold.gate import Gate, Policy
from tests.stateful.models.client import client_of, with_redis
from tests.stateful.models.limits import REACHED, SUBJECTS, World, explore_limits
from tests.stateful.models.timed_scripts import TimedScripts
from tests.support.fakes import SeededEntropy

PROCESSES_MAX = 4
processes = st.integers(0, PROCESSES_MAX - 1)
subjects = st.sampled_from(SUBJECTS)
numbers = st.integers(1, 12)
limits = st.sampled_from([(0, 1), (1, 0), (0,), (1,)])


class LimitsMachine(RuleBasedStateMachine):
    """Operations that Hypothesis chooses, and makes fewer when one goes wrong."""

    runner: asyncio.Runner
    scripts: TimedScripts

    @initialize(
        count=st.integers(1, PROCESSES_MAX),
        quotas=st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 3)),
        windows_s=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    )
    def begin(self, count: int, quotas: tuple[int, int, int], windows_s: tuple[int, int, int]) -> None:
        names = ("stake-read", "global", "auth-failure")
        policies = tuple(map(Policy, names, quotas, windows_s))
        self.world = World(self.scripts, Gate, count, policies)
        self.count = count
        self.runner.run(self.world.start())

    @rule(at=processes, subject=subjects, number=numbers, which=limits)
    def enter(self, at: int, subject: str, number: int, which: tuple[int, ...]) -> None:
        policies = tuple(self.world.policies[one] for one in which)
        index = at % self.count
        self.runner.run(self.world.enter(index, subject, policies, f"{index}-{number}"))

    @rule(at=processes, subject=subjects, first=st.integers(100, 200), count=st.integers(2, 9))
    def burst(self, at: int, subject: str, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.enter(at, subject, number, (0, 1))

    @rule(at=processes, subject=subjects, number=numbers)
    def charge(self, at: int, subject: str, number: int) -> None:
        index, policy = at % self.count, self.world.policies[2]
        self.runner.run(self.world.charge(index, subject, policy, f"{index}-{number}"))

    @rule(at=processes, subject=subjects, number=numbers)
    def release(self, at: int, subject: str, number: int) -> None:
        index, policy = at % self.count, self.world.policies[2]
        self.runner.run(self.world.release(index, subject, policy, f"{index}-{number}"))

    @rule(subject=subjects, which=st.integers(0, 2), beside_us=st.sampled_from([-1, 0, 1]))
    def go_to_the_edge(self, subject: str, which: int, beside_us: int) -> None:
        edge_us = self.world.until_edge_us(subject, self.world.policies[which])
        self.runner.run(self.world.pass_time(max(0, edge_us + beside_us)))

    @rule(us=st.integers(0, 2_000_000))
    def pass_time(self, us: int) -> None:
        self.runner.run(self.world.pass_time(us))

    @rule(at=processes)
    def lose(self, at: int) -> None:
        self.world.lose(at % self.count)

    @precondition(lambda self: not all(self.world.model.reachable))
    @rule(at=processes)
    def find_again(self, at: int) -> None:
        self.runner.run(self.world.find_again(at % self.count))

    @rule()
    def wipe(self) -> None:
        self.runner.run(self.world.wipe(SUBJECTS))


def test_gates_answer_as_the_model_whatever_is_asked(redis_url: str) -> None:
    """Every admission, refusal and number left agrees with the model, and no bound is broken."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        redis = client_of(redis_url)

        LimitsMachine.runner, LimitsMachine.scripts = runner, TimedScripts(redis)
        try:
            run_state_machine_as_test(
                LimitsMachine,
                settings=settings(
                    max_examples=50,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(redis.close())


def test_long_runs_agree_and_reach_the_worst_case(redis_url: str, entropy: SeededEntropy) -> None:
    """The same by seed; the bound across a loss is reached, so it is not stated too high."""
    findings = with_redis(
        redis_url, lambda redis: explore_limits(redis, seed=entropy.seed, runs=100, operations=70)
    )
    print(findings.report())
    assert not findings.violations
    assert findings.ran["operations"] > 5_000
    assert findings.seen[REACHED] > 0


def test_without_losses_exactly_the_quota_passes(redis_url: str, entropy: SeededEntropy) -> None:
    """While Redis keeps its data no window has more than N, over all processes and at its edges."""
    findings = with_redis(
        redis_url,
        lambda redis: explore_limits(redis, seed=entropy.seed, runs=80, operations=60, losses=False),
    )
    print(findings.report())
    assert not findings.violations
