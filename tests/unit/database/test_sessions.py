from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import sessions, users
from stakehold.database.sessions import NewSession, Rotation
from stakehold.domain.ids import new_id
from tests.support.fakes import ManualClock, SeededEntropy

MakeUser = Callable[[str], Awaitable[UUID]]


@pytest.fixture
async def session(run: Any, make_user: MakeUser, clock: ManualClock, entropy: SeededEntropy) -> NewSession:
    """A started session of alice's, with the refresh token `first`."""
    alice = await make_user("alice")
    session = NewSession(alice, new_id(clock, entropy), 1, b"first", clock.now_ms() + 30 * 86_400_000)
    assert await run(lambda c: sessions.insert_session(c, session)) is True
    return session


def _rotate(run: Any, session: NewSession, old: bytes, new: bytes) -> Awaitable[Rotation]:
    rotation: Awaitable[Rotation] = run(lambda c: sessions.rotate(c, session.user_id, session.id, old, new))
    return rotation


async def _state(run: Any, user_id: UUID) -> Any:
    return await run(lambda c: users.load_user_state(c, user_id))


async def test_starting_a_session_can_run_again(run: Any, session: NewSession) -> None:
    """The same session inserted again, as after a lost answer, is the same session."""
    assert await run(lambda c: sessions.insert_session(c, session)) is True


async def test_no_session_starts_for_a_disabled_user_or_an_old_epoch(
    run: Any, session: NewSession, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """Between checking the password and starting the session, the user may have been stopped."""
    late = NewSession(session.user_id, new_id(clock, entropy), 1, b"x", session.expires_at_ms)
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert await run(lambda c: sessions.insert_session(c, late)) is False
    await run(lambda c: users.set_status(c, "alice", "active"))
    await run(lambda c: users.end_all_sessions(c, session.user_id, 1))
    assert await run(lambda c: sessions.insert_session(c, late)) is False


async def test_a_refresh_token_is_good_once(run: Any, session: NewSession) -> None:
    """Rotating works down the chain; a token that was replaced is known as spent."""
    assert await _rotate(run, session, b"first", b"second") == Rotation("rotated", 1)
    assert await _rotate(run, session, b"second", b"third") == Rotation("rotated", 1)
    assert await _rotate(run, session, b"first", b"other") == Rotation("spent", 1)
    assert await _rotate(run, session, b"third", b"fourth") == Rotation("rotated", 1)


async def test_a_rotation_run_again_is_no_reuse(run: Any, session: NewSession) -> None:
    """After a lost answer the same rotation finds its own effect and succeeds."""
    for _ in range(2):
        assert await _rotate(run, session, b"first", b"second") == Rotation("rotated", 1)


async def test_unknown_tokens_and_sessions_are_refused(run: Any, session: NewSession) -> None:
    """A token never given out is refused, not called spent; so is an unknown session."""
    assert await _rotate(run, session, b"guess", b"x") == Rotation("refused", 0)
    unknown = NewSession(session.user_id, UUID(int=1), 1, b"", 0)
    assert await _rotate(run, unknown, b"first", b"x") == Rotation("refused", 0)


async def test_an_expired_session_is_refused(
    run: Any, session: NewSession, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """Expiry is judged by the database's clock."""
    expired = NewSession(session.user_id, new_id(clock, entropy), 1, b"first", 1_600_000_000_000)
    assert await run(lambda c: sessions.insert_session(c, expired)) is True
    assert await _rotate(run, expired, b"first", b"x") == Rotation("refused", 0)


async def test_a_disabled_users_refresh_is_refused(run: Any, session: NewSession) -> None:
    """A refresh token does not outlive the user's being disabled."""
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert await _rotate(run, session, b"first", b"x") == Rotation("refused", 0)


async def test_revoking_ends_one_session(
    run: Any, session: NewSession, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """The revoked session neither refreshes nor passes; the user's other session is untouched."""
    other = NewSession(session.user_id, new_id(clock, entropy), 1, b"first", session.expires_at_ms)
    await run(lambda c: sessions.insert_session(c, other))
    for _ in range(2):
        await run(lambda c: sessions.revoke_session(c, session.user_id, session.id))
    state = await _state(run, session.user_id)
    assert state.revoked_sessions == frozenset({str(session.id)})
    assert state.refuses(1, str(session.id)) is True
    assert state.refuses(1, str(other.id)) is False
    assert await _rotate(run, session, b"first", b"x") == Rotation("refused", 0)
    assert (await _rotate(run, other, b"first", b"x")).outcome == "rotated"


async def test_long_revoked_sessions_are_left_out(run: Any, session: NewSession) -> None:
    """20 minutes after its end no access token of a session is alive, and its id need not be kept at hand."""
    await run(lambda c: sessions.revoke_session(c, session.user_id, session.id))
    await run(lambda c: c.execute("UPDATE sessions SET revoked_at = now() - INTERVAL '21 minutes'"))
    assert (await _state(run, session.user_id)).revoked_sessions == frozenset()


async def test_very_many_revoked_sessions_end_them_all(
    run: Any, session: NewSession, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """The 256th sign-out within 20 minutes raises the epoch: all stay refused, and the list stays short."""
    for _ in range(255):
        # Rows as insert_session and revoke_session leave them, without 510 statements.
        await run(
            lambda c: c.execute(
                "INSERT INTO sessions (user_id, id, epoch, refresh_hash, expires_at, revoked_at)"
                " VALUES ($1::UUID, $2::UUID, 1, 'x', now(), now())",
                session.user_id,
                new_id(clock, entropy),
            )
        )
    state = await _state(run, session.user_id)
    assert (state.epoch, len(state.revoked_sessions)) == (1, 255)
    await run(lambda c: sessions.revoke_session(c, session.user_id, session.id))
    state = await _state(run, session.user_id)
    assert (state.epoch, state.revoked_sessions) == (2, frozenset())
    assert state.refuses(1, str(session.id)) is True
