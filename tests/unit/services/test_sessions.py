"""The user entry behind the answers: stored at sign-in, renewed when it is old, in nobody's way."""

import dataclasses
from uuid import UUID

import pytest

from stakehold.cache.user_entry import state_entry
from stakehold.domain.accounts import UserState
from stakehold.gate import AccountRead, Caller, Entered, Entering
from stakehold.services import sessions
from stakehold.services.context import Services
from tests.support.fakes import HeldBackground
from tests.unit.services.conftest import PASSWORD, Desk


@pytest.fixture
def behind() -> HeldBackground:
    return HeldBackground()


@pytest.fixture
def services(desk: Desk, behind: HeldBackground) -> Services:
    return dataclasses.replace(desk.services, background=behind)


@pytest.fixture
async def caller(desk: Desk) -> Caller:
    """Somebody who has signed in."""
    await desk.add_user()
    claims = desk.services.tokens.verify((await desk.sign_in(PASSWORD)).access)
    return Caller(claims.user_id, claims.session_id, claims.epoch)


async def _enter(desk: Desk, caller: Caller) -> tuple[Entered, AccountRead]:
    request_id = desk.services.entropy.random_bytes(16).hex()
    entering = Entering(request_id, (), f"u:{caller.user_id}", caller)
    entered = await desk.services.gate.enter(entering, desk.deadline)
    assert entered.account is not None
    return entered, entered.account


async def _keep_an_old_entry(desk: Desk, caller: Caller, state: UserState) -> None:
    """Have `state` cached as something that was read long ago."""
    async with desk.services.gate.fence([caller.user_id], "account"):
        pass  # What was stored at sign-in is dropped.
    _, account = await _enter(desk, caller)
    assert account.fill is not None
    await desk.services.gate.fill(account.fill, dataclasses.replace(state_entry(state), fresh_s=0))


async def test_an_old_entry_decides_and_is_read_again_behind_the_answer(
    desk: Desk, services: Services, behind: HeldBackground, caller: Caller
) -> None:
    """The request that is chosen to renew it waits for no database; after it the entry is as the row is."""
    await _keep_an_old_entry(desk, caller, UserState("active", caller.epoch, frozenset({"another"})))
    entered, account = await _enter(desk, caller)
    assert account.refresh
    await sessions.require_session(services, caller, entered, desk.deadline)
    await behind.run()
    _, account = await _enter(desk, caller)
    assert account == AccountRead(UserState("active", caller.epoch, frozenset()))


async def test_nothing_is_stored_of_a_user_who_is_gone_when_the_entry_is_read_again(
    desk: Desk, services: Services, behind: HeldBackground, caller: Caller
) -> None:
    """Rows deleted by hand: the old entry runs out by itself, and the work behind the answer ends well."""
    old = UserState("active", caller.epoch, frozenset({"another"}))
    await _keep_an_old_entry(desk, caller, old)
    entered, _ = await _enter(desk, caller)
    await sessions.require_session(services, caller, entered, desk.deadline)
    for table in ("spent_refresh_tokens", "sessions", "users"):
        await desk.sql(f"DELETE FROM {table}")
    await behind.run()
    _, account = await _enter(desk, caller)
    assert account == AccountRead(old)


async def test_nothing_is_stored_of_who_is_in_no_row(desk: Desk) -> None:
    """Somebody deleted by hand right after they signed in: the next request asks the database."""
    stranger = Caller(UUID(int=1), "0190a000-0000-7000-8000-00000000aaaa", 1)
    await sessions.store_user_entry(desk.services, stranger, "request", desk.deadline)
    _, account = await _enter(desk, stranger)
    assert account.state is None
    assert account.fill is not None
