"""Whoever is disabled or signed out is refused on the very next request, whatever Redis remembers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.resp_proxy import RespProxy
from tests.support.service import PASSWORD, Person, Service, assert_problem, count_by_status

End = Callable[[Person], Awaitable[None]]


async def _disable(person: Person) -> None:
    await person.service.operate("users", "disable", person.username)


async def _change_password(person: Person) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "a long walk on a cold day"}
    assert (await person.post("/api/me/password", body)).status_code == 200


async def _sign_out(person: Person) -> None:
    assert (await person.post("/api/auth/logout", {})).status_code == 204


async def _sign_out_everywhere(person: Person) -> None:
    assert (await person.post("/api/auth/logout", {"all": True})).status_code == 204


async def _grant(person: Person) -> None:
    await person.service.operate("users", "grant", person.username, "admin")


ENDS = pytest.mark.parametrize("end", [_disable, _change_password, _sign_out, _sign_out_everywhere, _grant])


async def _refused_everywhere(person: Person) -> None:
    for method, path, body in (
        ("GET", "/api/stake", None),
        ("GET", "/api/me", None),
        ("POST", "/api/stake", {"amount": 1, "period": 12}),
        ("POST", "/api/me/password", {"currentPassword": PASSWORD, "newPassword": "a long walk"}),
        ("POST", "/api/auth/logout", {}),
    ):
        assert_problem(await person.request(method, path, json=body), 401, "session_ended")


async def _warm(person: Person) -> None:
    """The session is known to be good, and pages are cached."""
    await person.stake()
    for _ in range(3):
        await person.list_stakes()


@ENDS
async def test_the_next_request_is_refused(start_service: StartService, end: End) -> None:
    """Also by another process that had just served the user from its cache."""
    one, other = await start_service(STAKEHOLD_LIMITS=ROOMY), await start_service(STAKEHOLD_LIMITS=ROOMY)
    person = await one.enrol()
    await _warm(person)
    await _warm(person.at(other))
    await end(person)
    await _refused_everywhere(person.at(other))
    await _refused_everywhere(person)
    assert await one.sql("SELECT count(*) FROM stakes") == [(2,)]


@ENDS
async def test_a_wiped_redis_revives_nobody(roomy_service: Service, end: End) -> None:
    """What Redis forgot the database knows: after FLUSHALL the token stays refused."""
    person = await roomy_service.enrol()
    await _warm(person)
    await end(person)
    await roomy_service.redis("FLUSHALL")
    await _refused_everywhere(person)
    await roomy_service.redis("FLUSHALL")
    await _refused_everywhere(person)


async def test_a_disabled_user_is_enabled_again(roomy_service: Service) -> None:
    """Disabled, nobody signs in by that name; enabled again, the user does, with no old token good again."""
    person = await roomy_service.enrol()
    await _disable(person)
    answer = await roomy_service.client.post(
        "/api/auth", json={"username": person.username, "password": PASSWORD}
    )
    assert_problem(answer, 401, "invalid_credentials")
    await roomy_service.operate("users", "enable", person.username)
    assert_problem(await person.get("/api/me"), 401, "session_ended")
    again = await roomy_service.sign_in(person.username)
    assert (await again.get("/api/me")).status_code == 200


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[RespProxy]:
    proxy = RespProxy(redis_url)
    await proxy.start()
    yield proxy
    await proxy.stop()


async def _disable_without_redis(person: Person) -> None:
    printed = await person.service.operate("users", "disable", person.username, status=1)
    assert "Redis was away" in printed


@pytest.mark.parametrize("end", [_disable_without_redis, _change_password, _sign_out, _sign_out_everywhere])
async def test_without_redis_the_database_decides(
    start_service: StartService, redis_proxy: RespProxy, end: End
) -> None:
    """While Redis is away the next request is refused all the same."""
    service = await start_service(REDIS_URL=redis_proxy.url, STAKEHOLD_LIMITS=ROOMY)
    person = await service.enrol()
    await _warm(person)
    redis_proxy.refuse()
    redis_proxy.cut()
    await end(person)
    await _refused_everywhere(person)


@pytest.mark.parametrize("end", [_change_password, _sign_out, _sign_out_everywhere])
@pytest.mark.chance("asks until Redis is back")
async def test_a_redis_that_returns_revives_nobody(
    start_service: StartService, redis_proxy: RespProxy, end: End
) -> None:
    """What Redis had of the user from before it stalled is not believed when it is back."""
    service = await start_service(REDIS_URL=redis_proxy.url, STAKEHOLD_LIMITS=ROOMY)
    person = await service.enrol()
    await _warm(person)
    redis_proxy.stall()
    await end(person)
    redis_proxy.resume()
    async with asyncio.timeout(10):
        while (await service.client.get("/readyz")).json()["status"] != "ready":
            await _refused_everywhere(person)
    for _ in range(3):
        await _refused_everywhere(person)


@pytest.mark.chance("which of several calls come first")
async def test_what_was_answered_is_what_was_stored(start_service: StartService) -> None:
    """Creations that race the end of their session are either made and told so, or refused and not made."""
    one, other = await start_service(STAKEHOLD_LIMITS=ROOMY), await start_service(STAKEHOLD_LIMITS=ROOMY)
    person = await one.enrol()
    await _warm(person)
    creations = [
        asyncio.create_task(person.at(service).post("/api/stake", {"amount": 1, "period": 12}))
        for _ in range(20)
        for service in (one, other)
    ]
    await next(asyncio.as_completed(creations))
    await _sign_out_everywhere(person)
    await _refused_everywhere(person.at(other))
    counts = count_by_status(await asyncio.gather(*creations))
    assert set(counts) <= {201, 401}
    assert await one.sql("SELECT count(*) FROM stakes") == [(1 + counts[201],)]
