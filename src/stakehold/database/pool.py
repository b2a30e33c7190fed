"""A pool of connections that survives its database's restarts: aged, checked and replaced."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from stakehold.database.connecting import (
    CHECK_TIMEOUT_S,
    LOST,
    SERVER_SETTINGS,
    WAIT_S,
    After,
    after,
    connect,
    overloaded,
    ping,
)
from stakehold.database.port import Connection
from stakehold.database.transactions import unavailable
from stakehold.domain.ports import Clock, Counters, Deadline, Entropy

CHECK_AFTER_IDLE_S: Final = 30.0
MAX_AGE_S: Final = 300.0
AGE_JITTER: Final = 0.1
WAITERS_PER_CONNECTION_MAX: Final = 32


@dataclass(slots=True)
class _Held:
    """An established connection, when it is too old, and when it was last known to work."""

    connection: Any
    retire_at_s: float
    good_at_s: float


class Pool:
    """At most `size` connections to `url`, the most recently used first. Implements `Database`.

    A connection is replaced at `max_age_s`, less up to 10 % at random so that they do not all go at once; it
    is checked before use when it idled for 30 s, and when any connection broke since it last worked. There is
    no reset query: nothing sets session state, and a connection left inside a transaction is closed.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self._where = {"dsn": url, "server_settings": SERVER_SETTINGS}
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._max_age_s = max_age_s
        self._slots = asyncio.Semaphore(size)
        self._waiting = 0
        self._waiting_max = size * WAITERS_PER_CONNECTION_MAX
        self._idle: list[_Held] = []
        self._distrusted_at_s = float("-inf")
        self._closed = False

    @contextlib.asynccontextmanager
    async def connection(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """See `Database.connection`."""
        await self._take_slot(deadline)
        try:
            held = await self._checked_out(deadline)
            sound = False
            try:
                yield held.connection
                sound = True
            except BaseException as error:
                sound = self._leaves_sound(error)
                raise
            finally:
                self._give_back(held, sound)
        finally:
            self._slots.release()

    async def ping(self, deadline: Deadline) -> None:
        """See `Database.ping`."""
        async with self.connection(deadline) as connection:
            await ping(connection, deadline)

    async def close(self) -> None:
        """Close every connection and refuse new ones; those in use are closed as they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        closings = (held.connection.close(timeout=CHECK_TIMEOUT_S) for held in idle)
        await asyncio.gather(*closings, return_exceptions=True)

    async def _take_slot(self, deadline: Deadline) -> None:
        if self._closed:
            raise unavailable()
        if not self._slots.locked():
            await self._slots.acquire()  # At once: no timer is worth its cost here.
            return
        if self._waiting >= self._waiting_max:
            self._counters.count("sql_pool_refused")
            raise overloaded()
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.bound_s(WAIT_S)):
                await self._slots.acquire()
        except TimeoutError:
            self._counters.count("sql_pool_refused")
            raise overloaded() from None
        finally:
            self._waiting -= 1

    async def _checked_out(self, deadline: Deadline) -> _Held:
        """The idle connection used last if it is good, else a new one."""
        while self._idle:
            held = self._idle.pop()
            if held.connection.is_closed() or held.retire_at_s <= self._clock.monotonic_s():
                self._discard(held)
            elif not self._needs_check(held) or await self._works(held, deadline):
                return held
            else:
                # Where one idle connection is dead the others are too; asking each would take a second each.
                self._discard_idle()
        return await self._connect(deadline)

    def _needs_check(self, held: _Held) -> bool:
        idle_s = self._clock.monotonic_s() - held.good_at_s
        return idle_s >= CHECK_AFTER_IDLE_S or held.good_at_s <= self._distrusted_at_s

    async def _works(self, held: _Held, deadline: Deadline) -> bool:
        works = False
        try:
            await asyncio.wait_for(held.connection.fetchval("SELECT 1"), deadline.bound_s(CHECK_TIMEOUT_S))
            works = True
        except LOST:
            self._counters.count("sql_pool_checks_failed")
        finally:
            if not works:
                self._discard(held)
        held.good_at_s = self._clock.monotonic_s()
        return works

    async def _connect(self, deadline: Deadline) -> _Held:
        connection = await connect(self._where, deadline, self._counters)
        now_s = self._clock.monotonic_s()
        fraction = int.from_bytes(self._entropy.random_bytes(4), "big") / 2**32
        return _Held(connection, now_s + self._max_age_s * (1 - AGE_JITTER * fraction), now_s)

    def _leaves_sound(self, error: BaseException) -> bool:
        verdict = after(error)
        if verdict is After.BROKEN:
            self._distrusted_at_s = self._clock.monotonic_s()
        return verdict is After.SOUND

    def _give_back(self, held: _Held, sound: bool) -> None:
        connection = held.connection
        if self._closed or not sound or connection.is_closed() or connection.is_in_transaction():
            self._discard(held)
            return
        held.good_at_s = self._clock.monotonic_s()
        self._idle.append(held)

    def _discard(self, held: _Held) -> None:
        self._counters.count("sql_disconnects")
        held.connection.terminate()

    def _discard_idle(self) -> None:
        while self._idle:
            self._discard(self._idle.pop())
