"""What a request costs on Workers: fetches to Upstash, connections and statements, counted at the wire."""

import asyncio

import pytest

from tests.support.cached_pages import age_pages, keys_like
from tests.support.postgres_proxy import PostgresProxy
from tests.support.service import Person
from tests.support.worker import WorkerService
from tests.support.worker_reports import RequestReport
from tests.worker.conftest import StartWorker

STAKE = {"amount": "12.5", "period": 12}
PAGE_READ = "FROM stakes"


@pytest.fixture
async def service(start_worker: StartWorker) -> WorkerService:
    """An isolate whose Redis knows every script: the first use of each takes a second fetch."""
    service = await start_worker()
    somebody = await service.enrol()
    await somebody.list_stakes()
    await somebody.stake()
    await service.reports()
    return service


@pytest.fixture
async def person(service: WorkerService) -> Person:
    """Somebody with a stake, whose session and first page are cached."""
    person = await service.enrol()
    await person.stake()
    await person.list_stakes()
    await service.reports()
    return person


def cost(report: RequestReport) -> tuple[int, int]:
    """Fetches and connections; nothing of either may be left, nor wait for a place."""
    assert (report.outcome, report.sockets_open_at_end, report.connections_waited) == ("ok", 0, 0)
    assert not report.wait_until_failed
    return len(report.fetches), report.sockets_opened


async def test_a_cached_read_is_one_fetch_and_no_connection(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """Whether the page is sent (200) or not (304): one fetch, no socket, no statement, nothing behind."""
    postgres_proxy.executed.clear()
    first = await person.get("/api/stake")
    again = await person.get("/api/stake", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, first.json()["fromCache"], again.status_code) == (200, True, 304)
    for report in await service.reports():
        assert cost(report) == (1, 0)
    assert postgres_proxy.executed == []


async def test_a_miss_is_one_connection_and_is_stored_behind(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """A page that is not cached: one fetch, one connection, one statement; the second fetch stores it."""
    postgres_proxy.executed.clear()
    page = await person.list_stakes(limit=7)
    assert page["fromCache"] is False
    (report,) = await service.reports()
    assert cost(report) == (2, 1)
    assert postgres_proxy.statements == len(postgres_proxy.executed) == 1
    assert (await person.list_stakes(limit=7))["fromCache"] is True


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_a_creation_is_two_fetches_and_one_statement(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy, key: str | None
) -> None:
    """In, one connection with one statement, out; made or replayed. No transaction is begun around it."""
    headers = {"Idempotency-Key": f'"{key}"'} if key else {}
    for _ in range(2):
        postgres_proxy.executed.clear()
        connections = postgres_proxy.connections
        answer = await person.post("/api/stake", STAKE, headers=headers)
        assert answer.status_code == 201
        (report,) = await service.reports()
        assert cost(report) == (2, 1)
        assert len(postgres_proxy.executed) == 1
        assert postgres_proxy.connections == connections + 1
    assert len((await person.list_stakes())["items"]) == (2 if key else 3)


async def test_what_is_refused_opens_no_connection(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """A body that is not valid and a forged token are counted by one fetch; /healthz takes none."""
    postgres_proxy.executed.clear()
    assert (await person.post("/api/stake", {"amount": "0", "period": 12})).status_code == 422
    person.token = person.token[:-4] + "AAAA"
    assert (await person.post("/api/stake", STAKE)).status_code == 401
    assert (await service.client.get("/healthz")).status_code == 200
    assert [cost(report) for report in await service.reports()] == [(1, 0), (1, 0), (0, 0)]
    assert postgres_proxy.executed == []


async def test_a_fresh_isolate_costs_no_more(
    service: WorkerService, person: Person, start_worker: StartWorker, postgres_proxy: PostgresProxy
) -> None:
    """The first request of an isolate costs what any other does: a cached read, and a creation."""
    postgres_proxy.executed.clear()
    reading, writing = await start_worker(), await start_worker()
    assert (await person.at(reading).list_stakes())["fromCache"] is True
    (report,) = await reading.reports()
    assert cost(report) == (1, 0)
    await person.at(writing).stake()
    (report,) = await writing.reports()
    assert cost(report) == (2, 1)
    assert len(postgres_proxy.executed) == 1


async def test_importing_and_starting_an_isolate_costs_nothing(
    start_worker: StartWorker, postgres_proxy: PostgresProxy
) -> None:
    """An isolate that has served nobody has asked neither store."""
    service = await start_worker()
    assert service.front is not None
    assert (service.front.requests, postgres_proxy.connections) == (0, 0)
    startup = service.startup
    assert (startup.fetches, startup.sockets, startup.timers, startup.entropy) == (0, 0, 0, 0)


async def test_a_stale_page_is_answered_before_it_is_renewed(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """Its answer waits for no database; behind it one connection with one statement and one fetch renew it.

    All of that is in waitUntil, which ends with the connection closed; then the page is fresh.
    """
    await age_pages(person, 301)
    postgres_proxy.executed.clear()
    postgres_proxy.stall()
    page = await person.list_stakes()
    assert page["fromCache"] is True
    await service.until_answered()
    (background,) = await service.underway()
    assert (background["state"], background["background"]) == ("answered", 1)
    assert postgres_proxy.executed == []
    postgres_proxy.resume()
    (report,) = await service.reports()
    assert cost(report) == (2, 1)
    assert report.answered_first
    assert not report.wait_until_cut
    assert postgres_proxy.statements == len(postgres_proxy.executed) == 1
    assert (await person.list_stakes())["fromCache"] is True
    (report,) = await service.reports()
    assert cost(report) == (1, 0)
    await _until_no_worker_is_connected(service)
    assert postgres_proxy.goodbyes == postgres_proxy.connections


async def _until_no_worker_is_connected(service: WorkerService) -> None:
    """Wait until the database has seen the last connection go."""
    async with asyncio.timeout(10):
        while await service.sql(
            "SELECT 1 FROM pg_stat_activity WHERE usename = 'worker' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


CUTS = ("connecting", "before the statement", "before its answer", "storing")


async def _stop_refresh(where: str, service: WorkerService, proxy: PostgresProxy, person: Person) -> None:
    """Read a stale page, and wait until its refresh is where it is to be cut."""
    front = service.front
    assert front is not None
    if where == "connecting":
        proxy.stall()
    elif where == "before the statement":
        proxy.stall_at(PAGE_READ)
    elif where == "before its answer":
        proxy.hold_answers_at(PAGE_READ)
    else:
        front.faults.stalled_from = front.requests + 2
    connections, requests = proxy.connections, front.requests
    assert (await person.list_stakes())["fromCache"] is True
    async with asyncio.timeout(10):
        while not (
            proxy.held
            or (where == "connecting" and proxy.connections > connections)
            or (where == "storing" and front.requests == requests + 2)
        ):
            await asyncio.sleep(0.005)
    await service.until_answered()


@pytest.mark.parametrize("where", CUTS)
async def test_a_refresh_that_is_cut_short_leaves_nothing_stale(
    service: WorkerService,
    person: Person,
    start_worker: StartWorker,
    postgres_proxy: PostgresProxy,
    where: str,
) -> None:
    """Wherever it ends: the page it leaves is true, and no later read lacks what was written since.

    What it had sent already may reach Redis or the database after that write: nothing of it is kept.
    """
    other = await start_worker()
    await age_pages(person, 301)
    await _stop_refresh(where, service, postgres_proxy, person)
    assert await service.abandon() == 1
    (report,) = await service.reports()
    assert report.wait_until_cut
    if where != "storing":
        postgres_proxy.resume()
    before = (await person.at(other).list_stakes())["items"]
    assert len(before) == 1
    new = await person.at(other).stake()
    await person.at(other).list_stakes()
    await other.reports()  # So that this page is stored.
    assert service.front is not None
    let_in = len(service.front.sync_tokens)
    service.front.faults.stalled_from = None
    if where == "storing":
        async with asyncio.timeout(10):
            while len(service.front.sync_tokens) == let_in:
                await asyncio.sleep(0.005)
    for reader in (service, other) * 3:
        assert [item["id"] for item in (await person.at(reader).list_stakes())["items"]] == [
            new,
            before[0]["id"],
        ]
    assert await keys_like(service, "*}:stakes:marks") == []
    assert (await person.list_stakes())["fromCache"] is True


async def test_a_page_whose_refresh_was_cut_short_is_renewed_by_another(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """The lease of the one who was cut off ends; then the next reader renews the page."""
    await age_pages(person, 301)
    await _stop_refresh("before the statement", service, postgres_proxy, person)
    await service.abandon()
    postgres_proxy.resume()
    (key,) = await keys_like(service, "*}:stakes")
    fields = await service.redis("HKEYS", key)
    assert isinstance(fields, list)
    (lease,) = [each.decode() for each in fields if isinstance(each, bytes) and each.startswith(b"l:")]
    await service.redis("HSET", key, lease, "1")
    await service.reports()
    assert (await person.list_stakes())["fromCache"] is True
    (report,) = await service.reports()
    assert cost(report) == (2, 1)
