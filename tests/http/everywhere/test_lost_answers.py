"""When the answer to a statement is lost, every call still has its one effect and its right answer."""

from collections.abc import AsyncIterator

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.postgres_proxy import PostgresProxy
from tests.support.service import PASSWORD, Person, Service

NEW = "a long walk on a cold day"

LOSSES = pytest.mark.parametrize("loss", ["cut_requests", "cut_answers"])


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def service(start_service: StartService, proxy: PostgresProxy) -> Service:
    return await start_service(DATABASE_URL=proxy.url, STAKEHOLD_LIMITS=ROOMY)


def lose_one(proxy: PostgresProxy, loss: str) -> None:
    getattr(proxy, loss)(1)


@LOSSES
async def test_signing_up_makes_one_user(service: Service, proxy: PostgresProxy, loss: str) -> None:
    """Whoever was made by the first attempt is not told that the name is taken."""
    lose_one(proxy, loss)
    answer = await service.client.post("/api/users", json={"username": "ada", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    assert await service.sql("SELECT username FROM users") == [("ada",)]


@LOSSES
async def test_signing_in_starts_a_session(service: Service, proxy: PostgresProxy, loss: str) -> None:
    """The tokens that were answered are those of the session that was stored."""
    person = await service.enrol()
    lose_one(proxy, loss)
    again = await service.sign_in(person.username)
    assert (await again.get("/api/me")).status_code == 200
    renewed = await service.client.post("/api/auth/refresh", json={"refreshToken": again.refresh_token})
    assert renewed.status_code == 200


@LOSSES
async def test_refreshing_is_no_reuse(service: Service, proxy: PostgresProxy, loss: str) -> None:
    """The second attempt of one refresh is not taken for a stolen token: the session goes on."""
    person = await service.enrol()
    lose_one(proxy, loss)
    answer = await service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
    assert answer.status_code == 200, answer.text
    answer = await service.client.post(
        "/api/auth/refresh", json={"refreshToken": answer.json()["refreshToken"]}
    )
    assert answer.status_code == 200
    assert (await person.get("/api/me")).status_code == 200


@LOSSES
@pytest.mark.parametrize("everywhere", [False, True])
async def test_signing_out_ends_the_session(
    service: Service, proxy: PostgresProxy, loss: str, everywhere: bool
) -> None:
    """204 means that it has ended."""
    person = await service.enrol()
    await person.list_stakes()
    lose_one(proxy, loss)
    assert (await person.post("/api/auth/logout", {"all": everywhere})).status_code == 204
    assert (await person.get("/api/me")).status_code == 401


@LOSSES
async def test_changing_the_password_gives_good_tokens(
    service: Service, proxy: PostgresProxy, loss: str
) -> None:
    """The new password is set once, and the answer's session is the one that was started."""
    person = await service.enrol()
    await person.list_stakes()
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    lose_one(proxy, loss)
    answer = await person.post("/api/me/password", body)
    assert answer.status_code == 200, answer.text
    after = Person(service, person.username, NEW, answer.json()["token"], answer.json()["refreshToken"])
    assert (await after.get("/api/me")).status_code == 200
    await service.sign_in(person.username, NEW)


@LOSSES
@pytest.mark.parametrize("path", ["/api/stake", "/api/me", "/api/plans"])
async def test_reading_is_tried_again(service: Service, proxy: PostgresProxy, loss: str, path: str) -> None:
    """A read never fails for one lost connection."""
    person = await service.enrol()
    lose_one(proxy, loss)
    assert (await person.get(path)).status_code == 200
