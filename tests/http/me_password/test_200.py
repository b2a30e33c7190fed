"""POST /api/me/password answers 200 with the tokens of a new session."""

from tests.support.service import PASSWORD, Person, assert_problem

NEW = "a long walk on a cold day"


async def test_the_new_password_signs_in_and_the_old_does_not(person: Person) -> None:
    """Every session from before ends at once, also its refresh token; the answer's own session is good."""
    service = person.service
    elsewhere = await service.sign_in(person.username)
    answer = await person.post("/api/me/password", {"currentPassword": PASSWORD, "newPassword": NEW})
    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "expiresIn", "refreshToken"}
    assert answer.headers["cache-control"] == "no-store"
    for before in (person, elsewhere):
        assert_problem(await before.get("/api/me"), 401, "session_ended")
        refreshed = await service.client.post(
            "/api/auth/refresh", json={"refreshToken": before.refresh_token}
        )
        assert_problem(refreshed, 401, "invalid_refresh_token")
    after = Person(service, person.username, NEW, answer.json()["token"], answer.json()["refreshToken"])
    assert (await after.get("/api/me")).status_code == 200
    refreshed = await service.client.post("/api/auth/refresh", json={"refreshToken": after.refresh_token})
    assert refreshed.status_code == 200
    old = await service.client.post("/api/auth", json={"username": person.username, "password": PASSWORD})
    assert_problem(old, 401, "invalid_credentials")
    await service.sign_in(person.username, NEW)
