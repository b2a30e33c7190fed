"""GET /api/rewards answers 422 to a range or a cursor that is none."""

import pytest

from tests.support.service import Person


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("from=2026-11-31", "?from", "invalid"),
        ("from=0000-01-01", "?from", "invalid"),
        ("to=2026-11-30T00:00:00Z", "?to", "invalid"),
        ("to=yesterday", "?to", "invalid"),
        ("from=", "?from", "invalid"),
        ("from=2026-11-02&to=2026-11-01", "?to", "before_from"),
        ("limit=101", "?limit", "invalid"),
        ("limit=1e1", "?limit", "invalid"),
        ("cursor=AAAA", "?cursor", "invalid_cursor"),
        ("from_=2026-11-01", "?from_", "unknown_field"),
    ],
)
async def test_the_parameter_is_named(person: Person, query: str, pointer: str, code: str) -> None:
    """With what is wrong with it."""
    answer = await person.get(f"/api/rewards?{query}")
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_an_empty_range_is_one(person: Person) -> None:
    """Nothing happens on no day."""
    assert (await person.get("/api/rewards?from=2026-11-01&to=2026-11-01")).status_code == 200
