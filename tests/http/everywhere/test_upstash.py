"""With Upstash's REST in place of Redis' own protocol the service behaves the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.http.conftest import StartService
from tests.support.service import Person, Service, assert_problem, count_by_status
from tests.support.upstash_front import UpstashFront


@pytest.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    front = UpstashFront(redis_url)
    await front.start()
    yield front
    await front.stop()


@pytest.fixture
async def rest_service(start_service: StartService, front: UpstashFront) -> Service:
    """A service that is given the two variables of Upstash and no other Redis."""
    return await start_service(
        REDIS_URL="", UPSTASH_REDIS_REST_URL=front.url, UPSTASH_REDIS_REST_TOKEN=front.token
    )


@pytest.fixture
async def rest_person(rest_service: Service) -> Person:
    return await rest_service.enrol()


async def test_the_calls_answer_the_same(rest_person: Person, front: UpstashFront) -> None:
    """Sign in, stake, list from the database and then from the cache."""
    person = await rest_person.service.sign_in(rest_person.username)
    stake_id = await person.stake(amount=1000, period=12)
    first = await person.list_stakes()
    assert first["fromCache"] is False
    assert [(item["id"], item["amount"], item["period"]) for item in first["items"]] == [
        (stake_id, "1000", "12")
    ]
    async with asyncio.timeout(5):
        while not (second := await person.list_stakes())["fromCache"]:
            pass
    assert second["items"] == first["items"]
    assert front.requests > 0


async def test_limits_are_exact(rest_person: Person) -> None:
    """20 of 40 creations at once pass."""
    answers = await asyncio.gather(
        *(rest_person.post("/api/stake", {"amount": 1, "period": 12}) for _ in range(40))
    )
    assert count_by_status(answers) == {201: 20, 429: 20}


async def test_writes_are_read_at_once(rest_person: Person) -> None:
    """Each of ten writes is in the next list."""
    for number in range(1, 11):
        stake_id = await rest_person.stake(amount=number)
        items = (await rest_person.list_stakes(limit=20))["items"]
        assert len(items) == number
        assert items[0]["id"] == stake_id


async def test_an_ended_session_is_refused(rest_person: Person) -> None:
    """The next request after signing out is 401, also after a FLUSHALL."""
    await rest_person.list_stakes()
    assert (await rest_person.post("/api/auth/logout", {})).status_code == 204
    assert_problem(await rest_person.get("/api/stake"), 401, "session_ended")
    await rest_person.service.redis("FLUSHALL")
    assert_problem(await rest_person.get("/api/stake"), 401, "session_ended")


@pytest.mark.chance("asks until Redis is back")
async def test_full_memory_is_redis_away(rest_person: Person, front: UpstashFront) -> None:
    """When the REST front answers errors, users are served from the database, and the state says degraded."""
    stake_id = await rest_person.stake()
    front.faults.statuses = [500] * 1000
    page = await rest_person.list_stakes()
    assert [item["id"] for item in page["items"]] == [stake_id]
    ready = await rest_person.service.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    front.faults.statuses = []
    async with asyncio.timeout(10):
        while (await rest_person.service.client.get("/readyz")).json()["status"] != "ready":
            await asyncio.sleep(0.02)
