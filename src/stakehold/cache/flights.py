"""One reading of the database for all who miss the same page at once, inside one process."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

FLIGHTS_MAX = 1000


class Joining(Protocol):
    """How readers of one page find each other."""

    async def join(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """What `load` gives, whoever of those with the same `key` ran it."""
        ...


class Flights:
    """Single flight. The key carries the generation, so nobody joins a reading from before a write.

    The reading is a task of its own: a leader that is cancelled does not take the others' answer with it.
    """

    def __init__(self, flights_max: int = FLIGHTS_MAX) -> None:
        """Beyond `flights_max` flights at once, readers read for themselves."""
        self._flights_max = flights_max
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """What `load` gives, whoever of those with the same `key` ran it; its error goes to all of them."""
        task: asyncio.Task[T] | None = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= self._flights_max:
                return await load()
            task = asyncio.get_running_loop().create_task(_run(load))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task)

    def _land(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # Looked at here, so that an error whose waiters have all gone is not reported as forgotten.
            task.exception()


async def _run(load: Callable[[], Awaitable[T]]) -> T:
    return await load()


class NoFlights:
    """Everybody reads alone: on Workers a request must not wait for another's."""

    async def join(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """What `load` gives."""
        return await load()
