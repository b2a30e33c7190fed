"""GET /api/stake answers 422 to a query that it does not take."""

import pytest

from tests.support.limits import read_limits
from tests.support.service import Person, assert_field, assert_problem

REFUSED = [
    ("page=0", "?page"),
    ("page=-1", "?page"),
    ("page=1.5", "?page"),
    ("page=one", "?page"),
    ("page=", "?page"),
    ("page=100001", "?page"),
    ("page=99999999999999999999999", "?page"),
    ("page=%D9%A3", "?page"),
    ("page=+1", "?page"),
    ("page=1_0", "?page"),
    ("page=1e2", "?page"),
    ("limit=1.0", "?limit"),
    ("page=true", "?page"),
    ("page=null", "?page"),
    ("limit=0", "?limit"),
    ("limit=101", "?limit"),
    ("limit=-5", "?limit"),
    ("limit=ten", "?limit"),
    ("cursor=", "?cursor"),
    ("cursor=nonsense", "?cursor"),
    ("cursor=" + "A" * 65, "?cursor"),
    ("cursor=AZqcQBHyfQuKVcD_7l7tAQ==", "?cursor"),
    ("cursor=AZqcQBHyfQuKVcD_7l7tAR", "?cursor"),
    ("cursor=019a9c40-11f2-7d0b-8a55-c0ffee5eed01", "?cursor"),
    ("page=2&cursor=AZqcQBHyfQuKVcD_7l7tAQ", "?cursor"),
    ("page=1&page=2", "?page"),
    ("limit=5&offset=10", "?offset"),
    ("Limit=5", "?Limit"),
]
UNREADABLE = ["&".join(f"a{n}=1" for n in range(50)), "page", "page=%ff", "%", "a=1;b=2"]


async def test_a_query_that_is_not_taken_names_its_parameter(
    limited_person: Person, subtests: pytest.Subtests
) -> None:
    """Out of range, of another type, unknown or given twice: refused, never guessed at, and counted."""
    for count, (query, field) in enumerate(REFUSED, start=1):
        with subtests.test(query=query):
            answer = await limited_person.get(f"/api/stake?{query}")
            assert_field(assert_problem(answer, 422, "validation_error"), field)
            assert read_limits(answer)["stake-read"].remaining == 60 - count


async def test_a_query_that_cannot_be_read_is_refused(person: Person, subtests: pytest.Subtests) -> None:
    """Broken escapes and floods of parameters are 422 too."""
    for query in UNREADABLE:
        with subtests.test(query=query):
            assert_problem(await person.get(f"/api/stake?{query}"), 422, "validation_error")


async def test_the_bounds_themselves_are_taken(person: Person) -> None:
    """The first and last page and limit are valid."""
    for query in ({"page": 1, "limit": 1}, {"page": 100_000, "limit": 100}):
        assert (await person.list_stakes(**query))["items"] == []
