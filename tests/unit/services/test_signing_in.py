"""Signing in: how guesses are limited, what a name tells, and what may change while a password is checked."""

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from stakehold.domain.errors import AuthenticationError, OverloadedError, RateLimitError, StakeholdError
from stakehold.gate import Caller
from stakehold.security.passwords import CURRENT
from stakehold.services import accounts
from tests.support.fakes import CheapScrypt
from tests.unit.services.conftest import PASSWORD, WRONG, Desk, OpenDesk

FIVE_GUESSES = "auth-failure=5/900"


async def _outcome(attempt: Awaitable[accounts.Tokens]) -> str:
    """What came of an attempt: `in`, or the code of the error."""
    try:
        await attempt
    except StakeholdError as error:
        return error.code
    return "in"


async def test_right_passwords_do_not_count(open_desk: OpenDesk) -> None:
    """Any number of right passwords passes, and takes nothing from the wrong ones that are allowed."""
    desk = await open_desk(limits=FIVE_GUESSES)
    await desk.add_user()
    for _ in range(12):
        await desk.sign_in(PASSWORD)
    assert [await _outcome(desk.sign_in(WRONG)) for _ in range(6)] == [
        *["invalid_credentials"] * 5,
        "rate_limited",
    ]


async def test_when_guesses_are_spent_the_password_is_not_looked_at(open_desk: OpenDesk) -> None:
    """Beyond the quota even the right password is refused, without a hash; another user still gets in."""
    desk = await open_desk(limits=FIVE_GUESSES)
    await desk.add_user()
    await desk.add_user("johan")
    for _ in range(5):
        await _outcome(desk.sign_in(WRONG))
    desk.scrypt.costs.clear()
    with pytest.raises(RateLimitError) as refused:
        await desk.sign_in(PASSWORD)
    assert 0 < (refused.value.retry_after_s or 0) <= 900
    assert desk.scrypt.costs == []
    await desk.sign_in(PASSWORD, "johan")


class BusyScrypt(CheapScrypt):
    """Refuses while it is busy."""

    busy = False

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        if self.busy:
            raise OverloadedError("Too many passwords are being checked.", retry_after_s=1)
        return await super().__call__(password, salt, n=n, r=r, p=p, length=length)


async def test_a_password_that_was_not_looked_at_was_no_guess(open_desk: OpenDesk) -> None:
    """Whoever tries again and again while the database is away, or too much waits, gets in afterwards."""
    scrypt = BusyScrypt()
    desk = await open_desk(limits=FIVE_GUESSES, scrypt=scrypt)
    await desk.add_user()
    await desk.sql("ALTER TABLE users RENAME TO users_away")
    assert [await _outcome(desk.sign_in(PASSWORD)) for _ in range(6)] == ["database_unavailable"] * 6
    await desk.sql("ALTER TABLE users_away RENAME TO users")
    scrypt.busy = True
    assert [await _outcome(desk.sign_in(PASSWORD)) for _ in range(6)] == ["overloaded"] * 6
    ((user_id, epoch),) = await desk.sql("SELECT id, epoch FROM users")
    change = functools.partial(
        accounts.change_password,
        desk.services,
        Caller(UUID(str(user_id)), "-", int(str(epoch))),
        PASSWORD,
        "another password entirely",
        deadline=desk.deadline,
    )
    assert [await _outcome(change(request_id=str(number))) for number in range(6)] == ["overloaded"] * 6
    scrypt.busy = False
    await desk.sign_in(PASSWORD)


@pytest.mark.parametrize("username", ["maria", "nobody-of-this-name"])
async def test_concurrent_guesses_never_exceed_the_quota(open_desk: OpenDesk, username: str) -> None:
    """Of 30 wrong guesses at once over two processes five are looked at, for a name that exists and not."""
    desks = [await open_desk(limits=FIVE_GUESSES) for _ in range(2)]
    await desks[0].add_user()
    outcomes = await asyncio.gather(*(_outcome(desk.sign_in(WRONG, username)) for desk in desks * 15))
    assert sorted(outcomes) == ["invalid_credentials"] * 5 + ["rate_limited"] * 25
    assert sum(len(desk.scrypt.costs) for desk in desks) == 5


async def test_every_spelling_of_a_name_shares_its_guesses(open_desk: OpenDesk) -> None:
    """Case and width do not give more guesses at one user's password."""
    desk = await open_desk(limits=FIVE_GUESSES)
    await desk.add_user()
    spellings = ["maria", "MARIA", "Maria", "\uff4d\uff41\uff52\uff49\uff41", "mAriA", "marIA"]
    outcomes = [await _outcome(desk.sign_in(WRONG, spelling)) for spelling in spellings]
    assert outcomes == ["invalid_credentials"] * 5 + ["rate_limited"]


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("maria", WRONG),
        ("nobody-of-this-name", PASSWORD),
        ("no such\nname", PASSWORD),
        ("maria", "x" * 2000),
        ("disabled", PASSWORD),
    ],
    ids=["wrong", "unknown", "impossible name", "impossible password", "disabled"],
)
async def test_who_is_refused_costs_the_same_and_is_told_the_same(
    desk: Desk, username: str, password: str
) -> None:
    """Neither work nor words tell whether a name exists: one hash of today's cost, one message."""
    for name in ("maria", "disabled"):
        await desk.add_user(name)
    await accounts.set_user_status(desk.services, "disabled", "disabled", desk.deadline)
    with pytest.raises(AuthenticationError) as refused:
        await desk.sign_in(password, username)
    assert desk.scrypt.costs == [(2**CURRENT.log_n, CURRENT.r, CURRENT.p, 32)]
    assert refused.value.code == "invalid_credentials"
    assert refused.value.detail == "The username and password do not go together."


async def _hash_of_yesterday(desk: Desk) -> str:
    """Store the user's password as it was hashed with smaller parameters."""
    salt = b"0123456789abcdef"
    derived = await CheapScrypt()(PASSWORD.encode(), salt, n=2**10, r=8, p=1, length=32)
    encoded = [base64.b64encode(data).rstrip(b"=").decode() for data in (salt, derived)]
    old = f"$scrypt$ln=10,r=8,p=1${encoded[0]}${encoded[1]}"
    await desk.sql("UPDATE users SET password_hash = $1", old)
    return old


async def test_an_old_hash_is_renewed_by_the_right_password(desk: Desk) -> None:
    """After a sign-in the hash has today's parameters; the next one renews nothing."""
    await desk.add_user()
    old = await _hash_of_yesterday(desk)
    assert await _outcome(desk.sign_in(WRONG)) == "invalid_credentials"
    assert await desk.sql("SELECT password_hash FROM users") == [(old,)], "a wrong one renews nothing"
    desk.scrypt.costs.clear()
    await desk.sign_in(PASSWORD)
    assert [cost[0] for cost in desk.scrypt.costs] == [2**10, 2**CURRENT.log_n]
    ((renewed,),) = await desk.sql("SELECT password_hash FROM users")
    assert str(renewed).startswith(f"$scrypt$ln={CURRENT.log_n},r={CURRENT.r},p={CURRENT.p}$")
    desk.scrypt.costs.clear()
    await desk.sign_in(PASSWORD)
    assert len(desk.scrypt.costs) == 1
    assert await desk.sql("SELECT password_hash FROM users") == [(renewed,)]


class MeddlingScrypt(CheapScrypt):
    """Has something happen while the given hash, counted from now, is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.meddle: Callable[[], Awaitable[object]] | None = None
        self.hashes_before = 0

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        if self.meddle is not None and self.hashes_before == 0:
            meddle, self.meddle = self.meddle, None
            await meddle()
        self.hashes_before -= 1
        return await super().__call__(password, salt, n=n, r=r, p=p, length=length)


async def test_renewing_a_hash_does_not_undo_a_change_of_password(open_desk: OpenDesk) -> None:
    """A password changed while the old one's hash is renewed stays changed."""
    scrypt = MeddlingScrypt()
    desk = await open_desk(scrypt=scrypt)
    await desk.add_user()
    await _hash_of_yesterday(desk)
    changed = await desk.services.passwords.hash("another password entirely")
    scrypt.meddle = lambda: desk.sql("UPDATE users SET password_hash = $1, epoch = epoch + 1", changed)
    scrypt.hashes_before = 1
    assert await _outcome(desk.sign_in(PASSWORD)) == "invalid_credentials"
    assert await desk.sql("SELECT password_hash FROM users") == [(changed,)]


@pytest.mark.parametrize("change", ["status = 'disabled'", "epoch = epoch + 1"])
async def test_no_session_starts_for_who_is_disabled_or_signed_out_meanwhile(
    open_desk: OpenDesk, change: str
) -> None:
    """Disabled, or signed out everywhere, while the right password is being checked: no session."""
    scrypt = MeddlingScrypt()
    desk = await open_desk(scrypt=scrypt)
    await desk.add_user()
    scrypt.meddle, scrypt.hashes_before = lambda: desk.sql(f"UPDATE users SET {change}"), 0
    assert await _outcome(desk.sign_in(PASSWORD)) == "invalid_credentials"
    assert await desk.sql("SELECT count(*) FROM sessions") == [(0,)]
