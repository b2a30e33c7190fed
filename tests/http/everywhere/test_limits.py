"""Every answer to a limited request says what is left (draft-ietf-httpapi-ratelimit-headers-11)."""

import pytest

from tests.http.conftest import StartService
from tests.support.limits import read_limits
from tests.support.service import Person, Service, assert_problem


@pytest.mark.parametrize(
    ("method", "path", "policy"),
    [
        ("POST", "/api/users", "sign-up"),
        ("POST", "/api/auth", "auth"),
        ("POST", "/api/auth/refresh", "refresh"),
        ("POST", "/api/auth/logout", "account"),
        ("GET", "/api/me", "account"),
        ("POST", "/api/me/password", "account"),
        ("POST", "/api/stake", "stake-create"),
        ("GET", "/api/stake", "stake-read"),
        ("GET", "/api/stake/nothing", "stake-read"),
        ("POST", "/api/stake/quote", "quote"),
        ("PATCH", "/api/stake/nothing", "stake-change"),
        ("POST", "/api/stake/nothing/unstake/quote", "quote"),
        ("POST", "/api/stake/nothing/unstake", "stake-change"),
        ("POST", "/api/stake/nothing/cancel", "stake-change"),
        ("GET", "/api/rewards", "ledger-read"),
        ("GET", "/api/plans", "plan-read"),
    ],
)
async def test_each_operation_names_its_policy(
    limited_person: Person, method: str, path: str, policy: str
) -> None:
    """Success or refusal, the operation's own limit stands before `global`."""
    answer = await limited_person.request(method, path)
    limits = read_limits(answer)
    assert list(limits) == [policy, "global"]
    assert limits[policy].remaining == limits[policy].quota - 1
    assert (limits["global"].quota, limits["global"].remaining) == (100, 99)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs.css", "/docs.js"])
async def test_what_is_not_limited_says_nothing(service: Service, path: str) -> None:
    """No limit, no header; such calls cost nothing of any limit."""
    answer = await service.client.get(path)
    assert "ratelimit" not in answer.headers
    assert "ratelimit-policy" not in answer.headers
    assert read_limits(await service.client.get("/api/plans"))["global"].remaining == 99


async def test_strangers_are_charged_by_address(start_service: StartService) -> None:
    """Calls without a good token draw on what their address has for everything; then they are 429."""
    service = await start_service(STAKEHOLD_LIMITS="global=3")
    person = await service.enrol()
    for left in (2, 1, 0):
        answer = await service.client.get("/api/stake", headers={"Authorization": "Bearer nonsense"})
        assert_problem(answer, 401, "invalid_token")
        assert read_limits(answer)["global"].remaining == left
    answer = await service.client.get("/api/me")
    assert assert_problem(answer, 429, "rate_limited")["violated-policies"] == ["global"]
    assert (await person.get("/api/me")).status_code == 200


async def test_an_ended_session_is_charged_by_address(roomy_service: Service) -> None:
    """Whoever keeps sending an ended session's token cannot use up the limits of the user."""
    person = await roomy_service.enrol()
    await person.post("/api/auth/logout", {})
    again = await roomy_service.sign_in(person.username)
    before = read_limits(await again.get("/api/me"))["account"].remaining
    for _ in range(5):
        assert_problem(await person.get("/api/me"), 401, "session_ended")
    assert before - read_limits(await again.get("/api/me"))["account"].remaining <= 2


async def test_wiping_redis_frees_nobody_for_long(start_service: StartService) -> None:
    """After FLUSHALL a process still holds to what it admitted itself: no more than the quota passes."""
    service = await start_service(STAKEHOLD_LIMITS="stake-create=6")
    person = await service.enrol()
    for _ in range(4):
        await person.stake()
    await service.redis("FLUSHALL")
    statuses = [(await person.post("/api/stake", {"amount": 1, "period": 12})).status_code for _ in range(6)]
    assert statuses == [201, 201, 429, 429, 429, 429]
