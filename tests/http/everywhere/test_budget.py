"""What a request costs: trips to Redis and statements to the database, counted at the wire."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.service import Person, assert_problem


@dataclass
class Wire:
    """Both stores, through proxies that count."""

    database: PostgresProxy
    redis: RespProxy
    start_service: StartService

    async def person(self, limits: str = ROOMY) -> Person:
        """A user whose session is known, of a service whose scripts are loaded."""
        service = await self.start_service(
            DATABASE_URL=self.database.url, REDIS_URL=self.redis.url, STAKEHOLD_LIMITS=limits
        )
        person = await service.enrol()
        await person.stake()
        while not (await person.list_stakes())["fromCache"]:
            pass
        self.forget()
        return person

    def forget(self) -> None:
        self.redis.commands.clear()
        self.database.executed.clear()

    @property
    def cost(self) -> tuple[int, int]:
        """Trips to Redis, statements to the database."""
        return len(self.redis.trips()), self.database.statements

    async def settled(self, trips: int, statements: int) -> None:
        """Work behind an answer comes to this, and to no more."""
        async with asyncio.timeout(5):
            while self.cost < (trips, statements):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)  # to see that nothing follows
        assert self.cost == (trips, statements)


@pytest.fixture
async def wire(database_url: str, redis_url: str, start_service: StartService) -> AsyncIterator[Wire]:
    redis = RespProxy(redis_url)
    await redis.start()
    async with PostgresProxy(database_url) as database:
        yield Wire(database, redis, start_service)
    await redis.stop()


async def test_a_cached_list_is_one_trip(wire: Wire) -> None:
    """One trip to Redis and no statement, every time."""
    person = await wire.person()
    for number in range(1, 6):
        assert (await person.list_stakes())["fromCache"] is True
        assert wire.cost == (number, 0)


async def test_a_missed_list_is_one_trip_and_one_statement(wire: Wire) -> None:
    """Before the answer; behind it one trip stores the page."""
    person = await wire.person()
    assert (await person.list_stakes(page=2))["fromCache"] is False
    await wire.settled(2, 1)


async def test_a_stale_list_is_one_trip(wire: Wire) -> None:
    """An old page is served as it is, and read again behind the answer: one statement and one trip."""
    person = await wire.person()
    await _make_pages_stale(person)
    assert (await person.list_stakes())["fromCache"] is True
    await wire.settled(2, 1)
    wire.forget()
    await person.list_stakes()
    await wire.settled(1, 0)


async def test_many_who_read_a_stale_page_renew_it_once(wire: Wire) -> None:
    """Nobody waits, and one of them is chosen."""
    person = await wire.person()
    await _make_pages_stale(person)
    pages = await asyncio.gather(*(person.list_stakes() for _ in range(20)))
    assert all(page["fromCache"] for page in pages)
    await wire.settled(21, 1)


async def test_many_who_miss_together_read_once(wire: Wire) -> None:
    """In one process the readers of a missing page share one statement."""
    person = await wire.person()
    await asyncio.gather(*(person.list_stakes(limit=7) for _ in range(20)))
    assert wire.database.statements == 1


async def test_a_creation_is_two_trips_and_one_statement(wire: Wire) -> None:
    """Enter, the statement, leave; with an Idempotency-Key as well, and for a replay."""
    person = await wire.person()
    for key in (None, "key", "key"):
        wire.forget()
        await person.stake(key=key)
        assert wire.cost == (2, 1), key


async def test_a_refused_creation_opens_no_fence(wire: Wire) -> None:
    """An invalid body is counted in one trip, costs no statement, and drops no page."""
    person = await wire.person()
    assert (await person.post("/api/stake", {"amount": 0, "period": 12})).status_code == 422
    assert wire.cost == (1, 0)
    assert (await person.list_stakes())["fromCache"] is True


async def test_the_blocked_cost_nothing(wire: Wire) -> None:
    """Once refused, refusing again takes no trip and no statement until there is room."""
    person = await wire.person("stake-create=2")
    await person.stake()
    assert_problem(await person.post("/api/stake", {"amount": 1, "period": 12}), 429, "rate_limited")
    wire.forget()
    for _ in range(10):
        assert_problem(await person.post("/api/stake", {"amount": 1, "period": 12}), 429, "rate_limited")
    assert wire.cost == (0, 0)


async def test_a_forged_token_costs_one_trip(wire: Wire) -> None:
    """Whoever is not signed in is counted, and reaches the database with nothing."""
    person = await wire.person()
    answer = await person.get("/api/stake", headers={"Authorization": "Bearer nonsense"})
    assert_problem(answer, 401, "invalid_token")
    assert wire.cost == (1, 0)


async def _make_pages_stale(person: Person) -> None:
    """Make every page's freshness end long ago, by hand: it would take five minutes."""
    redis = person.service.redis
    keys = await redis("KEYS", "*:stakes")
    assert isinstance(keys, list)
    for key in (key.decode() for key in keys if isinstance(key, bytes)):
        fields = await redis("HGETALL", key)
        assert isinstance(fields, list)
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            assert isinstance(name, bytes)
            assert isinstance(value, bytes)
            if name.startswith(b"e:"):
                created, _fresh_until, rest = value.decode().split(" ", 2)
                await redis("HSET", key, name.decode(), f"{created} {created} {rest}")
