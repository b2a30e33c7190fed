"""The Worker's entry on real stores, its platform played natively: what an isolate and a request have."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from stakehold.redis.aiohttp_sender import AiohttpSender
from tests.support.native import JWT_SECRET
from tests.support.upstash_front import UpstashFront
from tests.support.worker_platform import (
    Body,
    JsException,
    Platform,
    Request,
    Response,
    worker_module,
    worker_platform,
)

WAIT_S = 10.0
HYPERDRIVE: dict[str, Any] = {
    "host": "db.test", "port": 5432, "user": "u", "password": "p", "database": "d"
}  # fmt: skip


class Context:
    """The platform's ctx: keeps what it is to wait for."""

    def __init__(self) -> None:
        self.awaited: list[Any] = []

    def waitUntil(self, work: Any) -> None:
        self.awaited.append(work)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with worker_platform() as platform:
        yield platform


@pytest.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    front = UpstashFront(redis_url)
    await front.start()
    yield front
    await front.stop()


@pytest.fixture
async def env(platform: Platform, front: UpstashFront, database_url: str) -> AsyncIterator[SimpleNamespace]:
    """What the platform gives: variables, secrets, and Hyperdrive's binding."""
    sender = AiohttpSender()

    async def fetch(url: str, *, headers: dict[str, str], body: str, signal: int, **_: Any) -> Any:
        status, answer = await sender.post(
            url, headers=headers, body=body.encode(), timeout_s=signal / 1000, answer_bytes_max=10**6
        )
        return SimpleNamespace(status=status, body=Body(answer))

    platform.fetch = fetch
    parts = urlsplit(database_url)
    yield SimpleNamespace(
        JWT_SECRET=JWT_SECRET,
        UPSTASH_REDIS_REST_URL=front.url,
        UPSTASH_REDIS_REST_TOKEN=front.token,
        HYPERDRIVE=SimpleNamespace(
            host=parts.hostname, port=parts.port, user=parts.username, password=parts.password,
            database=parts.path[1:],
        ),
    )  # fmt: skip
    await sender.close()


async def answer(env: Any, request: Request) -> tuple[Response, Any]:
    """The response, and what its request has left to be done."""
    context = Context()
    worker = worker_module("worker").Default(context, env)
    async with asyncio.timeout(WAIT_S):
        response = await worker.fetch(request)
    (left,) = context.awaited
    return response, left


def lines(platform: Platform) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in platform.lines]
    platform.lines.clear()
    return read


async def test_a_request_is_answered_and_logged(platform: Platform, env: Any) -> None:
    """By the application; its line is in the log when its work is over, without anybody's timer."""
    response, left = await answer(env, Request("https://stakehold.test/readyz"))
    assert response.status == 200
    assert json.loads(response.body)["status"] == "ready"
    assert response.headers["x-content-type-options"] == "nosniff"
    await left
    (line,) = lines(platform)
    assert (line["event"], line["route"], line["status"]) == ("request", "/readyz", 200)
    assert line["client_address"] == "unknown"


async def test_the_answer_waits_for_no_goodbye(
    platform: Platform, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that takes long to close holds up the request's end, and not its answer."""
    closed = asyncio.Event()
    single = worker_module("worker_container").SingleConnection
    close = single.close

    async def closing(self: Any) -> None:
        await closed.wait()
        await close(self)

    monkeypatch.setattr(single, "close", closing)
    response, left = await answer(env, Request("https://stakehold.test/readyz"))
    assert response.status == 200
    assert not left.done()
    closed.set()
    await left


async def test_an_isolate_is_made_once(platform: Platform, env: Any) -> None:
    """At its first request, and not at import; all requests share it, and none its connection."""
    worker = worker_module("worker")
    assert worker._isolate is None
    made = []
    for _ in range(2):
        _, left = await answer(env, Request("https://stakehold.test/healthz"))
        await left
        made.append(worker._isolate)
    assert made[0] is made[1]
    first, second = made[0].for_request(), made[0].for_request()
    assert first.container.services.gate is second.container.services.gate
    assert first.container.services.database is not second.container.services.database
    assert first.container.services.background is not second.container.services.background
    assert not first.container.draining()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"JWT_SECRET": "hunter2"}, ["JWT_SECRET"]),
        ({"STAKEHOLD_HSTS": "hunter2", "PORT": "hunter2"}, ["PORT", "STAKEHOLD_HSTS"]),
        ({"STAKEHOLD_LIMITS": "hunter2=1"}, ["STAKEHOLD_LIMITS"]),
        ({"HYPERDRIVE": None}, ["DATABASE_URL"]),
        ({"HYPERDRIVE": "hunter2"}, ["HYPERDRIVE"]),
        ({"HYPERDRIVE": SimpleNamespace(**HYPERDRIVE | {"port": "hunter2"})}, ["HYPERDRIVE"]),
        ({"HYPERDRIVE": SimpleNamespace(**HYPERDRIVE | {"port": 0})}, ["HYPERDRIVE"]),
        *[
            ({"HYPERDRIVE": SimpleNamespace(**HYPERDRIVE | {lacking: None})}, ["HYPERDRIVE"])
            for lacking in HYPERDRIVE
        ],
        ({"STAKEHOLD_SIGN_UP": False}, ["STAKEHOLD_SIGN_UP"]),
        ({"STAKEHOLD_RING_EPOCH": 3, "STAKEHOLD_HSTS": True}, ["STAKEHOLD_HSTS", "STAKEHOLD_RING_EPOCH"]),
        ({"JWT_SECRET": SimpleNamespace(get=lambda: "hunter2")}, ["JWT_SECRET"]),
        ({"REDIS_URL": "redis://:hunter2@cache.test"}, ["REDIS_URL", "UPSTASH_REDIS_REST_URL"]),
        ({"UPSTASH_REDIS_REST_TOKEN": ""}, ["UPSTASH_REDIS_REST_TOKEN"]),
    ],
)  # fmt: skip
async def test_settings_that_do_not_do_are_a_503(
    platform: Platform, env: Any, change: dict[str, Any], named: list[str]
) -> None:
    """The answer says that it is for the operator to mend; the log names the settings, and no value."""
    env.__dict__.update(change)
    for _ in range(2):
        response, left = await answer(env, Request("https://stakehold.test/api/plans"))
        await left
        assert response.status == 503
        problem = json.loads(response.body)
        assert problem["code"] == "external_service_unavailable"
        assert response.headers["retry-after"]
        assert response.headers["x-request-id"] == problem["request_id"]
        assert response.headers["x-frame-options"] == "DENY"
        assert "hunter2" not in "".join(platform.lines) + str(response.body)
        (line,) = lines(platform)
        assert (line["event"], line["level"]) == ("settings_refused", "error")
        assert line["settings"] == named
    await worker_module("worker").Default(Context(), env).scheduled(None)
    assert [line["event"] for line in lines(platform)] == ["settings_refused"]


async def test_a_mended_setting_is_taken(platform: Platform, env: Any) -> None:
    """Nothing of a failed start is kept."""
    secret, env.JWT_SECRET = env.JWT_SECRET, ""
    assert (await answer(env, Request("https://stakehold.test/healthz")))[0].status == 503
    env.JWT_SECRET = secret
    assert (await answer(env, Request("https://stakehold.test/healthz")))[0].status == 200


async def test_a_fault_around_the_application_is_a_500(
    platform: Platform, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged by its place, and neither answer nor log repeats what it said."""
    worker = worker_module("worker")

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(worker, "_app", broken)
    response, left = await answer(env, Request())
    await left
    assert response.status == 500
    (line,) = lines(platform)
    assert (line["event"], line["fault"]) == ("fault", "RuntimeError")
    assert "hunter2" not in json.dumps(line) + str(response.body)


async def test_a_client_that_left_is_no_fault(platform: Platform, env: Any) -> None:
    """Its request's line says so, and the call ends."""
    body = Body(JsException("Error", "Network connection lost."))
    headers = [("host", "stakehold.test"), ("content-type", "application/json"), ("content-length", "99")]
    request = Request("https://stakehold.test/api/auth", "POST", headers, body)
    _, left = await answer(env, request)
    await left
    (line,) = lines(platform)
    assert (line["event"], line["gone"]) == ("request", True)


async def test_the_cron_handler_looks_and_tells(platform: Platform, env: Any, front: UpstashFront) -> None:
    """Whether the stores answer, what was done, and the counters; a store that does not is a warning."""
    worker = worker_module("worker").Default(Context(), env)
    await worker.scheduled(None)
    seen, done, counters = lines(platform)
    assert (seen["event"], seen["level"], seen["database"], seen["redis"]) == (
        "scheduled",
        "info",
        "up",
        "up",
    )
    assert (done["event"], done["level"], done["settled"], done["failed"]) == ("upkeep", "info", 0, None)
    assert (counters["event"], counters["counts"]["sql_connects"]) == ("counters", 1)
    await front.stop()
    env.HYPERDRIVE.port = 1
    async with asyncio.timeout(WAIT_S):
        await worker.scheduled(None)
    seen = next(line for line in lines(platform) if line["event"] == "scheduled")
    assert (seen["level"], seen["database"], seen["redis"]) == ("warning", "down", "down")


async def test_counters_are_written_now_and_then(
    platform: Platform, env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a request, when the last time is a minute ago and something was counted since."""
    container = worker_module("worker_container")
    clock = SimpleNamespace(now_ms=lambda: 0, monotonic_s=lambda: now_s)
    now_s = 0.0
    isolate = container.Isolate(env, clock)
    isolate.metrics.count("cache_fresh")
    isolate.write_counters()
    assert lines(platform) == []
    now_s = 60.0
    isolate.write_counters()
    (line,) = lines(platform)
    assert line["counts"] == {"cache_fresh": 1}
    now_s = 120.0
    isolate.write_counters()
    assert lines(platform) == []


async def test_the_database_may_be_given_by_its_address(
    platform: Platform, env: Any, database_url: str
) -> None:
    """Without Hyperdrive the session is told its timeouts, as natively."""
    del env.HYPERDRIVE
    env.DATABASE_URL = database_url
    handling = worker_module("worker_container").Isolate(env).for_request()
    async with handling.container.services.database.connection(handling.deadline(5)) as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "3s"
    await handling.finish()


async def test_the_platforms_limits_are_asked_while_redis_is_away(
    platform: Platform, env: Any, front: UpstashFront
) -> None:
    """A binding's refusal is a 429."""

    class Binding:
        async def limit(self, options: dict[str, str]) -> Any:
            return {"success": False}

    env.LIMIT_PLAN_READ = Binding()
    response, left = await answer(env, Request("https://stakehold.test/api/plans"))
    await left
    assert response.status == 200
    await front.stop()
    response, left = await answer(env, Request("https://stakehold.test/api/plans"))
    await left
    assert response.status == 429
