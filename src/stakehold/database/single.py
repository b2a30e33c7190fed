"""One connection for one request, where nothing can be kept for the next: on Workers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from stakehold.database.connecting import (
    WAIT_S,
    After,
    after,
    connect,
    overloaded,
    ping,
)
from stakehold.database.port import Connection
from stakehold.database.transactions import unavailable
from stakehold.domain.ports import Counters, Deadline
from stakehold.domain.time_limit import TimeLimit


class SingleConnection:
    """A connection opened when it is first needed. Implements `Database` for one request and what follows it.

    Those of the request that work at once use it in turn. One that broke, or whose statement ran out of time,
    is closed, and the next use opens another.
    """

    def __init__(self, where: Callable[[], Mapping[str, Any]], *, counters: Counters) -> None:
        """`where` is asked at each opening: asyncpg's arguments."""
        self._where = where
        self._counters = counters
        self._in_use = asyncio.Lock()
        self._connection: Any = None
        self._closed = False

    @contextlib.asynccontextmanager
    async def connection(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """See `Database.connection`."""
        await self._take_turn(deadline)
        try:
            connection = await self._open(deadline)
            sound = False
            try:
                yield connection
                sound = True
            except BaseException as error:
                sound = after(error) is After.SOUND
                raise
            finally:
                if not sound or connection.is_in_transaction():
                    self._discard()
        finally:
            self._in_use.release()

    async def ping(self, deadline: Deadline) -> None:
        """See `Database.ping`."""
        async with self.connection(deadline) as connection:
            await ping(connection, deadline)

    async def close(self) -> None:
        """Close the connection, if there is one, and refuse to open another."""
        self._closed = True
        if self._connection is not None:
            self._discard()
            await asyncio.sleep(0)  # The loop closes the socket at its next turn.

    async def _take_turn(self, deadline: Deadline) -> None:
        if not self._in_use.locked():
            await self._in_use.acquire()  # At once: no timer is worth its cost here.
            return
        try:
            with TimeLimit(deadline.bound_s(WAIT_S)):
                await self._in_use.acquire()
        except TimeoutError:
            self._counters.count("sql_pool_refused")
            raise overloaded() from None

    async def _open(self, deadline: Deadline) -> Any:
        if self._closed:
            raise unavailable()
        if self._connection is not None and self._connection.is_closed():
            self._discard()
        if self._connection is None:
            self._connection = await connect(self._where(), deadline, self._counters)
        return self._connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._counters.count("sql_disconnects")
            # It says goodbye too, but waits for no answer: nobody has the time.
            connection.terminate()
