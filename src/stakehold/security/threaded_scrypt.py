"""scrypt by OpenSSL, in threads: for the native runtime alone, WebAssembly has neither."""

import asyncio
import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from stakehold.domain.errors import OverloadedError


class ThreadedScrypt:
    """Computes at most `max_concurrent` hashes at once, while at most `max_waiting` more wait their turn.

    A hash takes some 0.3 s and 16 MiB, so these two numbers bound the memory, and the time anyone waits.
    """

    def __init__(self, *, max_concurrent: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_concurrent, thread_name_prefix="scrypt")
        self._unfinished_max = max_concurrent + max_waiting
        self._unfinished = 0
        self._lock = threading.Lock()

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        """The derived key. Raises OverloadedError at once when too many wait already."""
        with self._lock:
            if self._unfinished >= self._unfinished_max:
                raise OverloadedError("Too many passwords are being checked.", retry_after_s=1)
            self._unfinished += 1
        work = self._executor.submit(
            hashlib.scrypt,
            password,
            salt=salt,
            n=n,
            r=r,
            p=p,
            dklen=length,
            maxmem=128 * r * (n + p + 2),  # What OpenSSL counts against its limit.
        )
        # On the work, not on our wait for it: a thread goes on when the one who asked is gone.
        work.add_done_callback(self._finished)
        return await asyncio.wrap_future(work)

    def close(self) -> None:
        """Drop what waits; what is being computed finishes by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _finished(self, _: Future[bytes]) -> None:
        with self._lock:
            self._unfinished -= 1
