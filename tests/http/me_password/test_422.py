"""POST /api/me/password answers 422 to a new password that may not be chosen."""

import pytest

from tests.support.service import PASSWORD, Service, assert_field, assert_problem


@pytest.mark.parametrize("new", ["short", "x" * 129, "password123", "grace.hopper"])
async def test_weak_passwords_are_refused(service: Service, new: str) -> None:
    """The rules are those of signing up; the problem names the field, and the old password stays."""
    person = await service.enrol("grace.hopper")
    answer = await person.post("/api/me/password", {"currentPassword": PASSWORD, "newPassword": new})
    assert_field(assert_problem(answer, 422, "validation_error"), "/newPassword", "weak_password")
    assert (await person.get("/api/me")).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"newPassword": "a long walk"}, "/currentPassword"),
        ({"currentPassword": PASSWORD}, "/newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": "a long walk", "all": True}, "/all"),
    ],
)
async def test_each_field_is_named(service: Service, body: object, pointer: str) -> None:
    """Missing and unknown fields are refused by name."""
    person = await service.enrol()
    assert_field(
        assert_problem(await person.post("/api/me/password", body), 422, "validation_error"), pointer
    )
