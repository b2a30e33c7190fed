"""Work behind a request's answer, on Workers: finished before the platform lets go of the request."""

import asyncio
import json
from io import BytesIO

import pytest

from stakehold.domain.errors import DatabaseError
from stakehold.runtime.worker_background import NoBackground, WaitUntilBackground
from stakehold.telemetry.logs import JsonLog
from tests.support.fakes import CountingCounters, ManualClock


@pytest.fixture
def stream() -> BytesIO:
    return BytesIO()


@pytest.fixture
def log(stream: BytesIO, clock: ManualClock) -> JsonLog:
    return JsonLog(stream, clock, collect=False)


async def test_all_of_it_is_finished(log: JsonLog, counters: CountingCounters) -> None:
    """What was started, and what that started itself."""
    background = WaitUntilBackground(log=log, counters=counters)
    done: list[str] = []

    async def more() -> None:
        await asyncio.sleep(0)
        done.append("more")

    async def work() -> None:
        await asyncio.sleep(0)
        background.start(more(), "more")
        done.append("work")

    assert background.start(work(), "work")
    assert done == []
    await background.finish()
    assert done == ["work", "more"]


async def test_there_is_a_bound(log: JsonLog, counters: CountingCounters) -> None:
    """Beyond it work is refused and counted."""
    background = WaitUntilBackground(log=log, counters=counters, tasks_max=2)
    done: list[int] = []

    async def work(number: int) -> None:
        done.append(number)

    assert [background.start(work(number), "work") for number in range(3)] == [True, True, False]
    await background.finish()
    assert done == [0, 1]
    assert counters.counts == {"background_refused": 1}


async def test_failures_are_logged_as_natively(
    log: JsonLog, stream: BytesIO, counters: CountingCounters
) -> None:
    """A store that is away is a warning; a fault of ours is an error, without its message; both are over."""
    background = WaitUntilBackground(log=log, counters=counters)

    async def away() -> None:
        raise DatabaseError("away")

    async def fault() -> None:
        raise RuntimeError("hunter2")

    background.start(away(), "read a page")
    background.start(fault(), "store a page")
    await background.finish()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["work"]) for line in lines] == [
        ("background_failed", "read a page"),
        ("background_fault", "store a page"),
    ]
    assert "hunter2" not in stream.getvalue().decode()


async def test_what_is_of_no_request_is_refused(counters: CountingCounters) -> None:
    """The isolate's own gate has no background: nothing would wait for it."""
    done: list[str] = []

    async def work() -> None:
        done.append("work")

    assert not NoBackground(counters).start(work(), "work")
    assert counters.counts == {"background_refused": 1}
    assert done == []
