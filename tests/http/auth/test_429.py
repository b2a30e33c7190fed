"""POST /api/auth answers 429 beyond 10 sign-ins of an address in any minute."""

import asyncio

import httpx
import pytest

from tests.http.conftest import StartService
from tests.support.service import PASSWORD, Person, Service, assert_problem, count_by_status


async def sign_in(
    service: Service, username: str, password: str = PASSWORD, **headers: str
) -> httpx.Response:
    return await service.client.post(
        "/api/auth", json={"username": username, "password": password}, headers=headers
    )


@pytest.mark.chance("which of several calls are let through")
async def test_ten_of_an_address_pass(limited_person: Person) -> None:
    """Ten of 14 concurrent sign-ins pass, right and wrong ones together, whoever signs in."""
    service = limited_person.service
    answers = await asyncio.gather(
        *(sign_in(service, limited_person.username) for _ in range(7)),
        *(sign_in(service, f"nobody-{number}") for number in range(7)),
    )
    counts = count_by_status(answers)
    assert counts.get(429) == 4
    assert counts.get(200, 0) + counts.get(401, 0) == 10
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert assert_problem(refused, 429, "rate_limited")["violated-policies"] == ["auth"]
    assert refused.headers["ratelimit-policy"] == '"auth";q=10;w=60, "global";q=100;w=60'


async def test_a_token_gives_no_other_subject(start_service: StartService) -> None:
    """Sign-ins are counted by address, whatever token is sent along."""
    service = await start_service(STAKEHOLD_LIMITS="auth=2")
    person = await service.enrol()
    for _ in range(2):
        assert (await sign_in(service, "nobody")).status_code == 401
    answer = await sign_in(service, person.username, **person.headers)
    assert_problem(answer, 429, "rate_limited")


async def test_an_address_cannot_be_made_up(start_service: StartService) -> None:
    """Headers that name another address change nothing, unless a proxy is trusted to write them."""
    service = await start_service(STAKEHOLD_LIMITS="auth=2")
    for number, header in enumerate(("X-Forwarded-For", "Forwarded", "CF-Connecting-IP", "X-Real-IP")):
        answer = await sign_in(service, "nobody", **{header: f"198.51.100.{number}"})
        assert answer.status_code == (401 if number < 2 else 429)


@pytest.mark.native_only("Cloudflare itself names the client, whatever a proxy says")
async def test_a_trusted_proxy_names_the_address(start_service: StartService) -> None:
    """With one trusted proxy the last address in X-Forwarded-For counts, not what stands before it."""
    service = await start_service(STAKEHOLD_LIMITS="auth=1", STAKEHOLD_TRUSTED_PROXIES="1")
    statuses = [
        (await sign_in(service, "nobody", **{"X-Forwarded-For": addresses})).status_code
        for addresses in (
            "198.51.100.1",
            "198.51.100.2",
            "203.0.113.9, 198.51.100.1",
            "198.51.100.3, 198.51.100.4",
            "2001:db8:1:2::1",
            "2001:db8:1:2:ffff::9",
            "2001:db8:1:3::1",
        )
    ]
    assert statuses == [401, 401, 429, 401, 401, 429, 401]
