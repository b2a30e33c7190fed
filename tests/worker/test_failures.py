"""Failures of the platform: Upstash and Hyperdrive slow, erring and down, clients gone, requests killed."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest

from stakehold.database.transactions import ATTEMPTS_MAX
from tests.support.cached_pages import keys_like
from tests.support.postgres_proxy import PostgresProxy
from tests.support.service import Person, assert_problem
from tests.support.upstash_front import Faults, UpstashFront
from tests.support.worker import WorkerHost, WorkerService, running_worker
from tests.worker.conftest import StartWorker
from tests.worker.timed_bounds import CLAIM_LIFE_S, IN_FLIGHT_LIFE_S, IN_FLIGHT_MAX

STAKE = {"amount": "1", "period": 12}
INSERT = "INSERT INTO stakes"
PAGE_READ = "FROM stakes"
ANSWER_MAX_S = 10.0
OFTEN = 10_000


@pytest.fixture
async def service(start_worker: StartWorker) -> WorkerService:
    """An isolate that has served somebody."""
    service = await start_worker()
    await (await service.enrol()).stake()
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


def front_of(service: WorkerService) -> UpstashFront:
    assert service.front is not None
    return service.front


async def stored(person: Person) -> list[str]:
    """The user's stakes in the database, newest first."""
    rows = await person.service.sql(
        "SELECT s.id FROM stakes s JOIN users u ON u.id = s.user_id WHERE u.username = $1 ORDER BY s.id DESC",
        person.username,
    )
    return [str(stake_id) for (stake_id,) in rows]


async def seen(person: Person, limit: int = 10) -> list[str]:
    """The user's stakes on their page."""
    return [item["id"] for item in (await person.list_stakes(limit=limit))["items"]]


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(20):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.02)


async def until_cached(person: Person) -> None:
    """Wait until pages come from Redis, and are true."""

    async def cached() -> bool:
        page = await person.list_stakes()
        assert [item["id"] for item in page["items"]] == await stored(person)
        return bool(page["fromCache"])

    await until(cached)


async def in_time(request: Awaitable[httpx.Response]) -> httpx.Response:
    """The answer, which must come in time."""
    started_s = time.monotonic()
    answer = await request
    assert time.monotonic() - started_s < ANSWER_MAX_S
    return answer


TROUBLES = {
    "slow": Faults(stalled=True),
    "500": Faults(statuses=[500] * OFTEN),
    "500 after it has run": Faults(statuses_after=[500] * OFTEN),
    "429": Faults(statuses=[429] * OFTEN),
    "garbage": Faults(raw_answer=b"<html>\xff"),
    "too long": Faults(raw_answer=b'{"result": "' + b"x" * 5_000_000 + b'"}'),
    "another form": Faults(raw_answer=b'{"result": {"a": 1}}'),
    "no reply of ours": Faults(raw_answer=b'{"result": ["OK", 1]}'),
    "always nil": Faults(raw_answer=b'{"result": null}'),
    "always done": Faults(raw_answer=b'{"result": 1}'),
    "redirecting": Faults(redirect_to="http://127.0.0.1:9/"),
    "full": Faults(refusal="OOM command not allowed when used memory > 'maxmemory'."),
    "cutting": Faults(cuts=OFTEN),
    "down": None,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_with_upstash_in_trouble_the_database_answers(
    service: WorkerService, person: Person, trouble: str
) -> None:
    """Reads and creations go on, each stake is made once, and no read lacks what was acknowledged.

    When Upstash is well again it is found again: pages are true, and come from the cache.
    """
    front = front_of(service)
    port = urlsplit(front.url).port
    if (faults := TROUBLES[trouble]) is None:
        await front.stop()
    else:
        front.faults = faults
    made = await stored(person)
    for _ in range(3):
        answer = await in_time(person.get("/api/stake"))
        assert answer.status_code == 200, await service.log()
        assert answer.json()["fromCache"] is False
        assert [item["id"] for item in answer.json()["items"]] == made
        answer = await in_time(person.post("/api/stake", STAKE))
        assert answer.status_code == 201
        made.insert(0, answer.json()["stakeId"])
    assert await stored(person) == made
    front.faults = Faults()
    if faults is None:
        await front.start(port or 0)
    await until_cached(person)
    assert await seen(person) == made
    assert await keys_like(service, "*}:stakes:marks") == []


async def test_an_error_that_passes_is_not_noticed(service: WorkerService, person: Person) -> None:
    """One 500, and a slow answer that comes in time: the page is the cached one, and Redis stays trusted."""
    front = front_of(service)
    front.faults.statuses = [500]
    answers = await in_time(person.get("/api/stake"))
    assert answers.json()["items"]
    front.faults.stalled = True
    requests = front.requests
    slow = asyncio.ensure_future(person.get("/api/stake"))
    await until(lambda: front.requests > requests)
    front.faults.stalled = False
    assert (await slow).status_code == 200
    await until_cached(person)


async def test_while_upstash_hangs_only_those_who_look_wait_for_it(
    service: WorkerService, person: Person
) -> None:
    """After the first has found it hanging, of many requests at once at most one waits for it."""
    front = front_of(service)
    front.faults.stalled = True
    assert (await in_time(person.get("/api/stake"))).status_code == 200
    await service.reports()
    requests = front.requests
    answers = await asyncio.gather(*(in_time(person.get("/api/stake")) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    reports = await service.reports()
    assert sum(bool(report.fetches) for report in reports) <= 1
    assert front.requests - requests <= 1
    front.faults.stalled = False
    await until_cached(person)


def _closed_port(url: str) -> str:
    """The same database at a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))


@pytest.mark.parametrize("how", ["refusing", "closing", "hanging"])
async def test_without_a_database_only_what_is_cached_is_answered(
    service: WorkerService, person: Person, start_worker: StartWorker, postgres_proxy: PostgresProxy, how: str
) -> None:
    """Refused, closed or left hanging at connecting: 503 with Retry-After in time, and nothing is made.

    What is cached goes on being read; fences are closed again; when the database is back, so is the service.
    """
    if how == "refusing":
        asked = person.at(await start_worker(through=_closed_port(postgres_proxy.url)))
    elif how == "closing":
        asked, postgres_proxy.refusing = person, True
    else:
        asked = person
        postgres_proxy.stall()
    made = await stored(person)
    answers = await asyncio.gather(
        in_time(asked.get("/api/stake?limit=3")),
        in_time(asked.get("/api/stake")),
        return_exceptions=False,
    )
    assert [answer.status_code for answer in answers] == [503, 200]
    answer = await in_time(asked.post("/api/stake", STAKE))
    for refused in (answers[0], answer):
        problem = assert_problem(refused, 503, "database_unavailable")
        assert problem["retry_after"] if "retry_after" in problem else refused.headers["retry-after"]
    postgres_proxy.refusing = False
    postgres_proxy.resume()
    assert await stored(person) == made
    assert await keys_like(service, "*}:stakes:marks") == []
    assert (await person.post("/api/stake", STAKE)).status_code == 201
    assert await seen(person) == await stored(person)


CUTS = {
    "before": PostgresProxy.cut_requests,
    "during": PostgresProxy.cut_runs,
    "after": PostgresProxy.cut_answers,
}


@pytest.mark.parametrize("when", CUTS)
@pytest.mark.parametrize("key", [None, "a-key"])
async def test_a_creation_cut_once_is_made_once(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy, when: str, key: str | None
) -> None:
    """The connection ends before, during or after the statement: it is sent again, and there is one stake."""
    CUTS[when](postgres_proxy, 1, INSERT)
    headers = {"Idempotency-Key": f'"{key}"'} if key else {}
    answer = await in_time(person.post("/api/stake", STAKE, headers=headers))
    assert answer.status_code == 201
    assert (await stored(person))[0] == answer.json()["stakeId"]
    assert len(await stored(person)) == 2
    assert await seen(person) == await stored(person)
    assert await keys_like(service, "*}:stakes:marks") == []


@pytest.mark.parametrize("when", CUTS)
async def test_a_creation_cut_for_ever_is_made_once_at_most(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy, when: str
) -> None:
    """The answer says that the outcome is not known, in time; then the fence is left, and reads are true."""
    CUTS[when](postgres_proxy, OFTEN, INSERT)
    answer = await in_time(person.post("/api/stake", STAKE))
    assert_problem(answer, 503, "outcome_unknown")
    assert int(answer.headers["retry-after"]) >= 1
    postgres_proxy.cut_nothing_more()
    (marks,) = await keys_like(service, "*}:stakes:marks")
    left_ms = await service.redis("PTTL", marks)
    assert isinstance(left_ms, int)
    assert 0 < left_ms <= 15_000
    assert 1 <= len(await stored(person)) <= 2
    for _ in range(2):
        page = await person.list_stakes()
        assert page["fromCache"] is False
        assert [item["id"] for item in page["items"]] == await stored(person)
    # As when its time has come:
    await service.redis("DEL", marks)
    await until_cached(person)


async def _conflict(service: WorkerService, times: int) -> None:
    """Have so many insertions of stakes refused with 40001, as a database does that is serializable."""
    for statement in (
        "CREATE SEQUENCE conflicts",
        f"""CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('conflicts') <= {times} THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF;
            RETURN NEW; END $$""",
        "CREATE TRIGGER conflict BEFORE INSERT ON stakes FOR EACH ROW EXECUTE FUNCTION conflict()",
    ):
        await service.sql(statement)


async def test_a_conflict_is_run_again(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """40001 twice and then fine: on the same connection, made once, acknowledged."""
    await _conflict(service, 2)
    postgres_proxy.executed.clear()
    answer = await in_time(person.post("/api/stake", STAKE))
    assert answer.status_code == 201
    assert sum(INSERT in text for text in postgres_proxy.executed) == 3
    (report,) = await service.reports()
    assert report.sockets_opened == 1
    assert len(await stored(person)) == 2
    assert await seen(person) == await stored(person)


async def test_a_conflict_for_ever_is_given_up_in_time(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """40001 each time: a bounded number of attempts, 503 with Retry-After, nothing made, no fence left."""
    await _conflict(service, OFTEN)
    postgres_proxy.executed.clear()
    answer = await in_time(person.post("/api/stake", STAKE))
    assert_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert sum(INSERT in text for text in postgres_proxy.executed) <= ATTEMPTS_MAX
    assert len(await stored(person)) == 1
    assert await keys_like(service, "*}:stakes:marks") == []


async def _leave_while_writing(person: Person, proxy: PostgresProxy) -> None:
    """Ask for a stake, and go away when the database has made it and the Worker does not know."""
    proxy.hold_answers_at(INSERT)
    writing = asyncio.ensure_future(person.post("/api/stake", STAKE))
    await until(lambda: proxy.held > 0)

    async def made() -> bool:
        return len(await stored(person)) == 2

    await until(made)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_a_client_that_goes_while_it_writes_leaves_a_stake_and_no_fence(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """The write goes on to its end: the stake is there once, its fence is closed, and pages show it."""
    await _leave_while_writing(person, postgres_proxy)
    postgres_proxy.resume()
    (report,) = await service.reports()
    assert (report.outcome, report.wait_until_cut, len(report.fetches)) == ("client gone", False, 2)
    assert report.sockets_open_at_end == 0
    assert await keys_like(service, "*}:stakes:marks") == []
    assert len(await stored(person)) == 2
    await until_cached(person)


async def test_a_write_that_is_killed_leaves_a_fence_that_expires(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """The client gone and the request killed: until the fence expires, pages are not cached, and true."""
    await _leave_while_writing(person, postgres_proxy)
    assert await service.abandon(unanswered=True) == 1
    postgres_proxy.resume()
    (marks,) = await keys_like(service, "*}:stakes:marks")
    left_ms = await service.redis("PTTL", marks)
    assert isinstance(left_ms, int)
    assert 0 < left_ms <= 15_000
    for _ in range(2):
        assert (await person.list_stakes())["fromCache"] is False
        assert await seen(person) == await stored(person)
    await service.redis("DEL", marks)
    await until_cached(person)


async def _later(service: WorkerService, seconds: float) -> None:
    """Move the clock of timed_entry.py on."""
    assert (await service.client.post(f"/-/later?s={seconds}")).status_code == 200


async def test_fetches_of_killed_requests_count_for_a_time_only(
    start_worker: StartWorker, timed_host: WorkerHost
) -> None:
    """Their places among those in flight come back; until then others do without Redis, and are answered."""
    service = await start_worker(on=timed_host)
    person = await service.enrol()
    await person.stake()
    await until_cached(person)
    front = front_of(service)
    requests, front.faults.stalled = front.requests, True
    waiting = [asyncio.ensure_future(person.get("/api/stake")) for _ in range(IN_FLIGHT_MAX)]
    await until(lambda: front.requests == requests + IN_FLIGHT_MAX)
    assert await service.abandon(unanswered=True) == IN_FLIGHT_MAX
    await asyncio.gather(*waiting, return_exceptions=True)
    front.faults.stalled = False
    answer = await in_time(person.get("/api/stake"))
    assert (answer.status_code, answer.json()["fromCache"]) == (200, False)
    await _later(service, IN_FLIGHT_LIFE_S)
    await until_cached(person)


async def test_a_request_killed_while_it_looks_for_redis_holds_up_the_others_for_a_time_only(
    start_worker: StartWorker, timed_host: WorkerHost
) -> None:
    """Its claim to be the one who looks runs out; until then requests are answered without Redis."""
    service = await start_worker(on=timed_host)
    person = await service.enrol()
    await person.stake()
    await until_cached(person)
    front = front_of(service)
    front.faults.statuses = [429]
    assert (await person.list_stakes())["fromCache"] is False
    requests, front.faults.stalled = front.requests, True
    looking = asyncio.ensure_future(person.get("/api/stake"))
    await until(lambda: front.requests > requests)
    await service.abandon(unanswered=True)
    await asyncio.gather(looking, return_exceptions=True)
    front.faults.stalled = False
    requests = front.requests
    answers = [await in_time(person.get("/api/stake")) for _ in range(3)]
    assert {(answer.status_code, answer.json()["fromCache"]) for answer in answers} == {(200, False)}
    assert front.requests == requests
    await _later(service, CLAIM_LIFE_S)
    await until_cached(person)


async def test_no_answer_takes_more_than_ten_seconds(
    service: WorkerService, person: Person, postgres_proxy: PostgresProxy
) -> None:
    """With both stores hanging: every kind of request is answered 503, with Retry-After, and in time."""
    front_of(service).faults.stalled = True
    postgres_proxy.stall()
    credentials = {"username": person.username, "password": person.password}
    answers = await asyncio.gather(
        in_time(person.get("/api/stake")),
        in_time(person.get("/api/me")),
        in_time(person.post("/api/stake", STAKE)),
        in_time(person.post("/api/auth/logout", {})),
        in_time(service.client.post("/api/auth", json=credentials)),
        in_time(service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})),
        in_time(service.client.get("/readyz")),
    )
    assert {answer.status_code for answer in answers} == {503}
    assert all("retry-after" in answer.headers for answer in answers[:-1])
    for report in await service.reports():
        assert report.total_ms < ANSWER_MAX_S * 1000
    front_of(service).faults.stalled = False
    postgres_proxy.resume()
    await until_cached(person)


async def test_a_body_that_does_not_come_is_not_waited_for(service: WorkerService, person: Person) -> None:
    """An answer comes in time all the same, and nothing is made."""

    head = (
        f"POST /api/stake HTTP/1.1\r\nHost: stakehold.test\r\nAuthorization: Bearer {person.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(head.encode() + b'{"amount": "1", ')
        async with asyncio.timeout(ANSWER_MAX_S):
            answer = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert len(await stored(person)) == 1


async def test_a_worker_that_is_bound_to_no_hyperdrive_says_so(
    worker_host: WorkerHost, redis_url: str
) -> None:
    """503 for every call, the name of the binding in the log, and a cron run that ends."""
    settings = {"HYPERDRIVE": "postgresql://somebody@db.test/stakehold"}
    async with running_worker(worker_host, None, redis_url, settings) as service:
        for path in ("/healthz", "/api/plans"):
            answer = await service.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "external_service_unavailable")
        assert (await service.scheduled()).outcome == "ok"
        lines = [json.loads(line) for line in await service.log()]
    assert {(line["event"], *line["settings"]) for line in lines} == {("settings_refused", "HYPERDRIVE")}


async def test_a_setting_that_is_no_text_is_refused(worker_host: WorkerHost, redis_url: str) -> None:
    """`"STAKEHOLD_SIGN_UP": false` in wrangler.jsonc must not leave signing up open."""
    settings: dict[str, Any] = {"STAKEHOLD_SIGN_UP": False}
    url = "postgresql://somebody@db.test/stakehold"
    async with running_worker(worker_host, url, redis_url, settings) as service:
        answer = await service.client.get("/healthz")
        assert (answer.status_code, answer.json()["code"]) == (503, "external_service_unavailable")
        (line,) = [json.loads(line) for line in await service.log()]
    assert line["settings"] == ["STAKEHOLD_SIGN_UP"]


async def test_an_address_that_cannot_be_reached_from_a_worker_is_a_database_that_is_away(
    worker_host: WorkerHost, redis_url: str
) -> None:
    """A Unix socket, in place of a host: 503 with Retry-After, and a cron run that says so."""
    settings = {"DATABASE_URL": "postgresql://somebody@/stakehold?host=/run/postgresql"}
    async with running_worker(worker_host, None, redis_url, settings, hyperdrive=False) as service:
        body = {"username": "somebody", "password": "correct horse battery"}
        assert_problem(await service.client.post("/api/auth", json=body), 503, "database_unavailable")
        assert (await service.scheduled()).outcome == "ok"
        lines = [json.loads(line) for line in await service.log()]
    assert [line["database"] for line in lines if line["event"] == "scheduled"] == ["down"]
    assert not [line for line in lines if line["event"] == "fault"]
