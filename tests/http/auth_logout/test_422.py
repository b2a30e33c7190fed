"""POST /api/auth/logout answers 422 to a body it does not take, and ends nothing."""

import pytest

from tests.support.service import Person, assert_field, assert_problem


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"all": "yes"}, "/all"), ({"all": 1}, "/all"), ({"everywhere": True}, "/everywhere")],
)
async def test_a_misspelt_wish_is_not_half_granted(person: Person, body: object, pointer: str) -> None:
    """Whoever meant to end every session is told that it was not done."""
    assert_field(
        assert_problem(await person.post("/api/auth/logout", body), 422, "validation_error"), pointer
    )
    assert (await person.get("/api/me")).status_code == 200
