"""How long access tokens last, and across which changes of the secret."""

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.fakes import ManualClock
from tests.support.forged_tokens import parts
from tests.support.native import JWT_SECRET, running_service
from tests.support.service import Person, Service, assert_problem

NEXT_SECRET = "the-next-one-0d6c2f8b7a1e4593cc01"


@pytest.mark.native_only("moves the clock of the service's process")
async def test_a_token_lasts_15_minutes(database_url: str, redis_url: str) -> None:
    """To the second, also once it was verified before; then the refresh token gives another."""
    clock = ManualClock()
    async with running_service(database_url, redis_url, {"STAKEHOLD_LIMITS": ROOMY}, clock=clock) as service:
        person = await service.sign_up()
        assert (await person.get("/api/me")).status_code == 200
        clock.advance(899.999)
        assert (await person.get("/api/me")).status_code == 200
        clock.advance(0.001)
        answer = await person.get("/api/me")
        assert_problem(answer, 401, "token_expired")
        assert answer.headers["www-authenticate"] == 'Bearer realm="stakehold", error="invalid_token"'
        renewed = await service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
        person.token = renewed.json()["token"]
        assert (await person.get("/api/me")).status_code == 200


async def test_the_secret_is_exchanged_without_signing_anyone_out(start_service: StartService) -> None:
    """Tokens of the previous secret are good for as long as it is named; new ones have the new."""
    before = await start_service()
    person = await before.enrol()
    during = await start_service(JWT_SECRET=NEXT_SECRET, JWT_SECRET_PREVIOUS=JWT_SECRET)
    after = await start_service(JWT_SECRET=NEXT_SECRET)
    assert (await person.at(during).get("/api/me")).status_code == 200
    newer = await during.sign_in(person.username)
    assert (await newer.at(after).get("/api/me")).status_code == 200
    assert_problem(await newer.at(before).get("/api/me"), 401, "invalid_token")
    assert_problem(await person.at(after).get("/api/me"), 401, "invalid_token")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_in_any_case(person: Person, scheme: str) -> None:
    """`Bearer` is a scheme's name, and those are compared without regard to case (RFC 9110, section 11.1)."""
    answer = await person.get("/api/me", headers={"Authorization": f"{scheme} {person.token}"})
    assert answer.status_code == 200


async def test_an_operators_tokens_have_the_scope(roomy_service: Service) -> None:
    """Signed in or refreshed after the grant; without it there is no such claim."""
    person = await roomy_service.enrol()
    assert "scope" not in parts(person.token)[1]
    await roomy_service.operate("users", "grant", person.username, "admin")
    again = await roomy_service.sign_in(person.username, person.password)
    assert parts(again.token)[1]["scope"] == "admin"
    answer = await roomy_service.client.post("/api/auth/refresh", json={"refreshToken": again.refresh_token})
    assert parts(answer.json()["token"])[1]["scope"] == "admin"
    assert (await again.get("/api/me")).status_code == 200
