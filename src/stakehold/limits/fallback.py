"""The limits of one process, for when Redis is away or has forgotten.

Each process keeps a log of what it let in itself. On its own word alone it lets in no more than its share,
the quota divided by the number of processes, and at least one. The worst case across a loss of Redis is
stated in docs/adr/0003-limits-when-redis-is-lost.md.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Protocol

from stakehold.domain.ports import Clock
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy

SUBJECTS_MAX = 20_000
CHARGES_MAX = 2_000_000
"""Some 75 bytes each."""

ISOLATE_CHARGES_MAX = 200_000
"""The same where a process has 128 MB for everything."""

PLATFORM_PERIODS_S = (60, 10)
"""What a platform's limiter counts over (Cloudflare's takes no other), the longest first."""


class PlatformLimiter(Protocol):
    """The platform's own rate limiting, over many instances that do not know of each other.

    It is asked beside the local share, and need not be exact. A policy is given to it with its quota, over
    `platform_period_s` of it.
    """

    async def admit(self, subject: str, policy: Policy) -> bool:
        """Charge `subject`, and tell whether `policy` has room; True for a policy it has no limiter for.

        Whatever it raises, and taking long, counts as not having answered.
        """
        ...


def platform_period_s(policy: Policy) -> int | None:
    """Over how many seconds a platform's limiter counts the quota of `policy`; None where it has none.

    The longest that fits into the window: whoever keeps to the policy is never refused by a limiter that
    counts right, and over a longer window it lets in more than the policy does.
    """
    return next((period_s for period_s in PLATFORM_PERIODS_S if period_s <= policy.window_s), None)


_Log = dict[str, float]  # request id -> when it was let in, on the monotonic clock; in that order


@dataclass(slots=True)
class Decision:
    """Whether the local share has room: `violated` is empty if so.

    `charged` are the policies that were charged just now: none when the request was let in before.
    """

    limits: tuple[LimitState, ...]
    violated: tuple[LimitState, ...]
    charged: tuple[Policy, ...]

    def bound(self, states: tuple[LimitState, ...]) -> tuple[LimitState, ...]:
        """`states` as Redis told them, with no more remaining than the local share has."""
        share = {state.policy.name: state for state in self.limits}
        return tuple(
            min(state, share.get(state.policy.name, state), key=lambda one: one.remaining) for state in states
        )


class LocalLog:
    """What this process let in, by subject and policy, over each policy's window.

    At most `subjects_max` subjects are kept, and `charges_max` charges of all of them; the subject not seen
    for longest is forgotten first.
    """

    def __init__(
        self,
        clock: Clock,
        processes: int,
        subjects_max: int = SUBJECTS_MAX,
        charges_max: int = CHARGES_MAX,
    ) -> None:
        self.charges = 0
        """How many are kept: a request counts once for each of its policies."""
        self._clock = clock
        self._processes = processes
        self._subjects_max = subjects_max
        self._charges_max = charges_max
        self._subjects: OrderedDict[str, dict[str, _Log]] = OrderedDict()

    def share(self, policy: Policy) -> int:
        """How many of the quota are this process's own."""
        return max(1, policy.quota // self._processes)

    def record(self, subject: str, policies: Sequence[Policy], request_id: str) -> None:
        """Note what Redis let in. A request id counts once."""
        now_s = self._clock.monotonic_s()
        logs = self._logs(subject)
        for policy in policies:
            log = self._current(logs, policy, now_s)
            if request_id not in log:
                log[request_id] = now_s
                self.charges += 1

    def admit(self, subject: str, policies: Sequence[Policy], request_id: str) -> Decision:
        """Let a request in on this process's word, if every share has room; a refusal charges nothing."""
        now_s = self._clock.monotonic_s()
        logs = self._logs(subject)
        current = [(policy, self._current(logs, policy, now_s)) for policy in policies]
        full = [policy for policy, log in current if request_id not in log and len(log) >= self.share(policy)]
        charged = []
        for policy, log in () if full else current:
            if request_id not in log:
                log[request_id] = now_s
                charged.append(policy)
        self.charges += len(charged)
        states = tuple(self._state(policy, log, now_s) for policy, log in current)
        return Decision(states, tuple(state for state in states if state.policy in full), tuple(charged))

    def take_back(self, subject: str, policies: Sequence[Policy], request_id: str) -> None:
        """Forget that a request was let in."""
        logs = self._subjects.get(subject, {})
        for policy in policies:
            log = logs.get(policy.name, {})
            if request_id in log:
                del log[request_id]
                self.charges -= 1

    def _logs(self, subject: str) -> dict[str, _Log]:
        logs = self._subjects.get(subject)
        if logs is not None:
            self._subjects.move_to_end(subject)
        while self.charges >= self._charges_max:
            self._forget_one()
            # The last to be forgotten is the subject itself.
            logs = self._subjects.get(subject)
        if logs is None:
            if len(self._subjects) >= self._subjects_max:
                self._forget_one()
            logs = self._subjects[subject] = {}
        return logs

    def _forget_one(self) -> None:
        _, logs = self._subjects.popitem(last=False)
        self.charges -= sum(len(log) for log in logs.values())

    def _current(self, logs: dict[str, _Log], policy: Policy, now_s: float) -> _Log:
        """The log of `policy` without what has left its window."""
        log = logs.get(policy.name)
        if log is None:
            log = logs[policy.name] = {}
            return log
        begin_s = now_s - policy.window_s
        while log:
            oldest, let_in_s = next(iter(log.items()))
            if let_in_s > begin_s:
                break
            del log[oldest]
            self.charges -= 1
        return log

    def _state(self, policy: Policy, log: _Log, now_s: float) -> LimitState:
        share = self.share(policy)
        if not log:
            return LimitState(policy, share, 0)
        # Redis may have let in more than our share: then room comes when enough of them have left.
        position = max(0, len(log) - share)
        leaving_s = next(islice(log.values(), position, None)) + policy.window_s
        return LimitState(policy, max(0, share - len(log)), max(1, ceil(leaving_s - now_s)))
