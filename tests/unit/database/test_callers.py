"""Who asks, checked in the transaction that writes, on a real database."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import sessions, users
from stakehold.database.callers import require_caller
from stakehold.database.sessions import NewSession
from stakehold.domain.errors import AuthenticationError
from tests.support.database_clock import DatabaseClock

SESSION = UUID(int=1)
NOW_MS = 1_900_000_000_123


@pytest.fixture
async def alice(database_clock: DatabaseClock, make_user: Callable[[str], Awaitable[UUID]], run: Any) -> UUID:
    await database_clock.set(NOW_MS)
    user_id = await make_user("alice")
    assert await run(
        lambda c: sessions.insert_session(c, NewSession(user_id, SESSION, 1, b"hash", 4_000_000_000_000))
    )
    return user_id


async def test_a_good_session_is_told_the_time(run: Any, alice: UUID) -> None:
    """The time is the transaction's, by the database's clock."""
    assert await run(lambda c: require_caller(c, alice, SESSION, 1)) == NOW_MS


@pytest.mark.parametrize("ended", ["disabled", "epoch", "revoked", "unknown"])
async def test_whoever_is_not_good_any_more_is_refused(run: Any, alice: UUID, ended: str) -> None:
    """Disabled, signed out everywhere, signed out here, or no user at all."""
    if ended == "disabled":
        await run(lambda c: users.set_status(c, "alice", "disabled"))
    if ended == "epoch":
        await run(lambda c: users.end_all_sessions(c, alice, 1))
    if ended == "revoked":
        await run(lambda c: sessions.revoke_session(c, alice, SESSION))
    who = UUID(int=5) if ended == "unknown" else alice
    with pytest.raises(AuthenticationError) as refused:
        await run(lambda c: require_caller(c, who, SESSION, 1))
    assert refused.value.code == "session_ended"
