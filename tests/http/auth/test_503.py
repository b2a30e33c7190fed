"""POST /api/auth answers 503 when more passwords wait to be hashed than may."""

import asyncio

import pytest

from tests.http.conftest import StartService
from tests.support.service import assert_problem, count_by_status


@pytest.mark.chance("how many are turned away")
async def test_a_flood_is_turned_away_at_once(start_service: StartService) -> None:
    """So many wait, the others are told to come again; whoever needs no hash is served meanwhile."""
    service = await start_service(STAKEHOLD_LIMITS="auth=1000,global=1000,auth-failure=1000/900")
    person = await service.enrol()
    flood = [
        asyncio.create_task(
            service.client.post("/api/auth", json={"username": f"nobody-{number}", "password": "a guess"})
        )
        for number in range(60)
    ]
    await next(asyncio.as_completed(flood))
    async with asyncio.timeout(2):
        await person.list_stakes()
    assert not all(task.done() for task in flood)
    answers = await asyncio.gather(*flood)
    counts = count_by_status(answers)
    assert set(counts) == {401, 503}
    assert counts[401] >= 10
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert_problem(refused, 503, "overloaded")
