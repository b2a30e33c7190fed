"""Work behind the answers, on Workers: a request's own, awaited before the platform lets go of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from stakehold.domain.ports import Counters
from stakehold.runtime.background import run_logged
from stakehold.telemetry.logs import JsonLog

TASKS_MAX: Final = 16
"""Of one request, which starts one or two."""


class WaitUntilBackground:
    """What one request leaves to be done; implements `Background`. What calls `finish` is in `waitUntil`."""

    def __init__(self, *, log: JsonLog, counters: Counters, tasks_max: int = TASKS_MAX) -> None:
        self._log = log
        self._counters = counters
        self._tasks_max = tasks_max
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """Start `work`; its errors are logged under `name`. False when it was refused."""
        if len(self._tasks) >= self._tasks_max:
            return refuse(work, self._counters)
        task = asyncio.get_running_loop().create_task(run_logged(work, name, self._log), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def finish(self) -> None:
        """Wait until all is done, what it started itself included. All of it has deadlines of its own."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class NoBackground:
    """Refuses, for the isolate's gate: nothing goes on that is of no request. Implements `Background`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """Nothing of `work` runs."""
        return refuse(work, self._counters)


def refuse(work: Coroutine[Any, Any, None], counters: Counters) -> bool:
    """Drop `work`, and count it. Always False."""
    counters.count("background_refused")
    work.close()
    return False
