"""GET /api/stake/{stakeId} answers 200 with one stake of the caller's."""

import asyncio

import pytest

from tests.http.conftest import ROOMY
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.support.native import running_service
from tests.support.service import Person

END_OF_JANUARY_MS = 1_832_976_000_000 - 1
"""2028-01-31T23:59:59.999Z."""


async def test_it_has_the_item_of_the_list(person: Person) -> None:
    """What a stake is in the list it is by itself, with more, from the database and from the cache."""
    stake_id = await person.stake(amount="0.30", period=3)
    [item] = (await person.list_stakes())["items"]
    for _ in range(3):
        answer = await person.get(f"/api/stake/{stake_id}")
        assert answer.status_code == 200
        assert answer.json() | item == answer.json()
        assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.native_only("moves the clock of the service's process")
async def test_status_follows_the_clock(database_url: str, redis_url: str) -> None:
    """Made in the last millisecond of 31 January for a month, it is matured from 00:00Z of 29 February."""
    clock = ManualClock(END_OF_JANUARY_MS)
    await (await DatabaseClock.install(database_url)).set(END_OF_JANUARY_MS)
    settings = {"STAKEHOLD_LIMITS": ROOMY}
    async with running_service(database_url, redis_url, settings, clock=clock) as service:
        person = await service.sign_up()
        stake_id = await person.stake(period=1)
        clock.advance(28 * 86_400)
        person = await service.sign_in(person.username)
        stake = (await person.get(f"/api/stake/{stake_id}")).json()
        assert stake["createdAt"] == "2028-01-31T23:59:59.999Z"
        assert stake["maturesAt"] == "2028-02-29T00:00:00.000Z"
        assert stake["status"] == "active"
        clock.advance(0.001)
        assert (await person.list_stakes())["items"][0]["status"] == "matured"


@pytest.mark.native_only("moves the clock of the service's process")
async def test_no_cached_page_outlives_a_maturity(database_url: str, redis_url: str) -> None:
    """A page that was cached shortly before a stake on it matures is gone when it does, not minutes later."""
    clock = ManualClock(END_OF_JANUARY_MS)
    await (await DatabaseClock.install(database_url)).set(END_OF_JANUARY_MS)
    settings = {"STAKEHOLD_LIMITS": ROOMY}
    async with running_service(database_url, redis_url, settings, clock=clock) as service:
        person = await service.sign_up()
        path = f"/api/stake/{await person.stake(period=1)}"
        clock.advance(28 * 86_400 - 0.2)
        person = await service.sign_in(person.username)
        for _ in range(3):
            assert (await person.get(path)).json()["status"] == "active"
            assert (await person.list_stakes())["items"][0]["status"] == "active"
        clock.advance(0.201)
        async with asyncio.timeout(5):  # Redis keeps time by its own clock, which nobody advances
            while (await person.get(path)).json()["status"] != "matured":
                await asyncio.sleep(0.01)
            while (await person.list_stakes())["items"][0]["status"] != "matured":
                await asyncio.sleep(0.01)
