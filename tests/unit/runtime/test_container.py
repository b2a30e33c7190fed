"""The container: when it writes its counters."""

import asyncio
import json
from io import BytesIO

import pytest

from stakehold.runtime import container
from stakehold.telemetry.logs import JsonLog
from stakehold.telemetry.metrics import Metrics
from tests.support.fakes import ManualClock

WAIT_S = 5.0


class LookedAtMetrics(Metrics):
    """Counters that know how often they were looked at."""

    looks = 0

    def snapshot(self) -> dict[str, int]:
        self.looks += 1
        return super().snapshot()


async def test_counters_are_written_when_they_have_changed(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """Only those that count something; nothing is repeated, however long nothing changes."""
    monkeypatch.setattr(container, "COUNTERS_INTERVAL_S", 0.001)
    stream, metrics = BytesIO(), LookedAtMetrics()
    log = JsonLog(stream, clock)

    async def look_again() -> None:
        looks = metrics.looks
        async with asyncio.timeout(WAIT_S):
            while metrics.looks < looks + 3:
                await asyncio.sleep(0.001)

    counting = asyncio.create_task(container._log_counters(log, metrics))
    try:
        await look_again()
        metrics.count("refresh_reuse")
        await look_again()
        metrics.count("redis_losses", 2)
        await look_again()
    finally:
        counting.cancel()
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["counters", "counters"]
    assert [line["counts"] for line in lines] == [
        {"refresh_reuse": 1},
        {"redis_losses": 2, "refresh_reuse": 1},
    ]
