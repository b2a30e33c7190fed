"""Work behind the answers, natively: tracked tasks, bounded, awaited before the process ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Counters
from stakehold.telemetry.faults import describe_fault
from stakehold.telemetry.logs import JsonLog

TASKS_MAX: Final = 1000


class TaskBackground:
    """Runs background work as tasks; implements `Background`.

    All of it may be left undone (it stores pages, renews stale ones) or is asked for again (the look for the
    return of Redis): beyond `tasks_max` tasks at once, work is refused and counted.
    """

    def __init__(self, *, log: JsonLog, counters: Counters, tasks_max: int = TASKS_MAX) -> None:
        self._log = log
        self._counters = counters
        self._tasks_max = tasks_max
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """Start `work`; its errors are logged under `name`. False when it was refused."""
        if self._closed or len(self._tasks) >= self._tasks_max:
            self._counters.count("background_refused")
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(run_logged(work, name, self._log), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self, timeout_s: float) -> None:
        """Wait for what was started; cancel what is not done within `timeout_s`, and refuse new work."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        self._closed = True
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def run_logged(work: Coroutine[Any, Any, None], name: str, log: JsonLog) -> None:
    """Do `work`; what it raises becomes a line of the log."""
    try:
        await work
    except StakeholdError as error:
        # A store was away: the next reader does it again.
        log.write("background_failed", level="warning", work=name, code=error.code)
    except Exception as fault:
        log.write("background_fault", level="error", work=name, **describe_fault(fault))
