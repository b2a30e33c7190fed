"""POST /api/me/password answers 403 when the current password is not right."""

from tests.http.conftest import StartService
from tests.support.service import PASSWORD, Person, assert_problem

NEW = "a long walk on a cold day"


async def test_a_wrong_password_changes_nothing(person: Person) -> None:
    """The session goes on, and the old password still signs in."""
    answer = await person.post("/api/me/password", {"currentPassword": "a wrong guess", "newPassword": NEW})
    assert_problem(answer, 403, "wrong_password")
    assert (await person.get("/api/me")).status_code == 200
    await person.service.sign_in(person.username)


async def test_guesses_count_as_at_sign_in(start_service: StartService) -> None:
    """A stolen token is no way round the limit on wrong passwords."""
    service = await start_service(STAKEHOLD_LIMITS="auth-failure=2/900")
    person = await service.enrol()
    for _ in range(2):
        answer = await person.post(
            "/api/me/password", {"currentPassword": "a wrong guess", "newPassword": NEW}
        )
        assert_problem(answer, 403, "wrong_password")
    answer = await person.post("/api/me/password", {"currentPassword": PASSWORD, "newPassword": NEW})
    assert assert_problem(answer, 429, "rate_limited")["violated-policies"] == ["auth-failure"]
    answer = await service.client.post("/api/auth", json={"username": person.username, "password": PASSWORD})
    assert_problem(answer, 429, "rate_limited")
