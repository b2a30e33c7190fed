"""Upstash's requests by the platform's fetch: held to what the native sender does."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stakehold.redis.upstash import SendFailedError
from tests.support.worker_platform import Body, JsException, Platform, worker_module, worker_platform

URL = "https://db.upstash.test/"
HEADERS = {"Authorization": "Bearer of-nobody", "Content-Type": "application/json"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    with worker_platform() as platform:
        yield platform


async def post(sender: Any, bytes_max: int = 100) -> tuple[int, bytes]:
    answer: tuple[int, bytes] = await sender.post(
        URL, headers=HEADERS, body=b'["PING"]', timeout_s=0.25, answer_bytes_max=bytes_max
    )
    return answer


async def test_a_post_is_one_fetch(platform: Platform) -> None:
    """Method, headers, body and a timeout; a redirect is an answer, and is not followed with the token."""
    seen: list[tuple[Any, Any]] = []

    async def fetch(*arguments: Any, **options: Any) -> Any:
        seen.append((arguments, options))
        return SimpleNamespace(status=307, body=None)

    platform.fetch = fetch
    sender = worker_module("worker_fetch").FetchSender()
    assert await post(sender) == (307, b"")
    assert await post(sender) == (307, b"")
    options = {"method": "POST", "headers": HEADERS, "body": '["PING"]', "redirect": "manual", "signal": 250}
    assert seen == [((URL,), options)] * 2
    assert seen[0][1]["headers"] is seen[1][1]["headers"]
    await sender.close()


async def test_an_answer_is_read_to_its_bound(platform: Platform) -> None:
    """What is longer is cut off, and nothing further is read."""
    bodies = [Body(b"a" * 60, b"b" * 40), Body(*[b"c" * 60] * 9)]

    async def fetch(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(status=200, body=bodies[0])

    platform.fetch = fetch
    sender = worker_module("worker_fetch").FetchSender()
    assert await post(sender) == (200, b"a" * 60 + b"b" * 40)
    bodies.pop(0)
    status, answer = await post(sender)
    assert (status, len(answer)) == (200, 120)
    assert bodies[0].cancelled
    assert bodies[0].reads == 2


@pytest.mark.parametrize("where", ["fetch", "body"])
async def test_failures_are_told_apart(platform: Platform, where: str) -> None:
    """A timeout is one; all else may have reached Upstash. Neither says what the platform said."""
    error = JsException("TimeoutError", f"no answer of {URL}")

    async def fetch(*_: Any, **__: Any) -> Any:
        if where == "fetch":
            raise error
        return SimpleNamespace(status=200, body=Body(b"a", error))

    platform.fetch = fetch
    sender = worker_module("worker_fetch").FetchSender()
    with pytest.raises(TimeoutError):
        await post(sender)
    error = JsException("TypeError", f"fetch of {URL} with Bearer of-nobody failed")
    with pytest.raises(SendFailedError) as failed:
        await post(sender)
    assert failed.value.reached
    assert failed.value.reason == "no answer: TypeError"
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
