"""POST /api/users answers 201 when the user was made."""

from uuid import UUID

import pytest

from tests.support.service import PASSWORD, Service


async def test_the_answer_is_the_user(service: Service) -> None:
    """The user's id, name in its one spelling and time of making; no password, no token."""
    answer = await service.client.post("/api/users", json={"username": "Ada", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/me"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"id", "username", "createdAt"}
    assert body["username"] == "ada"
    assert UUID(body["id"]).version == 7
    person = await service.sign_in("ada")
    assert (await person.get("/api/me")).json() == body


async def test_the_password_is_kept_as_a_hash(service: Service) -> None:
    """What is stored is scrypt in PHC form, with a salt of its own for each user."""
    for username in ("ada", "bob"):
        await service.client.post("/api/users", json={"username": username, "password": PASSWORD})
    hashes = [row[0] for row in await service.sql("SELECT password_hash FROM users")]
    assert all(stored.startswith("$scrypt$ln=14,r=8,p=5$") for stored in hashes)
    assert len(set(hashes)) == 2
    assert PASSWORD not in "".join(hashes)


@pytest.mark.parametrize(
    "password",
    ["eight ch", "x" * 100 + "y" * 28, "пароль 🐎🔋📎  "],
)
async def test_long_passwords_of_any_script_are_taken(service: Service, password: str) -> None:
    """8 to 128 characters of any kind, all of which count."""
    person = await service.sign_up("ada", password)
    assert person.token
    answer = await service.client.post("/api/auth", json={"username": "ada", "password": password[:-1]})
    assert answer.status_code == 401


async def test_a_password_has_many_spellings(service: Service) -> None:
    """What another keyboard writes as another sequence of code points is the same password."""
    await service.client.post("/api/users", json={"username": "ada", "password": "caf\u00e9 noir et fort"})
    await service.sign_in("ada", "cafe\u0301 noir et fort")
