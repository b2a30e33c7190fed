"""POST /api/auth answers 401 when username and password do not go together."""

import time

from tests.http.conftest import StartService
from tests.support.service import PASSWORD, Service, assert_problem


async def test_who_is_refused_is_not_told_why(service: Service) -> None:
    """A wrong password, an unknown user, a disabled one and no name at all get the same answer."""
    await service.enrol("ada")
    await service.enrol("eve")
    await service.sql("UPDATE users SET status = 'disabled' WHERE username = 'eve'")
    problems = []
    for username, password in (
        ("ada", "wrong password"),
        ("ada", PASSWORD.upper()),
        ("ada", PASSWORD + " "),
        ("ada", "x"),
        ("nobody", PASSWORD),
        ("eve", PASSWORD),
        ("!", PASSWORD),
        ("a\u0000da", PASSWORD),
    ):
        answer = await service.client.post("/api/auth", json={"username": username, "password": password})
        problem = assert_problem(answer, 401, "invalid_credentials")
        assert answer.headers["www-authenticate"] == 'Bearer realm="stakehold"'
        problems.append({name: problem[name] for name in ("type", "title", "detail")})
    assert problems == problems[:1] * len(problems)


async def test_wrong_passwords_are_limited_by_username(start_service: StartService) -> None:
    """So many wrong guesses at one name, then even the right password has to wait; other names go on."""
    service = await start_service(STAKEHOLD_LIMITS="auth=1000,global=1000,auth-failure=3/900")
    await service.enrol("ada")
    await service.enrol("bob")
    for _ in range(4):
        await service.sign_in("ada")
    for _ in range(3):
        answer = await service.client.post("/api/auth", json={"username": "Ada", "password": "a wrong guess"})
        assert_problem(answer, 401, "invalid_credentials")
    answer = await service.client.post("/api/auth", json={"username": "ada", "password": PASSWORD})
    problem = assert_problem(answer, 429, "rate_limited")
    assert problem["violated-policies"] == ["auth-failure"]
    assert 800 <= int(answer.headers["retry-after"]) <= 900
    await service.sign_in("bob")


async def test_an_unknown_name_takes_as_long_as_a_known_one(roomy_service: Service) -> None:
    """The time of a refusal does not tell who is a user: an unknown and a disabled one cost the same work."""
    await roomy_service.enrol("ada")
    await roomy_service.enrol("eve")
    await roomy_service.sql("UPDATE users SET status = 'disabled' WHERE username = 'eve'")
    fastest_s = {}
    for username in ("ada", "eve", "nobody", "!"):
        times_s = []
        for _ in range(3):
            started_s = time.perf_counter()
            answer = await roomy_service.client.post(
                "/api/auth", json={"username": username, "password": "a guess"}
            )
            times_s.append(time.perf_counter() - started_s)
            assert answer.status_code == 401
        fastest_s[username] = min(times_s)
    assert max(fastest_s.values()) < 3 * min(fastest_s.values()), fastest_s
