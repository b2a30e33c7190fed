"""GET /api/stake answers 429 beyond 60 reads in any minute."""

import asyncio

import pytest

from tests.http.conftest import StartService
from tests.support.limits import read_limits
from tests.support.service import Person, assert_problem, count_by_status


@pytest.mark.chance("which of several calls are let through")
async def test_sixty_of_ninety_at_once_pass(limited_person: Person) -> None:
    """Exactly 60 of 90 concurrent reads pass, whatever they read."""
    paths = ("/api/stake", "/api/stake?page=2", "/api/stake?limit=5")
    answers = await asyncio.gather(*(limited_person.get(path) for path in paths for _ in range(30)))
    assert count_by_status(answers) == {200: 60, 429: 30}
    for answer in answers:
        limit = read_limits(answer)["stake-read"]
        assert limit.quota == 60
        if answer.status_code == 429:
            problem = assert_problem(answer, 429, "rate_limited")
            assert problem["violated-policies"] == ["stake-read"]
            assert limit.remaining == 0
            assert int(answer.headers["retry-after"]) >= limit.reset_s >= 1
    assert sorted(
        read_limits(answer)["stake-read"].remaining for answer in answers if answer.status_code == 200
    ) == list(range(60))


async def test_processes_share_the_limit(start_service: StartService) -> None:
    """Exactly 60 of 90 pass over three processes together."""
    services = [await start_service() for _ in range(3)]
    person = await services[0].enrol()
    answers = await asyncio.gather(
        *(person.at(service).get("/api/stake") for _ in range(30) for service in services)
    )
    assert count_by_status(answers) == {200: 60, 429: 30}


async def test_sessions_of_a_user_share_the_limit(start_service: StartService) -> None:
    """The limit is the user's: signing in again gives no new one."""
    service = await start_service(STAKEHOLD_LIMITS="stake-read=3")
    person = await service.enrol()
    for _ in range(3):
        await person.list_stakes()
    again = await service.sign_in(person.username)
    assert_problem(await again.get("/api/stake"), 429, "rate_limited")


async def test_a_refusal_is_quickly_repeated(limited_person: Person) -> None:
    """Once refused, a user stays refused, with the time to wait never rising, and without being charged."""
    await asyncio.gather(*(limited_person.get("/api/stake") for _ in range(60)))
    waits = []
    for _ in range(10):
        answer = await limited_person.get("/api/stake")
        assert_problem(answer, 429, "rate_limited")
        waits.append(int(answer.headers["retry-after"]))
    assert waits == sorted(waits, reverse=True)
    assert (await limited_person.post("/api/stake", {"amount": 1, "period": 12})).status_code == 201


async def test_a_304_and_a_stake_count_as_reads(start_service: StartService) -> None:
    """Lists, single stakes and 304s draw on one limit."""
    service = await start_service(STAKEHOLD_LIMITS="stake-read=3")
    person = await service.enrol()
    stake_id = await person.stake()
    etag = (await person.get("/api/stake")).headers["etag"]
    assert (await person.get("/api/stake", headers={"If-None-Match": etag})).status_code == 304
    assert (await person.get(f"/api/stake/{stake_id}")).status_code == 200
    answer = await person.get("/api/stake", headers={"If-None-Match": etag})
    assert_problem(answer, 429, "rate_limited")
