"""Everything of one subject is on one database of the ring, and on no other."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import pytest

from tests.ring.databases import Places, RingDatabase, Seen, one_on_each, ring_settings, until_cached
from tests.support.native import running_service
from tests.support.service import PASSWORD, Service
from tests.support.upstash_front import UpstashFront

PROXIED = {"STAKEHOLD_TRUSTED_PROXIES": "1"}
STARTING = {"sh0:incarnation"}


@pytest.fixture
async def fronts(databases: list[RingDatabase]) -> AsyncIterator[list[UpstashFront]]:
    """Upstash before each database, each with a token of its own."""
    found = [UpstashFront(database.url, f"token-{number}") for number, database in enumerate(databases)]
    for front in found:
        await front.start()
    yield found
    for front in found:
        await front.stop()


def upstash_settings(fronts: Sequence[UpstashFront]) -> dict[str, str]:
    return {
        "REDIS_URL": "",
        "UPSTASH_REDIS_REST_URL": " ".join(front.url for front in fronts),
        "UPSTASH_REDIS_REST_TOKEN": " ".join(front.token for front in fronts),
    }


@asynccontextmanager
async def watched(databases: Sequence[RingDatabase]) -> AsyncIterator[list[Seen]]:
    with ExitStack() as stack:
        yield [stack.enter_context(database.watched()) for database in databases]


async def use(service: Service, people_count: int) -> None:
    """Sign up, sign in, fail to, stake, read twice, and sign out, each person from an address of its own.

    Addresses without a person come first, so that each database has some.
    """
    for number in range(30):
        service.client.headers["X-Forwarded-For"] = f"203.0.113.{number}"
        assert (await service.client.get("/api/me")).status_code == 401
    for number in range(people_count):
        service.client.headers["X-Forwarded-For"] = f"198.51.100.{number}"
        person = await (service.sign_up() if number % 6 == 0 else service.enrol())
        wrong = {"username": person.username, "password": PASSWORD + "!"}
        if number % 6 == 0:
            assert (await service.client.post("/api/auth", json=wrong)).status_code == 401
        assert (await person.list_stakes())["fromCache"] is False
        await until_cached(person)
        await person.stake()
        assert len((await person.list_stakes())["items"]) == 1
        assert (await service.client.get("/api/me")).status_code == 401
        assert (await person.post("/api/auth/logout")).status_code == 204


def assert_in_place(databases: Sequence[RingDatabase], seen: Sequence[Seen], places: Places) -> None:
    """What each database was asked and keeps is of its own subjects only, and there are some."""
    for number, (database, asked) in enumerate(zip(databases, seen, strict=True)):
        assert asked.tags, "no subject came to this database: the test shows nothing of it"
        assert {places.of(tag) for tag in asked.tags} == {number}
        assert database.tags() <= asked.tags
        assert {key for key in database.kept() if "{" not in key} == STARTING
    kinds = {tag[:2] for asked in seen for tag in asked.tags}
    assert kinds == {"a:", "n:", "u:"}
    ends = set().union(*(asked.key_ends for asked in seen))
    assert {"account", "account:marks", "stakes", "stakes:marks", "limit:global", "limit:stake-read"} <= ends


async def test_all_of_a_subject_is_on_one_database(databases: list[RingDatabase], database_url: str) -> None:
    """Users, addresses and usernames: at the wire and in what is kept, each is known to one database only.

    A request with several subjects (a sign-in: its address, the username, the user) asks each one's database.
    """
    settings = ring_settings(databases, **PROXIED)
    async with running_service(database_url, "", settings) as service, watched(databases) as seen:
        await use(service, 12)
    assert_in_place(databases, seen, Places(settings))


async def test_over_upstash_too(
    databases: list[RingDatabase], fronts: list[UpstashFront], database_url: str
) -> None:
    """Each address with its own token, in the order of both lists."""
    settings = {**upstash_settings(fronts), **PROXIED}
    async with running_service(database_url, "", settings) as service, watched(databases) as seen:
        await use(service, 12)
    assert_in_place(databases, seen, Places(settings))


async def test_listing_the_ring_otherwise_moves_nobody(
    databases: list[RingDatabase], database_url: str
) -> None:
    """The other way round and spelled otherwise: limits that were used up are used up for everybody."""
    settings = ring_settings(databases, STAKEHOLD_LIMITS="stake-create=2")
    async with running_service(database_url, "", settings) as service:
        people = await one_on_each(service, Places(settings))
        for person in people:
            await person.stake()
            await person.stake()
    respelled = " ".join(database.url.removesuffix("/0") for database in reversed(databases))
    async with running_service(database_url, "", {**settings, "REDIS_URL": respelled}) as service:
        for person in people:
            answer = await person.at(service).post("/api/stake", {"amount": 1, "period": 1})
            assert answer.status_code == 429
