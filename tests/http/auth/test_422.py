"""POST /api/auth answers 422 to a body that holds no credentials."""

from tests.support.service import Service, assert_field, assert_problem

REFUSED: list[tuple[object, str]] = [
    ({}, "/username"),
    ({"username": "ada"}, "/password"),
    ({"password": "x"}, "/username"),
    ({"username": "", "password": "x"}, "/username"),
    ({"username": "ada", "password": ""}, "/password"),
    ({"username": "a" * 257, "password": "x"}, "/username"),
    ({"username": "ada", "password": "x" * 1025}, "/password"),
    ({"username": 1, "password": "x"}, "/username"),
    ({"username": None, "password": "x"}, "/username"),
    ({"username": "ada", "password": ["x"]}, "/password"),
    ({"username": {"$ne": ""}, "password": "x"}, "/username"),
    ({"username": "ada", "password": "x", "remember": True}, "/remember"),
]


async def test_each_field_is_named(roomy_service: Service) -> None:
    """Missing, empty, too long, of another type, unknown: the problem says which field, never its value."""
    for body, pointer in REFUSED:
        answer = await roomy_service.client.post("/api/auth", json=body)
        assert_field(assert_problem(answer, 422, "validation_error"), pointer)
        assert "x" * 20 not in answer.text
        assert "a" * 20 not in answer.text


async def test_no_password_is_too_weak_to_sign_in(service: Service) -> None:
    """The rules for new passwords are not applied here: a short one is wrong, not invalid."""
    answer = await service.client.post("/api/auth", json={"username": "ada", "password": "x"})
    assert_problem(answer, 401, "invalid_credentials")


async def test_half_a_character_is_refused(service: Service) -> None:
    """A lone surrogate, which JSON can write and UTF-8 cannot, is no character."""
    answer = await service.client.post(
        "/api/auth",
        content=b'{"username":"ada","password":"\\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert_problem(answer, 400, "malformed_request")
