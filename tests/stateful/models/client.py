"""A client of Redis for models: the service's own, in a loop of its own."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from stakehold.redis.resp import RespRedis
from tests.support.fakes import CountingCounters, SeededEntropy

T = TypeVar("T")


class RunningClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


def client_of(redis_url: str) -> RespRedis:
    """A connection of its own."""
    return RespRedis(redis_url, clock=RunningClock(), entropy=SeededEntropy(1), counters=CountingCounters())


def with_redis(redis_url: str, work: Callable[[RespRedis], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with a client, on the loop that the server runs on as well."""

    async def connected() -> T:
        redis = client_of(redis_url)
        try:
            return await work(redis)
        finally:
            await redis.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(connected())
