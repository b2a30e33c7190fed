"""The machine's clocks and randomness."""

import os
import time
from collections import deque
from typing import Final

_SMALL_BYTES: Final = 16
_BLOCK_BYTES: Final = 4096


class SystemClock:
    """The machine's clocks; implements `Clock`."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()


class SystemEntropy:
    """The operating system's randomness; implements `Entropy`. Not for a process that forks.

    Up to 16 bytes are cut from a block, each piece handed out once: a system call for each would be a
    twentieth of what a cached read costs. Any thread may ask.
    """

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        if count > _SMALL_BYTES:
            return os.urandom(count)
        try:
            return self._pieces.popleft()[:count]
        except IndexError:
            block = os.urandom(_BLOCK_BYTES)
        starts = range(_SMALL_BYTES, _BLOCK_BYTES, _SMALL_BYTES)
        self._pieces.extend([block[start : start + _SMALL_BYTES] for start in starts])
        return block[:count]
