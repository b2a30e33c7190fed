"""Who is known to be refused, so that refusing them again costs no trip."""

from collections.abc import Iterable

from stakehold.domain.ports import Clock
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy

BLOCKS_MAX = 10_000


class BlockTable:
    """Subjects whose log is full, until its oldest charge leaves: nothing can pass before that.

    When that is, is known in whole seconds, rounded up, as `Retry-After` says it: so a subject may be refused
    up to one second longer than Redis would.

    It holds for policies whose charges are never given back. At most `blocks_max` are remembered; for one
    that is forgotten, Redis is asked again.
    """

    def __init__(self, clock: Clock, blocks_max: int = BLOCKS_MAX) -> None:
        self._clock = clock
        self._blocks_max = blocks_max
        self._until_s: dict[tuple[str, str], float] = {}

    def block(self, subject: str, states: Iterable[LimitState], asked_at_s: float) -> None:
        """Remember the full `states`, as Redis told them to who asked at `asked_at_s`."""
        for state in states:
            if len(self._until_s) >= self._blocks_max:
                self._forget_some()
            self._until_s[subject, state.policy.name] = asked_at_s + state.reset_s

    def find(self, subject: str, policies: Iterable[Policy]) -> tuple[LimitState, ...]:
        """Those of `policies` that are known to refuse `subject` now."""
        if not self._until_s:
            return ()
        blocked = []
        for policy in policies:
            until_s = self._until_s.get((subject, policy.name))
            if until_s is None:
                continue
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                del self._until_s[subject, policy.name]
            else:
                blocked.append(LimitState(policy, 0, int(-(-left_s // 1))))
        return tuple(blocked)

    def _forget_some(self) -> None:
        """Make room: forget what is over, and the oldest if nothing is."""
        now_s = self._clock.monotonic_s()
        over = [key for key, until_s in self._until_s.items() if until_s <= now_s]
        for key in over or [next(iter(self._until_s))]:
            del self._until_s[key]
