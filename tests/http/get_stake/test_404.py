"""GET /api/stake/{stakeId} answers 404 when the caller has no such stake."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.service import Person, assert_problem


async def test_another_users_stake_is_not_found(person: Person) -> None:
    """It is told apart in nothing from a stake that does not exist, also once its owner has it cached."""
    other = await person.service.enrol()
    theirs = f"/api/stake/{await other.stake()}"
    nobodys = f"/api/stake/{uuid4()}"
    for _ in range(2):
        await other.get(theirs)
        problems = [assert_problem(await person.get(path), 404, "not_found") for path in (theirs, nobodys)]
        for problem in problems:
            del problem["instance"], problem["request_id"]
        assert problems[0] == problems[1]


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda i: i.replace("-", ""),
        lambda i: f"{{{i}}}",
        lambda i: f"urn:uuid:{i}",
        lambda i: i[:-1],
    ],
    ids=["upper case", "no hyphens", "in braces", "a URN", "cut short"],
)
async def test_an_id_has_one_spelling(person: Person, spell: Callable[[str], str]) -> None:
    """Another spelling of the id names nothing, so that nothing is cached under two names."""
    stake_id = await person.stake()
    assert spell(stake_id) != stake_id
    assert_problem(await person.get(f"/api/stake/{spell(stake_id)}"), 404, "not_found")


@pytest.mark.parametrize("text", ["1234567890", "nonsense", "%00", "%FF", "..%2f..", "'", "page:1:10", "💰"])
async def test_what_is_no_id_is_not_found(person: Person, text: str) -> None:
    """It is 404 and counted as a read; nothing of it reaches a store."""
    answer = await person.get(f"/api/stake/{text}")
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/api/stake/{stakeId}", "/api/stake/%7BstakeId%7D"])
async def test_the_pattern_of_the_path_is_no_path(person: Person, path: str) -> None:
    """What the documentation writes for an id is not one, and is counted like any other."""
    answer = await person.get(path)
    assert_problem(answer, 404, "not_found")
    assert "RateLimit" in answer.headers
