"""What the inside needs of the outside, so that tests and both runtimes can supply it."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from stakehold.domain.errors import OverloadedError


class Clock(Protocol):
    """Two clocks: one tells the date, the other only ever moves forward."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; for deadlines and ages inside this process."""
        ...


class Entropy(Protocol):
    """The source of ids, nonces, salts and tokens."""

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        ...


class Counters(Protocol):
    """Counts of what an operator wants to know; names are listed in telemetry/metrics.py."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add `amount` to the counter `name`."""
        ...


class Background(Protocol):
    """Work that goes on after the answer: tracked tasks natively, `waitUntil` on Workers."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """Start `work`; its errors are logged, and it is awaited before the process ends.

        False: too much is under way, and nothing of `work` will run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which a request is answered, on the monotonic clock."""

    clock: Clock
    at_s: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(clock, clock.monotonic_s() + seconds)

    def left_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at_s - self.clock.monotonic_s())

    def bound_s(self, timeout_s: float) -> float:
        """`timeout_s`, or what is left of the deadline if that is less."""
        return min(timeout_s, self.left_s())

    def require_s(self, needed_s: float) -> None:
        """Raise OverloadedError when fewer than `needed_s` seconds are left."""
        if self.left_s() < needed_s:
            raise OverloadedError("The request ran out of time before its work began.", retry_after_s=1)
