"""The machine's clocks and randomness."""

import os
import time


class SystemClock:
    """The machine's clocks; implements `Clock`."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()


class SystemEntropy:
    """The operating system's randomness; implements `Entropy`."""

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return os.urandom(count)
