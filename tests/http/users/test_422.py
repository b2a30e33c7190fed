"""POST /api/users answers 422 to a name or password that may not be chosen."""

import pytest

from tests.support.service import PASSWORD, Service, assert_field, assert_problem

BAD_USERNAMES = [
    "ab",
    "a" * 65,
    "a b",
    "-ada",
    ".ada",
    "ada\u0000",
    "a\u200bda",
    "ada\u202e",
    "ada\n",
    "ada/",
    "<ada>",
    "   ",
    "ﷺ" * 10,
]


async def test_names_that_confuse_are_refused(roomy_service: Service) -> None:
    """Too short, too long, white space, control and invisible characters, markup: no user is made."""
    for username in BAD_USERNAMES:
        answer = await roomy_service.client.post(
            "/api/users", json={"username": username, "password": PASSWORD}
        )
        assert answer.status_code == 422, (username, answer.text)
        assert_field(assert_problem(answer, 422, "validation_error"), "/username")
    assert await roomy_service.sql("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    "password",
    ["short", "seven!!", "x" * 129, "password123", "PassWord123", "ada@example.org", "ＡＤＡ@example.org"],
)
async def test_weak_passwords_are_refused(service: Service, password: str) -> None:
    """Too short, too long, among the commonest, or the name itself: refused, and not repeated."""
    answer = await service.client.post(
        "/api/users", json={"username": "ada@example.org", "password": password}
    )
    assert_field(assert_problem(answer, 422, "validation_error"), "/password")
    assert password not in answer.text
    assert await service.sql("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"username": "ada"}, "/password"),
        ({"password": PASSWORD}, "/username"),
        ({"username": "ada", "password": PASSWORD, "status": "active"}, "/status"),
        ({"username": "ada", "password": PASSWORD, "admin": True}, "/admin"),
        ({"username": ["ada"], "password": PASSWORD}, "/username"),
        ({"username": "ada", "password": 12345678}, "/password"),
    ],
)
async def test_each_field_is_named(service: Service, body: object, pointer: str) -> None:
    """Missing, unknown and mistyped fields are refused by name: nobody makes themselves an admin."""
    assert_field(
        assert_problem(await service.client.post("/api/users", json=body), 422, "validation_error"), pointer
    )
