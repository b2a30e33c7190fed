"""Four server processes behave as one service, over RESP and over Upstash's REST."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.served import ServedService, served
from tests.support.service import Person, assert_problem
from tests.support.upstash_front import UpstashFront

Start = Callable[..., Awaitable[ServedService]]

TOKEN = "a-token-of-the-tests"


@pytest.fixture(params=["resp", "upstash"])
async def start(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, redis_url: str
) -> AsyncIterator[Callable[..., Awaitable[ServedService]]]:
    """Start four processes on either transport; their clients' addresses come from one trusted proxy."""
    async with AsyncExitStack() as stack:
        settings = {"REDIS_URL": redis_url}
        if request.param == "upstash":
            front = UpstashFront(redis_url, TOKEN)
            await front.start()
            stack.push_async_callback(front.stop)
            settings = {"UPSTASH_REDIS_REST_URL": front.url, "UPSTASH_REDIS_REST_TOKEN": TOKEN}

        async def begin(**more: str) -> ServedService:
            everything = {**settings, "STAKEHOLD_TRUSTED_PROXIES": "1", **more}
            return await stack.enter_async_context(served(tmp_path, database_url, everything, processes=4))

        yield begin


async def _at_once(
    count: int, concurrent: int, send: Callable[[int], Awaitable[httpx.Response]]
) -> list[int]:
    """Statuses of `count` calls of `send`, at most `concurrent` at a time."""
    slots = asyncio.Semaphore(concurrent)

    async def one(number: int) -> int:
        async with slots:
            return (await send(number)).status_code

    return await asyncio.gather(*(one(number) for number in range(count)))


async def test_limits_are_exact_over_all_processes(start: Start) -> None:
    """Of 90 reads 60 pass, of 40 creations 20, of 15 sign-ins from one address 10; the rest are 429."""
    service = await start()
    person = await service.sign_up()
    reads = await _at_once(90, 32, lambda _: person.get("/api/stake"))
    assert sorted(reads) == [200] * 60 + [429] * 30
    other = await service.sign_up()
    made = await _at_once(40, 32, lambda _: other.post("/api/stake", {"amount": 1, "period": 1}))
    assert sorted(made) == [201] * 20 + [429] * 20
    signed_in = await _at_once(
        15,
        15,
        lambda _: service.client.post(
            "/api/auth",
            json={"username": "nobody", "password": "not a password of anybody"},
            headers={"X-Forwarded-For": "203.0.113.7"},
        ),
    )
    assert sorted(signed_in) == [401] * 10 + [429] * 5


async def test_one_key_sent_24_times_makes_one_stake(start: Start) -> None:
    """24 requests with one Idempotency-Key at once: one stake, one answer; another body is 422."""
    service = await start(STAKEHOLD_LIMITS="stake-create=100")
    person = await service.sign_up()
    body, key = {"amount": "12.5", "period": 6}, {"Idempotency-Key": '"once"'}
    answers = await asyncio.gather(*(person.post("/api/stake", body, headers=key) for _ in range(24)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("idempotency-replayed") != "true" for answer in answers) == 1
    assert len((await person.get("/api/stake")).json()["items"]) == 1
    other = await person.post("/api/stake", {"amount": "12.6", "period": 6}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_everyone_reads_their_own_write_at_once(start: Start) -> None:
    """80 writes by 8 people at once, each read back by its author right after, from any process."""
    service = await start()
    people = [await service.sign_up() for _ in range(8)]

    async def write_and_read(person: Person) -> None:
        for _ in range(10):
            stake_id = await person.stake()
            items = (await person.get("/api/stake?limit=100")).json()["items"]
            assert items[0]["id"] == stake_id

    await asyncio.gather(*(write_and_read(person) for person in people))
