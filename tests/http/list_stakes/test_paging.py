"""Paging gives every stake once, in one order, also while stakes are added and when many share a moment."""

import asyncio
from typing import Any

import pytest

from tests.http.conftest import ROOMY
from tests.support.database_clock import DatabaseClock
from tests.support.fakes import ManualClock
from tests.support.native import running_service
from tests.support.service import Person


async def read_all(person: Person, limit: int) -> list[str]:
    """Follow the cursors to the end."""
    found: list[str] = []
    page = await person.list_stakes(limit=limit)
    while True:
        found += [item["id"] for item in page["items"]]
        assert page["hasMore"] == (page["nextCursor"] is not None)
        if not page["hasMore"]:
            return found
        assert len(page["items"]) == limit
        page = await person.list_stakes(limit=limit, cursor=page["nextCursor"])


@pytest.mark.chance("the order of what is made at once")
async def test_pages_and_cursors_give_every_stake_once(person: Person) -> None:
    """25 stakes made at once are read in the same order by every limit, by page number and by cursor."""
    made = await asyncio.gather(*(person.stake(amount=number) for number in range(1, 26)))
    whole = [item["id"] for item in (await person.list_stakes(limit=100))["items"]]
    assert sorted(whole) == sorted(made)
    assert whole == sorted(whole, reverse=True)
    for limit in (1, 4, 5, 10, 25):
        pages: list[dict[str, Any]] = [
            await person.list_stakes(page=number, limit=limit) for number in range(1, -(-25 // limit) + 1)
        ]
        assert [item["id"] for page in pages for item in page["items"]] == whole
        assert [page["hasMore"] for page in pages] == [True] * (len(pages) - 1) + [False]
        assert await read_all(person, limit) == whole


async def test_ten_is_the_default(person: Person) -> None:
    """Without `limit` a page has ten; `page=1` is the default page."""
    for number in range(1, 12):
        await person.stake(amount=number)
    page = await person.list_stakes()
    assert [item["amount"] for item in page["items"]] == [str(number) for number in range(11, 1, -1)]
    assert page["hasMore"]
    assert (await person.list_stakes(page=1))["items"] == page["items"]


async def test_a_page_past_the_end_is_empty(person: Person) -> None:
    """It is no error."""
    await person.stake()
    page = await person.list_stakes(page=2)
    assert (page["items"], page["hasMore"], page["nextCursor"]) == ([], False, None)


async def test_a_cursor_is_not_moved_by_new_stakes(person: Person) -> None:
    """What is added while one reads on neither repeats nor hides a stake."""
    old = [await person.stake(amount=number) for number in range(1, 10)]
    page = await person.list_stakes(limit=3)
    seen = [item["id"] for item in page["items"]]
    while page["hasMore"]:
        await person.stake(amount=100)
        page = await person.list_stakes(limit=3, cursor=page["nextCursor"])
        seen += [item["id"] for item in page["items"]]
    assert seen == old[::-1]


@pytest.mark.native_only("moves the clock of the service's process")
async def test_stakes_of_one_instant_have_an_order(database_url: str, redis_url: str) -> None:
    """With a clock that stands still, ties are still broken the same way on every page."""
    await (await DatabaseClock.install(database_url)).set(1_900_000_000_000)
    async with running_service(
        database_url, redis_url, {"STAKEHOLD_LIMITS": ROOMY}, clock=ManualClock(1_900_000_000_000)
    ) as service:
        person = await service.sign_up()
        made = [await person.stake(amount=number) for number in range(1, 13)]
        whole = [item["id"] for item in (await person.list_stakes(limit=100))["items"]]
        assert sorted(whole) == sorted(made)
        assert len({item["createdAt"] for item in (await person.list_stakes(limit=100))["items"]}) == 1
        assert await read_all(person, 5) == whole
        assert whole[5:10] == [item["id"] for item in (await person.list_stakes(page=2, limit=5))["items"]]


async def test_another_users_cursor_shows_nothing_of_theirs(person: Person) -> None:
    """A cursor only says where to go on in one's own list."""
    other = await person.service.enrol()
    for _ in range(3):
        await other.stake()
    cursor = (await other.list_stakes(limit=1))["nextCursor"]
    assert (await person.list_stakes(cursor=cursor))["items"] == []
