"""POST /api/stake answers 401 to whoever is not signed in."""

from tests.support.forged_tokens import FORGED_TOKENS
from tests.support.service import Person, assert_problem
from tests.support.strangers import assert_refuses_strangers

STAKE = {"amount": 1000, "period": 12}


async def test_strangers_are_refused(person: Person) -> None:
    """No token, another scheme, nonsense or a session nobody has: 401, and nothing is stored."""
    await assert_refuses_strangers(person.service, "POST", "/api/stake", STAKE)
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(0,)]


async def test_every_forged_token_is_refused(person: Person) -> None:
    """However a token is forged it is 401 with a challenge, and nothing is stored for it."""
    assert len(FORGED_TOKENS) >= 24
    secret = person.service.settings["JWT_SECRET"]
    for name, forge in FORGED_TOKENS:
        authorization = b"Bearer " + forge(person.token, secret).encode()
        answer = await person.service.client.post(
            "/api/stake", json=STAKE, headers={b"Authorization": authorization}
        )
        assert answer.status_code == 401, (name, answer.text)
        assert_problem(answer, 401, "token_expired" if name == "expired" else "invalid_token")
        assert answer.headers["www-authenticate"] == 'Bearer realm="stakehold", error="invalid_token"', name
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(0,)]


async def test_a_second_authorization_field_spoils_the_first(person: Person) -> None:
    """Two Authorization fields are no way to show one token to a proxy and another to us."""
    headers = [("Authorization", f"Bearer {person.token}"), ("Authorization", "Bearer nonsense")]
    answer = await person.service.client.post("/api/stake", json=STAKE, headers=headers)
    assert_problem(answer, 401, "invalid_token")


async def test_the_token_is_taken_from_the_header_alone(person: Person) -> None:
    """A token in the query or in a cookie signs nobody in."""
    answer = await person.service.client.post(
        f"/api/stake?access_token={person.token}", json=STAKE, headers={"Cookie": f"token={person.token}"}
    )
    assert_problem(answer, 401, "missing_token")


async def test_an_unauthenticated_body_is_not_looked_at(person: Person) -> None:
    """Whoever is not signed in learns nothing about bodies: 401 comes before 400, 413 and 422."""
    for body in (b"{", b'{"amount":-1}', b"x" * 20_000):
        answer = await person.service.client.post(
            "/api/stake", content=body, headers={"Content-Type": "application/json"}
        )
        assert_problem(answer, 401, "missing_token")
