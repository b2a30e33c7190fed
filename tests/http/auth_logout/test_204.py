"""POST /api/auth/logout answers 204 when the session, or every session, has ended."""

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.service import Person, Service, assert_problem


async def refused(person: Person) -> None:
    """Neither token of the session is good any more."""
    assert_problem(await person.get("/api/me"), 401, "session_ended")
    assert_problem(await person.get("/api/stake"), 401, "session_ended")
    assert_problem(await person.post("/api/stake", {"amount": 1, "period": 12}), 401, "session_ended")
    answer = await person.service.client.post(
        "/api/auth/refresh", json={"refreshToken": person.refresh_token}
    )
    assert_problem(answer, 401, "invalid_refresh_token")


@pytest.mark.parametrize("body", [None, {}, {"all": False}])
async def test_one_session_ends_and_the_others_go_on(roomy_service: Service, body: object) -> None:
    """Signing out ends this session at once, with or without a body, and no other of the user's."""
    here = await roomy_service.enrol()
    elsewhere = await roomy_service.sign_in(here.username)
    for each in (here, elsewhere):
        await each.list_stakes()
    options = {} if body is None else {"json": body}
    answer = await here.request("POST", "/api/auth/logout", **options)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    await refused(here)
    assert (await elsewhere.get("/api/me")).status_code == 200
    renewed = await roomy_service.client.post(
        "/api/auth/refresh", json={"refreshToken": elsewhere.refresh_token}
    )
    assert renewed.status_code == 200


async def test_every_session_ends(roomy_service: Service) -> None:
    """`all` ends all sessions of the user, and nobody else's; signing in again works."""
    here = await roomy_service.enrol()
    elsewhere = await roomy_service.sign_in(here.username)
    somebody = await roomy_service.enrol()
    for each in (here, elsewhere, somebody):
        await each.list_stakes()
    assert (await here.post("/api/auth/logout", {"all": True})).status_code == 204
    await refused(here)
    await refused(elsewhere)
    assert (await somebody.get("/api/me")).status_code == 200
    again = await roomy_service.sign_in(here.username)
    assert (await again.get("/api/me")).status_code == 200


@pytest.mark.parametrize("everywhere", [False, True])
async def test_another_process_knows_at_once(start_service: StartService, everywhere: bool) -> None:
    """A process that had the session cached refuses its very next request."""
    one, other = await start_service(STAKEHOLD_LIMITS=ROOMY), await start_service(STAKEHOLD_LIMITS=ROOMY)
    person = await one.enrol()
    for _ in range(3):
        await person.at(other).list_stakes()
    assert (await person.post("/api/auth/logout", {"all": everywhere})).status_code == 204
    await refused(person.at(other))


async def test_signing_out_twice(roomy_service: Service) -> None:
    """The second time the token is no longer good."""
    person = await roomy_service.enrol()
    assert (await person.post("/api/auth/logout", {})).status_code == 204
    assert_problem(await person.post("/api/auth/logout", {}), 401, "session_ended")
