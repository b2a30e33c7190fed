import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from stakehold.database import sessions, users
from stakehold.database.sessions import NewSession
from stakehold.domain.ids import created_at_ms, new_id
from tests.support.fakes import ManualClock, SeededEntropy

MakeUser = Callable[[str], Awaitable[UUID]]


def new_session(clock: ManualClock, entropy: SeededEntropy, user_id: UUID, epoch: int = 1) -> NewSession:
    """A session of 30 days whose first refresh token's hash is `first`."""
    return NewSession(user_id, new_id(clock, entropy), epoch, b"first", clock.now_ms() + 30 * 86_400_000)


async def test_a_name_belongs_to_one_user(run: Any, make_user: MakeUser, clock: Any, entropy: Any) -> None:
    """A second user cannot take a name; the first may be inserted again, as after a lost answer."""
    alice = await make_user("alice")
    other = new_id(clock, entropy)
    assert await run(lambda c: users.insert_user(c, other, "alice", "x")) is False
    assert await run(lambda c: users.insert_user(c, alice, "alice", "x")) is True
    found = await run(lambda c: users.find_credentials(c, "alice"))
    assert found == users.Credentials(alice, "alice", "hash-of-alice", "active", 1)
    assert await run(lambda c: users.find_credentials_by_id(c, alice)) == found
    assert await run(lambda c: users.find_credentials(c, "bob")) is None


async def test_racers_for_a_name_give_one_user(run: Any, clock: Any, entropy: Any) -> None:
    """Of 12 who sign up with one name at once, exactly one gets it."""

    def insert(user_id: UUID) -> Awaitable[bool]:
        won: Awaitable[bool] = run(lambda c: users.insert_user(c, user_id, "racer", "x"))
        return won

    won = await asyncio.gather(*(insert(new_id(clock, entropy)) for _ in range(12)))
    assert sum(won) == 1


async def test_profile_and_list(run: Any, make_user: MakeUser, clock: ManualClock) -> None:
    """Users are listed by name, in pages; a profile tells when the user was made."""
    ids = {name: await make_user(name) for name in ("carol", "alice", "bob")}
    listed = await run(lambda c: users.list_users(c, None, 2))
    assert [user.username for user in listed] == ["alice", "bob"]
    assert [user.username for user in await run(lambda c: users.list_users(c, "bob", 2))] == ["carol"]
    profile = await run(lambda c: users.load_profile(c, ids["bob"]))
    assert (profile.username, profile.created_at_ms) == ("bob", created_at_ms(ids["bob"]))
    assert await run(lambda c: users.load_profile(c, UUID(int=0))) is None


async def test_disabling_shows_in_the_state(run: Any, make_user: MakeUser) -> None:
    """A disabled user's tokens are refused, and stay so when the user is enabled again; new ones are good."""
    alice = await make_user("alice")
    assert (await run(lambda c: users.load_user_state(c, alice))).refuses(1, "s") is False
    assert await run(lambda c: users.set_status(c, "alice", "disabled")) == alice
    assert (await run(lambda c: users.load_user_state(c, alice))).refuses(1, "s") is True
    for _ in range(2):
        await run(lambda c: users.set_status(c, "alice", "disabled"))
    await run(lambda c: users.set_status(c, "alice", "active"))
    assert (await run(lambda c: users.load_user_state(c, alice))).refuses(1, "s") is True
    assert (await run(lambda c: users.load_user_state(c, alice))).refuses(2, "s") is False
    assert await run(lambda c: users.set_status(c, "nobody", "disabled")) is None
    assert await run(lambda c: users.load_user_state(c, UUID(int=0))) is None


async def test_a_scope_is_the_databases_to_tell(run: Any, make_user: MakeUser) -> None:
    """An operator is who has the scope under the epoch of the token, and is not disabled; nobody else."""
    alice, bob = await make_user("alice"), await make_user("bob")
    assert await run(lambda c: users.set_scope(c, "alice", "admin")) == alice
    assert await run(lambda c: users.is_operator(c, alice, 2)) is True
    assert await run(lambda c: users.is_operator(c, alice, 1)) is False
    assert await run(lambda c: users.is_operator(c, bob, 1)) is False
    assert await run(lambda c: users.is_operator(c, UUID(int=0), 1)) is False
    assert [user.scope for user in await run(lambda c: users.list_users(c, None, 9))] == ["admin", ""]
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert await run(lambda c: users.is_operator(c, alice, 3)) is False


async def test_a_change_of_scope_ends_every_session_once(
    run: Any, make_user: MakeUser, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """Tokens say what their user may do: older ones are refused. Run again, it ends nothing more."""
    alice = await make_user("alice")
    for epoch, scope in ((1, "admin"), (2, "")):
        session = new_session(clock, entropy, alice, epoch)
        assert await run(lambda c, session=session: sessions.insert_session(c, session))
        for _ in range(2):
            assert await run(lambda c, scope=scope: users.set_scope(c, "alice", scope)) == alice
        state = await run(lambda c: users.load_user_state(c, alice))
        assert state.epoch == epoch + 1
        assert state.refuses(epoch, str(session.id))
        rotation = await run(lambda c, session=session: sessions.rotate(c, alice, session.id, b"first", b"x"))
        assert rotation.outcome == "refused"
        assert (await run(lambda c: users.find_credentials(c, "alice"))).scope == scope
    assert await run(lambda c: users.set_scope(c, "nobody", "admin")) is None


async def test_rehash_only_replaces_the_hash_it_saw(run: Any, make_user: MakeUser) -> None:
    """A rehash loses to a password change that came first."""
    alice = await make_user("alice")
    assert await run(lambda c: users.update_password_hash(c, alice, "hash-of-alice", "new")) is True
    assert await run(lambda c: users.update_password_hash(c, alice, "hash-of-alice", "newer")) is False
    assert (await run(lambda c: users.find_credentials(c, "alice"))).password_hash == "new"


async def test_changing_the_password_ends_all_sessions_but_the_new_one(
    run: Any, make_user: MakeUser, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """The epoch rises with the change: old sessions neither refresh nor pass, the new one does both."""
    alice = await make_user("alice")
    old = new_session(clock, entropy, alice)
    new = new_session(clock, entropy, alice, epoch=2)
    assert await run(lambda c: sessions.insert_session(c, old))
    change = lambda c: users.change_password(c, alice, "hash-of-alice", "changed", new)  # noqa: E731
    assert await run(change) is True
    assert await run(change) is True  # Run again after a lost answer: the same change, made once.
    state = await run(lambda c: users.load_user_state(c, alice))
    assert state.epoch == 2
    assert state.refuses(1, str(old.id)) is True
    assert state.refuses(2, str(new.id)) is False
    assert (await run(lambda c: sessions.rotate(c, alice, old.id, b"first", b"x"))).outcome == "refused"
    assert await run(lambda c: sessions.rotate(c, alice, new.id, b"first", b"x")) == sessions.Rotation(
        "rotated", 2
    )


async def test_a_password_change_needs_the_hash_epoch_and_status_it_saw(
    run: Any, make_user: MakeUser, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """A change based on anything that moved meanwhile is refused and changes nothing."""
    alice = await make_user("alice")
    second = new_session(clock, entropy, alice, epoch=2)
    third = new_session(clock, entropy, alice, epoch=3)
    assert await run(lambda c: users.change_password(c, alice, "wrong", "new", second)) is False
    assert await run(lambda c: users.change_password(c, alice, "hash-of-alice", "new", third)) is False
    await run(lambda c: users.set_status(c, "alice", "disabled"))
    assert await run(lambda c: users.change_password(c, alice, "hash-of-alice", "new", second)) is False
    assert await run(lambda c: users.change_password(c, alice, "hash-of-alice", "new", third)) is False
    kept = await run(lambda c: users.find_credentials(c, "alice"))
    assert (kept.password_hash, kept.epoch) == ("hash-of-alice", 2)


async def test_ending_all_sessions_raises_the_epoch_once(run: Any, make_user: MakeUser) -> None:
    """Run twice for one epoch, as after a lost answer, it raises the epoch once."""
    alice = await make_user("alice")
    for _ in range(2):
        await run(lambda c: users.end_all_sessions(c, alice, 1))
    assert (await run(lambda c: users.load_user_state(c, alice))).epoch == 2
