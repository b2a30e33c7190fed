"""Cancelling a stake and quoting its exit have no fields: who sends any is answered 422."""

import pytest

from tests.support.service import Person, assert_problem

ACTIONS = ["unstake/quote", "cancel"]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_body_says_nothing(person: Person, action: str, subtests: pytest.Subtests) -> None:
    """A field that somebody thought would matter is named, as everywhere; and nothing happens."""
    stake_id = await person.stake()
    path = f"/api/stake/{stake_id}/{action}"
    for content, pointer in ((b'{"amount": 5}', "/amount"), (b"[]", ""), (b"null", "")):
        with subtests.test(content=content):
            problem = assert_problem(
                await person.post(path, content=content, headers=JSON), 422, "validation_error"
            )
            assert [error.get("pointer", "") for error in problem["errors"]] == [pointer]
    for content, headers, status, code in (
        (b"{", JSON, 400, "malformed_request"),
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"all=yes", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        (b" " * 16_385, JSON, 413, "content_too_large"),
    ):
        with subtests.test(content=content[:8]):
            assert_problem(await person.post(path, content=content, headers=headers), status, code)
    assert (await person.get(f"/api/stake/{stake_id}")).json()["status"] == "active"


@pytest.mark.parametrize("action", ACTIONS)
async def test_nothing_is_nothing_or_an_empty_object(person: Person, action: str) -> None:
    """Whatever an empty body is said to be."""
    for content, headers in ((b"", {}), (b"", JSON), (b"", {"Content-Type": "text/plain"}), (b"{}", JSON)):
        stake_id = await person.stake()
        answer = await person.post(f"/api/stake/{stake_id}/{action}", content=content, headers=headers)
        assert answer.status_code == 200, (content, headers, answer.text)
