"""Accounts beyond signing in: what operators do, and what a refresh token presented twice does."""

import asyncio
from uuid import UUID

import pytest

from stakehold.domain.errors import AuthenticationError, ConflictError, NotFoundError, ValidationError
from stakehold.gate import Caller
from stakehold.services import accounts
from tests.unit.services.conftest import PASSWORD, Desk


async def test_nobody_of_that_name(desk: Desk) -> None:
    """Disabling somebody who does not exist is an error, not a success."""
    with pytest.raises(NotFoundError):
        await accounts.set_user_status(desk.services, "nobody", "disabled", desk.deadline)


async def test_an_operator_may_write_a_name_as_they_like(desk: Desk) -> None:
    """A user is found by every spelling of the name."""
    await desk.add_user()
    await accounts.set_user_status(desk.services, "MARIA", "disabled", desk.deadline)
    assert await desk.sql("SELECT status FROM users") == [("disabled",)]


async def test_every_token_of_an_operator_says_so(desk: Desk) -> None:
    """From signing in, refreshing or a new password alike; after the scope was taken, none does."""
    await desk.add_user()
    services = desk.services

    def scope(tokens: accounts.Tokens) -> str:
        return services.tokens.verify(tokens.access).scope

    before = await desk.sign_in(PASSWORD)
    assert scope(before) == ""
    await accounts.set_user_scope(services, "MARIA", "admin", desk.deadline)
    with pytest.raises(AuthenticationError):
        await accounts.refresh(services, before.refresh, desk.deadline)
    tokens = await desk.sign_in(PASSWORD)
    refreshed = await accounts.refresh(services, tokens.refresh, desk.deadline)
    claims = services.tokens.verify(refreshed.access)
    caller = Caller(claims.user_id, claims.session_id, claims.epoch, claims.scope)
    new_password = "a long walk on a cold day"
    changed = await accounts.change_password(
        services, caller, PASSWORD, new_password, "request", desk.deadline
    )
    assert [scope(each) for each in (tokens, refreshed, changed)] == ["admin"] * 3
    await accounts.set_user_scope(services, "maria", "", desk.deadline)
    assert scope(await desk.sign_in(new_password)) == ""


async def test_a_scope_is_granted_to_somebody(desk: Desk) -> None:
    """Not to a name that nobody has."""
    with pytest.raises(NotFoundError):
        await accounts.set_user_scope(desk.services, "nobody", "admin", desk.deadline)


async def test_racers_for_a_name_make_one_user(desk: Desk) -> None:
    """Ten who take one name at once: one has it, nine are told so."""
    made = await asyncio.gather(
        *(accounts.add_user(desk.services, "maria", PASSWORD, desk.deadline) for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, ConflictError) for each in made) == 9
    assert await desk.sql("SELECT count(*) FROM users") == [(1,)]


async def test_the_password_of_an_operators_new_user_is_checked_against_its_name(desk: Desk) -> None:
    """The name in another spelling is no password either."""
    with pytest.raises(ValidationError):
        accounts.checked_credentials("maria.svensson", "MARIA.Svensson")


async def test_a_refresh_token_presented_twice_is_counted_and_ends_its_family_alone(desk: Desk) -> None:
    """The theft shows in a counter; the user's other session goes on."""
    await desk.add_user()
    stolen, other = await desk.sign_in(PASSWORD), await desk.sign_in(PASSWORD)
    newest = await accounts.refresh(desk.services, stolen.refresh, desk.deadline)
    for token in (stolen, newest):
        with pytest.raises(AuthenticationError):
            await accounts.refresh(desk.services, token.refresh, desk.deadline)
    assert desk.services.counters.snapshot()["refresh_reuse"] == 1  # type: ignore[attr-defined]
    await accounts.refresh(desk.services, other.refresh, desk.deadline)


async def test_who_is_in_no_row_has_no_session(desk: Desk) -> None:
    """A user deleted by hand, or from another database: signed out, not an internal error."""
    stranger = Caller(UUID(int=1), "0190a000-0000-7000-8000-00000000aaaa", 0)
    with pytest.raises(AuthenticationError, match="sign in again"):
        await accounts.profile(desk.services, stranger, desk.deadline)
    with pytest.raises(AuthenticationError, match="sign in again"):
        await accounts.change_password(
            desk.services, stranger, PASSWORD, "another long passphrase", "r", desk.deadline
        )
