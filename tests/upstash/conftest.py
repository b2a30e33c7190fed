"""The front before the session's Valkey, for Upstash's own clients."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.upstash_front import UpstashFront


@pytest_asyncio.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    server = UpstashFront(redis_url)
    await server.start()
    yield server
    await server.stop()
