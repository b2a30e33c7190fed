"""A body that does not arrive is waited for 4 seconds."""

import asyncio
import time
from collections.abc import AsyncIterator

from tests.support.service import Person, assert_problem


async def test_a_stalled_body_is_given_up(person: Person) -> None:
    """The client that stops sending gets 408 in seconds, and nothing was made."""
    never = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"amount": 1,'
        await never.wait()

    started = time.monotonic()
    answer = await person.post("/api/stake", content=stalled(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 408, "request_timeout")
    assert 3.5 < time.monotonic() - started < 7
    assert (await person.list_stakes())["items"] == []
