"""What tests inject in place of the machine's clock and randomness."""

import hashlib
import random
from collections.abc import Coroutine
from typing import Any


class ManualClock:
    """A clock that moves only when told."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ms += round(seconds * 1000)
        self._monotonic_s += seconds


class SeededEntropy:
    """Random bytes that a seed repeats."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class CountingCounters:
    """Counters a test can read."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, amount: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount


class CheapScrypt:
    """A password hash that costs nothing, where not the hash is tested. `costs` are the works asked for."""

    def __init__(self) -> None:
        self.costs: list[tuple[int, int, int, int]] = []

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        self.costs.append((n, r, p, length))
        return hashlib.pbkdf2_hmac("sha256", password, salt, 1, length)


class HeldBackground:
    """Work behind the answers, held back until the test lets it run."""

    def __init__(self) -> None:
        self._held: list[Coroutine[Any, Any, None]] = []

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        self._held.append(work)
        return True

    async def run(self) -> None:
        """Do all that was started, in its order."""
        while self._held:
            await self._held.pop(0)

    def drop(self) -> None:
        """Let nothing of it happen."""
        while self._held:
            self._held.pop().close()
