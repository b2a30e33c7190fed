"""POST /api/auth/refresh answers 401 to a token that is not, or no longer, good."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from tests.support.service import Person, Service, assert_problem, count_by_status


async def refresh(service: Service, token: str) -> httpx.Response:
    return await service.client.post("/api/auth/refresh", json={"refreshToken": token})


async def test_a_token_presented_twice_ends_its_session(person: Person) -> None:
    """One of the two senders is not its owner: both lose the session, access tokens included, and only it."""
    elsewhere = await person.service.sign_in(person.username)
    renewed = (await refresh(person.service, person.refresh_token)).json()
    assert (await person.get("/api/me")).status_code == 200
    assert_problem(await refresh(person.service, person.refresh_token), 401, "invalid_refresh_token")
    assert_problem(await refresh(person.service, renewed["refreshToken"]), 401, "invalid_refresh_token")
    for token in (person.token, renewed["token"]):
        answer = await person.get("/api/me", headers={"Authorization": f"Bearer {token}"})
        assert_problem(answer, 401, "session_ended")
    assert (await elsewhere.get("/api/me")).status_code == 200
    assert (await refresh(person.service, elsewhere.refresh_token)).status_code == 200


async def test_of_concurrent_refreshes_one_at_most_passes(person: Person) -> None:
    """One token sent six times at once is exchanged once, and the session has ended."""
    answers = await asyncio.gather(*(refresh(person.service, person.refresh_token) for _ in range(6)))
    assert count_by_status(answers) == {200: 1, 401: 5}
    assert_problem(await person.get("/api/me"), 401, "session_ended")


ALTERED: dict[str, Callable[[str], str]] = {
    "cut": lambda token: token[:-1],
    "longer": lambda token: token + "A",
    "another prefix": lambda token: token.replace("shr_", "shx_"),
    "another case": str.swapcase,
    "no prefix": lambda token: token[4:],
    "nonsense": lambda token: "x",
    "one character": lambda token: token[:50] + ("A" if token[50] != "A" else "B") + token[51:],
}


@pytest.mark.parametrize("edit", ALTERED.values(), ids=ALTERED)
async def test_an_altered_token_is_refused(person: Person, edit: Callable[[str], str]) -> None:
    """What is not the token is nothing, and does not harm the session."""
    assert_problem(await refresh(person.service, edit(person.refresh_token)), 401, "invalid_refresh_token")
    assert (await refresh(person.service, person.refresh_token)).status_code == 200


async def test_a_token_does_not_outlive_its_session(person: Person) -> None:
    """After the session's end, by time, by signing out, or with its user disabled, nothing is renewed."""
    service = person.service
    for end in (
        "UPDATE sessions SET expires_at = now()",
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE users SET status = 'disabled'",
        "UPDATE users SET epoch = epoch + 1",
    ):
        other = await service.enrol()
        await service.sql(end)
        assert_problem(await refresh(service, other.refresh_token), 401, "invalid_refresh_token")


async def test_access_and_refresh_tokens_are_not_interchangeable(person: Person) -> None:
    """Neither does the other's work."""
    assert_problem(await refresh(person.service, person.token), 401, "invalid_refresh_token")
    answer = await person.get("/api/me", headers={"Authorization": f"Bearer {person.refresh_token}"})
    assert_problem(answer, 401, "invalid_token")
