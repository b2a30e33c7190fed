"""GET /api/me answers 200 with the user who is signed in."""

from tests.support.service import Person


async def test_the_user_is_shown_to_themselves(person: Person) -> None:
    """Id, name and time of making; nothing is kept by anyone on the way."""
    answer = await person.get("/api/me")
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "username", "createdAt"}
    assert answer.json()["username"] == person.username
    assert answer.headers["cache-control"] == "no-store"
