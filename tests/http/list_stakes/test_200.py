"""GET /api/stake answers 200 with the caller's stakes, newest first."""

import asyncio
import re

import httpx

from tests.http.conftest import ROOMY, StartService
from tests.support.service import Person

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_an_item_has_its_fields_as_strings(person: Person) -> None:
    """`id`, `amount` and `period` are strings, beside when it was made and matures, its rate and status."""
    stake_id = await person.stake(amount=1000, period=12)
    page = await person.list_stakes(page=1, limit=10)
    [item] = page["items"]
    assert (item["id"], item["amount"], item["period"]) == (stake_id, "1000", "12")
    assert (item["asset"], item["rate"], item["status"]) == ("STK", "0.12", "active")
    assert TIME.fullmatch(item["createdAt"])
    assert TIME.fullmatch(item["maturesAt"])
    assert int(item["maturesAt"][:4]) == int(item["createdAt"][:4]) + 1
    assert item["maturesAt"].endswith("T00:00:00.000Z")


async def test_the_bytes_begin_as_they_always_did(person: Person) -> None:
    """Items first, each with id, amount and period first, then `fromCache`: old clients find theirs."""
    stake_id = await person.stake(amount=1000, period=12)
    body = (await person.get("/api/stake?page=1&limit=10")).text
    assert body.startswith(f'{{"items":[{{"id":"{stake_id}","amount":"1000","period":"12",')
    assert '"fromCache":false' in body
    assert body.endswith('"hasMore":false,"nextCursor":null}')


async def test_the_second_read_is_from_the_cache_with_the_same_items(person: Person) -> None:
    """`fromCache` is false, then true; nothing else differs, and headers are the same."""
    for number in range(1, 4):
        await person.stake(amount=f"{number}.5")
    first = await person.get("/api/stake?page=1&limit=10")
    second = await _until_cached(person, "/api/stake?page=1&limit=10")
    assert first.json()["fromCache"] is False
    assert first.text.replace('"fromCache":false', '"fromCache":true') == second.text
    for name in ("content-type", "cache-control", "etag"):
        assert first.headers[name] == second.headers[name]
    assert first.headers["cache-control"] == "private, no-cache"


async def _until_cached(person: Person, path: str) -> httpx.Response:
    """The first answer from the cache. Storing goes on behind an answer, so it need not be the very next."""
    async with asyncio.timeout(5):
        while True:
            answer = await person.get(path)
            if answer.json()["fromCache"]:
                return answer


async def test_another_process_finds_the_page(start_service: StartService) -> None:
    """The cache is shared: what one process read, another has."""
    one, other = await start_service(STAKEHOLD_LIMITS=ROOMY), await start_service(STAKEHOLD_LIMITS=ROOMY)
    person = await one.enrol()
    await person.stake()
    cached = await _until_cached(person, "/api/stake")
    at_other = await person.at(other).get("/api/stake")
    assert at_other.content == cached.content


async def test_a_write_makes_the_next_read_come_from_the_database(person: Person) -> None:
    """After a creation no cached page is used, whichever pages were cached."""
    await person.stake()
    for path in ("/api/stake", "/api/stake?limit=5", "/api/stake?page=2"):
        await _until_cached(person, path)
    await person.stake()
    for path, count in (("/api/stake", 2), ("/api/stake?limit=5", 2), ("/api/stake?page=2", 0)):
        page = (await person.get(path)).json()
        assert page["fromCache"] is False
        assert len(page["items"]) == count


async def test_users_see_their_own_stakes_alone(person: Person) -> None:
    """Nothing of another user's is listed, cached or not."""
    other = await person.service.enrol()
    mine, theirs = await person.stake(), await other.stake()
    for _ in range(3):
        assert [item["id"] for item in (await person.list_stakes())["items"]] == [mine]
        assert [item["id"] for item in (await other.list_stakes())["items"]] == [theirs]


async def test_a_user_without_stakes_gets_an_empty_list(person: Person) -> None:
    """No stakes is an answer, not an error."""
    page = await person.list_stakes()
    assert page == {"items": [], "fromCache": False, "hasMore": False, "nextCursor": None}


async def test_a_wiped_cache_loses_nothing(person: Person) -> None:
    """After FLUSHALL the same items come from the database."""
    stake_id = await person.stake()
    await _until_cached(person, "/api/stake")
    await person.service.redis("FLUSHALL")
    page = await person.list_stakes()
    assert page["fromCache"] is False
    assert [item["id"] for item in page["items"]] == [stake_id]


async def test_readers_at_once_get_the_same(person: Person) -> None:
    """Many who miss together are all answered right."""
    expected = [await person.stake(amount=number) for number in range(1, 4)]
    pages = await asyncio.gather(*(person.list_stakes() for _ in range(30)))
    for page in pages:
        assert [item["id"] for item in page["items"]] == expected[::-1]
