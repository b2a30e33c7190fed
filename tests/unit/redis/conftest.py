"""Both transports over a real Valkey, on both event loops."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import pytest_asyncio
import uvloop

from stakehold.redis.aiohttp_sender import AiohttpSender
from stakehold.redis.port import Redis, RedisUnavailableError
from stakehold.redis.resp import RespRedis
from stakehold.redis.upstash import UpstashRedis
from stakehold.runtime.embedded import EmbeddedValkey
from tests.support.fakes import CountingCounters, SeededEntropy
from tests.support.upstash_front import UpstashFront

T = TypeVar("T")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class RunningClock:
    """The machine's own clock, for what must pass while a server is away."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class Connect(Protocol):
    """Makes a client of one transport for the Redis at a URL; it is closed when the test ends."""

    transport: str

    async def __call__(self, redis_url: str, **options: Any) -> Redis: ...


class _Connect:
    def __init__(self, transport: str, entropy: SeededEntropy, counters: CountingCounters) -> None:
        self.transport = transport
        self._parts = {"clock": RunningClock(), "entropy": entropy, "counters": counters}
        self._clients: list[Redis] = []
        self._fronts: list[UpstashFront] = []

    async def __call__(self, redis_url: str, **options: Any) -> Redis:
        client: Redis
        if self.transport == "resp":
            client = RespRedis(redis_url, **self._parts, **options)
        else:
            front = UpstashFront(redis_url)
            front.waiting_allowed = True
            await front.start()
            self._fronts.append(front)
            client = UpstashRedis(front.url, front.token, sender=AiohttpSender(), **self._parts, **options)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        for front in self._fronts:
            await front.stop()


@pytest_asyncio.fixture(params=["resp", "upstash"])
async def connect(
    request: pytest.FixtureRequest, entropy: SeededEntropy, counters: CountingCounters
) -> AsyncIterator[Connect]:
    maker = _Connect(request.param, entropy, counters)
    yield maker
    await maker.close()


@pytest_asyncio.fixture
async def redis(connect: Connect, redis_url: str) -> Redis:
    """A client of the session's Valkey, its connection made."""
    client = await connect(redis_url)
    assert await client.command("PING", timeout_s=5.0) == b"PONG"
    return client


@pytest_asyncio.fixture
async def other(redis_url: str, entropy: SeededEntropy, counters: CountingCounters) -> AsyncIterator[Redis]:
    """A second client of the session's Valkey, to look on and to unblock the first."""
    client = RespRedis(redis_url, clock=RunningClock(), entropy=entropy, counters=CountingCounters())
    yield client
    await client.close()


@pytest.fixture
def private_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey of the test's own, to stop, kill and fill."""
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.kill()


async def eventually(attempt: Callable[[], Awaitable[T]], within_s: float) -> T:
    """The result of the first attempt that finds Redis available; after `within_s` the last error."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            return await attempt()
        except RedisUnavailableError:
            if time.monotonic() > end_s:
                raise
        await asyncio.sleep(0.01)


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.005)
