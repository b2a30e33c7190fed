"""What a request may cost: trips to Redis and SQL statements, counted at the wire, over both transports."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import pytest

from tests.contract.conftest import roomy_limits
from tests.support.cached_pages import age_pages, keys_like
from tests.support.fakes import CheapScrypt, HeldBackground
from tests.support.native import running_process
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.service import Person, Service, assert_problem
from tests.support.upstash_front import UpstashFront

STAKE = {"amount": "12.5", "period": 12}


class Cost(NamedTuple):
    """Trips to Redis and SQL statements: of the answer, and of what goes on behind it."""

    trips: int
    statements: int
    trips_behind: int = 0
    statements_behind: int = 0


@dataclass
class Meter:
    """A service whose every trip and statement is counted between it and its stores."""

    service: Service
    background: HeldBackground
    postgres: PostgresProxy
    trips: Callable[[], int]

    async def cost(self, request: Awaitable[httpx.Response]) -> tuple[httpx.Response, Cost]:
        """The answer to a request, and what it has cost."""
        await self.background.run()
        trips, statements = self.trips(), self.postgres.statements
        answer = await request
        trips_then, statements_then = self.trips(), self.postgres.statements
        await self.background.run()
        return answer, Cost(
            trips_then - trips,
            statements_then - statements,
            self.trips() - trips_then,
            self.postgres.statements - statements_then,
        )


MeterWith = Callable[[str], Awaitable[Meter]]


@pytest.fixture(params=["resp", "upstash"])
async def meter_with(
    request: pytest.FixtureRequest,
    redis_url: str,
    redis_proxy: RespProxy,
    postgres_proxy: PostgresProxy,
) -> AsyncIterator[MeterWith]:
    """Start a metered service with these limits, over RESP or over Upstash's REST."""
    background = HeldBackground()
    front = UpstashFront(redis_url)
    await front.start()
    async with AsyncExitStack() as stack:

        async def start(limits: str) -> Meter:
            settings = {"STAKEHOLD_LIMITS": limits}
            if request.param == "upstash":
                settings |= {
                    "REDIS_URL": "",
                    "UPSTASH_REDIS_REST_URL": front.url,
                    "UPSTASH_REDIS_REST_TOKEN": front.token,
                }
            process = await stack.enter_async_context(
                running_process(
                    postgres_proxy.url,
                    redis_proxy.url,
                    settings,
                    scrypt=CheapScrypt(),
                    background=background,
                )
            )
            # The test's own looks at Redis are not to be counted.
            process.service.redis_url = redis_url
            trips = (
                (lambda: front.requests) if request.param == "upstash" else (lambda: len(redis_proxy.trips()))
            )
            return Meter(process.service, background, postgres_proxy, trips)

        yield start
        background.drop()
    await front.stop()


async def _teach(meter: Meter) -> None:
    """Have Redis learn every script: the first use of each takes a second trip."""
    somebody = await meter.service.sign_up()
    await somebody.list_stakes()
    await somebody.stake()
    await meter.background.run()


@pytest.fixture
async def meter(meter_with: MeterWith) -> Meter:
    meter = await meter_with(roomy_limits())
    await _teach(meter)
    return meter


@pytest.fixture
async def person(meter: Meter) -> Person:
    """Somebody who has just signed in."""
    return await meter.service.sign_up()


READS = pytest.mark.parametrize("path", ["/api/stake", "/api/stake?page=2&limit=1", "/api/stake/{id}"])


async def _only_stake(person: Person, path: str) -> str:
    """Leave the user with one stake and no pages of others; returns the path of a read of theirs."""
    stake_id = await person.stake()
    await person.service.redis("DEL", "none", *await keys_like(person.service, "*}:stakes"))
    return path.format(id=stake_id)


@READS
async def test_a_miss_takes_one_trip_and_one_statement(meter: Meter, person: Person, path: str) -> None:
    """A read of what is not cached: one trip, one statement, and one trip behind the answer to store it."""
    path = await _only_stake(person, path)
    answer, cost = await meter.cost(person.get(path))
    assert answer.status_code == 200
    assert cost == Cost(1, 1, trips_behind=1)


@READS
async def test_a_fresh_read_takes_one_trip(meter: Meter, person: Person, path: str) -> None:
    """A read of what is cached: one trip and no SQL, whether it is sent (200) or not (304)."""
    path = await _only_stake(person, path)
    first, _ = await meter.cost(person.get(path))
    answer, cost = await meter.cost(person.get(path))
    assert (answer.status_code, cost) == (200, Cost(1, 0))
    headers = {"If-None-Match": first.headers["etag"]}
    answer, cost = await meter.cost(person.get(path, headers=headers))
    assert (answer.status_code, cost) == (304, Cost(1, 0))


@READS
async def test_a_stale_read_takes_one_trip_and_is_renewed_behind(
    meter: Meter, person: Person, path: str
) -> None:
    """A read of a stale page is answered like a fresh one; behind it, one statement and one trip renew it.

    Only one reader renews; what was renewed is fresh again.
    """
    path = await _only_stake(person, path)
    await meter.cost(person.get(path))
    await age_pages(person, 301)
    second = person.get(path)
    answer, cost = await meter.cost(person.get(path))
    assert (answer.status_code, cost) == (200, Cost(1, 0, trips_behind=1, statements_behind=1))
    answer, cost = await meter.cost(second)
    assert (answer.status_code, cost) == (200, Cost(1, 0))


async def test_a_stale_read_needs_no_database(meter: Meter, person: Person) -> None:
    """A stale page is served while the database answers nobody."""
    path = await _only_stake(person, "/api/stake")
    await meter.cost(person.get(path))
    await age_pages(person, 301)
    meter.postgres.stall()
    started_s = time.monotonic()
    answer = await person.get(path)
    meter.postgres.resume()
    assert answer.status_code == 200
    assert time.monotonic() - started_s < 1


async def test_the_first_creation_takes_two_trips_and_one_statement(meter: Meter, person: Person) -> None:
    """Straight after signing in: in through the gate, one statement, out again; nothing behind."""
    answer, cost = await meter.cost(person.post("/api/stake", STAKE))
    assert (answer.status_code, cost) == (201, Cost(2, 1))


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_every_creation_takes_two_trips_and_one_statement(
    meter: Meter, person: Person, key: str | None
) -> None:
    """With a warm cache, with and without an Idempotency-Key, made or replayed: two trips, one statement."""
    await person.list_stakes()
    headers = {"Idempotency-Key": f'"{key}"'} if key else {}
    for _ in range(2):
        answer, cost = await meter.cost(person.post("/api/stake", STAKE, headers=headers))
        assert (answer.status_code, cost) == (201, Cost(2, 1))
    answer, cost = await meter.cost(person.get("/api/stake"))
    assert (len(answer.json()["items"]), cost) == (1 if key else 2, Cost(1, 1, trips_behind=1))


async def test_an_invalid_body_is_counted_and_no_more(meter: Meter, person: Person) -> None:
    """A body that is refused takes the one trip that counts it: no fence (cached pages stay), no SQL."""
    await person.list_stakes()
    for body, status in (({"amount": "0", "period": 12}, 422), ({"amount": "1"}, 422), ("[", 400)):
        content = {"content": body} if isinstance(body, str) else {"json": body}
        headers = {"Content-Type": "application/json"}
        answer, cost = await meter.cost(person.request("POST", "/api/stake", headers=headers, **content))
        assert (answer.status_code, cost) == (status, Cost(1, 0))
        assert "ratelimit" in answer.headers
    assert await keys_like(meter.service, "*}:stakes:marks") == []
    assert (await person.list_stakes())["fromCache"] is True


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_forged_token_is_counted_and_no_more(meter: Meter, person: Person, method: str) -> None:
    """A token that is not ours takes the one trip that counts its sender's address; no SQL, no body read."""
    person.token = person.token[:-4] + "AAAA"
    answer, cost = await meter.cost(person.request(method, "/api/stake", json=STAKE))
    assert_problem(answer, 401, "invalid_token")
    assert cost == Cost(1, 0)


async def test_an_ended_session_takes_two_trips(meter: Meter, person: Person) -> None:
    """A good token of an ended session: one trip finds that out, one counts the address; no SQL."""
    other = await meter.service.sign_in(person.username)
    assert (await person.post("/api/auth/logout", {})).status_code == 204
    assert (await other.get("/api/stake")).status_code == 200
    for method in ("GET", "POST"):
        answer, cost = await meter.cost(person.request(method, "/api/stake", json=STAKE))
        assert_problem(answer, 401, "session_ended")
        assert cost == Cost(2, 0)


async def test_an_unknown_session_takes_one_statement_more_once(meter: Meter, person: Person) -> None:
    """When Redis has forgotten the user, the first request asks the database, and stores what it says."""
    await person.service.redis("DEL", *await keys_like(person.service, "*}:account"))
    answer, cost = await meter.cost(person.post("/api/stake", STAKE))
    assert (answer.status_code, cost) == (201, Cost(2, 2, trips_behind=1))
    answer, cost = await meter.cost(person.post("/api/stake", STAKE))
    assert (answer.status_code, cost) == (201, Cost(2, 1))


async def test_who_is_known_to_be_blocked_costs_nothing(meter_with: MeterWith) -> None:
    """The refusal that fills a limit takes one trip; those after it neither trip nor statement."""
    meter = await meter_with(roomy_limits(stake_read=1))
    await _teach(meter)
    person = await meter.service.sign_up()
    _, cost = await meter.cost(person.get("/api/stake"))
    assert cost == Cost(1, 1, trips_behind=1)
    costs = []
    for path in ("/api/stake", "/api/stake", "/api/stake?page=2"):
        answer, cost = await meter.cost(person.get(path))
        assert_problem(answer, 429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1
        costs.append(cost)
    assert costs == [Cost(1, 0), Cost(0, 0), Cost(0, 0)]
    answer, cost = await meter.cost(person.post("/api/stake", STAKE))
    assert (answer.status_code, cost) == (201, Cost(2, 1)), "another limit of theirs has room"


async def test_a_blocked_creation_costs_nothing(meter_with: MeterWith) -> None:
    """The same for writes: refused before anything is fenced or sent."""
    meter = await meter_with(roomy_limits(stake_create=1))
    await _teach(meter)
    person = await meter.service.sign_up()
    await person.stake()
    costs = []
    for _ in range(2):
        answer, cost = await meter.cost(person.post("/api/stake", STAKE))
        assert_problem(answer, 429, "rate_limited")
        costs.append(cost)
    assert costs == [Cost(1, 0), Cost(0, 0)]


async def test_health_costs_nothing(meter: Meter) -> None:
    """Liveness asks no store."""
    answer, cost = await meter.cost(meter.service.client.get("/healthz"))
    assert (answer.status_code, cost) == (200, Cost(0, 0))
