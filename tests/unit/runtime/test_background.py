"""Work behind the answers: tracked, bounded, awaited at the end."""

import asyncio
import json
from io import BytesIO

import pytest

from stakehold.domain.errors import DatabaseError
from stakehold.runtime.background import TaskBackground
from stakehold.telemetry.logs import JsonLog
from tests.support.fakes import CountingCounters, ManualClock


@pytest.fixture
def stream() -> BytesIO:
    return BytesIO()


@pytest.fixture
def log(stream: BytesIO, clock: ManualClock) -> JsonLog:
    return JsonLog(stream, clock)


async def test_close_waits_for_what_was_started(log: JsonLog, counters: CountingCounters) -> None:
    """Nothing that was begun is cut off while there is time, what it starts itself included."""
    background = TaskBackground(log=log, counters=counters)
    gone_on = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await gone_on.wait()
        done.append("work")

    background.start(work(), "work")
    asyncio.get_running_loop().call_later(0.01, gone_on.set)
    await background.close(5)
    assert done == ["work"]


async def test_close_ends_what_takes_too_long(log: JsonLog, counters: CountingCounters) -> None:
    """A stop has a deadline; afterwards nothing runs and nothing new begins."""
    background = TaskBackground(log=log, counters=counters)
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background.start(endless(), "endless")
    await background.close(0.01)
    assert ended.is_set()
    background.start(endless(), "late")
    assert counters.counts == {"background_refused": 1}


async def test_there_is_a_bound(log: JsonLog, counters: CountingCounters) -> None:
    """Beyond it work is refused and counted, not queued."""
    background = TaskBackground(log=log, counters=counters, tasks_max=2)
    gone_on = asyncio.Event()
    done: list[int] = []

    async def work(number: int) -> None:
        await gone_on.wait()
        done.append(number)

    for number in range(3):
        background.start(work(number), "work")
    gone_on.set()
    await background.close(5)
    assert done == [0, 1]
    assert counters.counts == {"background_refused": 1}


async def test_failures_are_logged_by_kind(log: JsonLog, stream: BytesIO, counters: CountingCounters) -> None:
    """A store that is away is a warning; a fault of ours is an error with its place, without its message."""
    background = TaskBackground(log=log, counters=counters)

    async def away() -> None:
        raise DatabaseError("away")

    async def fault() -> None:
        raise RuntimeError("hunter2")

    background.start(away(), "read a page")
    background.start(fault(), "store a page")
    await background.close(5)
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    by_level = {line["level"]: line for line in lines}
    assert by_level["warning"]["code"] == "database_unavailable"
    assert by_level["error"]["work"] == "store a page"
    assert by_level["error"]["fault"] == "RuntimeError"
    assert "hunter2" not in stream.getvalue().decode()
