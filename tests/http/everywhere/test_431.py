"""The header of a request may have 16 KiB in all."""

import pytest

from tests.support.service import Person, assert_problem


@pytest.mark.parametrize(
    "headers",
    [{"X-Padding": "x" * 17_000}, {f"X-{number}": "x" * 100 for number in range(200)}],
    ids=["one field", "many fields"],
)
async def test_a_large_header_is_refused(person: Person, headers: dict[str, str]) -> None:
    """One long field or many short ones, on any route, signed in or not."""
    for path in ("/api/stake", "/api/plans", "/healthz"):
        assert_problem(await person.get(path, headers=headers), 431, "header_fields_too_large")


async def test_what_fits_is_taken(person: Person) -> None:
    """15 KiB beside the token are served."""
    assert (await person.get("/api/stake", headers={"X-Padding": "x" * 15_000})).status_code == 200


async def test_a_large_token_is_no_token(person: Person) -> None:
    """A token larger than any of ours is refused as one, not for its size."""
    answer = await person.get("/api/me", headers={"Authorization": "Bearer " + "a" * 8000})
    assert_problem(answer, 401, "invalid_token")
