"""A user reads their own write at once, from whichever process and however many others write."""

import asyncio

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.service import Person

USERS = 8
WRITES_EACH = 10


async def _write_and_read(writer: Person, reader: Person) -> None:
    """Each write is in the first list after its answer, and in the stake's own page."""
    for number in range(1, WRITES_EACH + 1):
        stake_id = await writer.stake(amount=number)
        page = await reader.list_stakes(limit=20)
        assert len(page["items"]) == number
        assert page["items"][0]["id"] == stake_id
        assert page["items"][0]["amount"] == str(number)
        assert (await reader.get(f"/api/stake/{stake_id}")).status_code == 200


async def test_80_concurrent_writes_are_each_read_at_once(start_service: StartService) -> None:
    """80 writes of eight users at once: each is read back by its author from another process."""
    one, other = await start_service(STAKEHOLD_LIMITS=ROOMY), await start_service(STAKEHOLD_LIMITS=ROOMY)
    people = [await one.enrol() for _ in range(USERS)]
    await asyncio.gather(*(_write_and_read(person, person.at(other)) for person in people))
    assert await one.sql("SELECT count(*) FROM stakes") == [(USERS * WRITES_EACH,)]


@pytest.mark.chance("the order of what is made at once")
async def test_one_users_concurrent_writes_are_each_read_at_once(person: Person) -> None:
    """While a user's other writes are under way, what was answered is already read."""

    async def write_and_read(number: int) -> None:
        stake_id = await person.stake(amount=number)
        items = (await person.list_stakes(limit=100))["items"]
        assert stake_id in {item["id"] for item in items}

    await asyncio.gather(*(write_and_read(number) for number in range(1, 31)))
    assert len((await person.list_stakes(limit=100))["items"]) == 30


@pytest.mark.chance("asks until a page is from the cache")
async def test_a_warm_page_never_outlives_a_write(person: Person) -> None:
    """Readers that keep the page warm all the time never bring an old one back."""
    done = asyncio.Event()

    async def keep_warm() -> None:
        while not done.is_set():
            await person.list_stakes()

    readers = [asyncio.create_task(keep_warm()) for _ in range(4)]
    try:
        for number in range(1, 11):
            await person.stake(amount=number)
            assert len((await person.list_stakes())["items"]) == number
    finally:
        done.set()
        await asyncio.gather(*readers)
