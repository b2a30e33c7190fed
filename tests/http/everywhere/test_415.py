"""A body is application/json in UTF-8, and says so."""

import json

import pytest

from tests.support.service import Person, assert_problem

BODY = json.dumps({"amount": 1, "period": 12}).encode()


REFUSED: list[str | None] = [
    None,
    "",
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    "application/json, text/plain",
    "application/jsonp",
    "application/merge-patch+json",
    "*/*",
    "json",
]


async def test_another_media_type_is_refused(person: Person, subtests: pytest.Subtests) -> None:
    """No form of another site and no guess at an encoding makes a stake."""
    for media_type in REFUSED:
        with subtests.test(media_type=media_type):
            headers = {} if media_type is None else {"Content-Type": media_type}
            answer = await person.post("/api/stake", content=BODY, headers=headers)
            assert_problem(answer, 415, "unsupported_media_type")
    assert (await person.list_stakes())["items"] == []


async def test_an_encoded_body_is_refused(person: Person, subtests: pytest.Subtests) -> None:
    """What a proxy in front would decode and we would not, or the other way about, makes no stake."""
    for coding in ("gzip", "br", "deflate", "identity, gzip", "x"):
        with subtests.test(coding=coding):
            headers = {"Content-Type": "application/json", "Content-Encoding": coding}
            answer = await person.post("/api/stake", content=BODY, headers=headers)
            assert_problem(answer, 415, "unsupported_media_type")
    assert (await person.list_stakes())["items"] == []


async def test_on_every_route_with_a_body(person: Person, subtests: pytest.Subtests) -> None:
    """The rule is one for all routes."""
    for path in ("/api/auth", "/api/users", "/api/auth/refresh", "/api/auth/logout", "/api/me/password"):
        with subtests.test(path=path):
            answer = await person.post(path, content=b"{}", headers={"Content-Type": "text/plain"})
            assert_problem(answer, 415, "unsupported_media_type")
