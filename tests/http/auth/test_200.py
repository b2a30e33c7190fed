"""POST /api/auth answers 200 with the tokens of a new session."""

import base64
import json

from tests.support.service import PASSWORD, Service


async def test_the_answer_has_a_token(service: Service) -> None:
    """`token` is a JWT signed with HS256, beside its life and the token that gets the next one."""
    person = await service.enrol("testuser")
    answer = await service.client.post("/api/auth", json={"username": "testuser", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert answer.text.startswith('{"token":"')
    assert set(body) == {"token", "expiresIn", "refreshToken"}
    assert body["expiresIn"] == 900
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in body["token"].split("."))
    assert json.loads(base64.urlsafe_b64decode(header))["alg"] == "HS256"
    claims = json.loads(base64.urlsafe_b64decode(payload))
    assert set(claims) == {"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "epoch"}
    assert claims["exp"] - claims["iat"] == 900
    assert body["refreshToken"] != person.refresh_token


async def test_the_token_opens_what_needs_one(service: Service) -> None:
    """A user who signed up through the API signs in and is known by the token."""
    person = await service.sign_up("ada")
    assert (await person.get("/api/me")).json()["username"] == "ada"
    assert (await person.list_stakes())["items"] == []


async def test_a_username_has_many_spellings(service: Service) -> None:
    """Case and width do not matter: every spelling of a name signs the same user in."""
    await service.enrol("ada.lovelace")
    for spelling in ("Ada.Lovelace", "ADA.LOVELACE", "ａｄａ．ｌｏｖｅｌａｃｅ"):
        person = await service.sign_in(spelling)
        assert (await person.get("/api/me")).json()["username"] == "ada.lovelace"


async def test_tokens_are_never_alike(service: Service) -> None:
    """Two sign-ins are two sessions: neither token is the other's."""
    await service.enrol("ada")
    first, second = await service.sign_in("ada"), await service.sign_in("ada")
    assert first.token != second.token
    assert first.refresh_token != second.refresh_token


async def test_a_token_sent_along_is_ignored(service: Service) -> None:
    """Signing in works whatever stands in Authorization: a client with a stale token is not locked out."""
    await service.enrol("ada")
    answer = await service.client.post(
        "/api/auth", json={"username": "ada", "password": PASSWORD}, headers={"Authorization": "Bearer stale"}
    )
    assert answer.status_code == 200
