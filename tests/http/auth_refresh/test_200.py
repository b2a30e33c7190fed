"""POST /api/auth/refresh answers 200 with the next tokens of a session."""

from tests.support.service import Person


async def test_each_token_gives_the_next(person: Person) -> None:
    """The answer has the members of signing in; the chain goes on, and earlier access tokens stay good."""
    client, token = person.service.client, person.refresh_token
    for _ in range(4):
        answer = await client.post("/api/auth/refresh", json={"refreshToken": token})
        assert answer.status_code == 200
        assert set(answer.json()) == {"token", "expiresIn", "refreshToken"}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["refreshToken"] != token
        token = answer.json()["refreshToken"]
        refreshed = Person(person.service, person.username, person.password, answer.json()["token"], token)
        assert (await refreshed.get("/api/me")).json()["username"] == person.username
    assert (await person.get("/api/me")).status_code == 200


async def test_no_refresh_token_is_stored(person: Person) -> None:
    """The database holds hashes: whoever reads it signs in as nobody."""
    await person.service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
    kept = await person.service.sql(
        "SELECT refresh_hash FROM sessions UNION SELECT token_hash FROM spent_refresh_tokens"
    )
    assert {len(row[0]) for row in kept} == {32}
