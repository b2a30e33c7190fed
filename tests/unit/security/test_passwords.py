"""A stored hash is standard scrypt, verifies its password alone, and cannot ask for boundless work."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator

import pytest

from stakehold.domain.errors import OverloadedError
from stakehold.security.passwords import PasswordHasher
from stakehold.security.threaded_scrypt import ThreadedScrypt
from tests.support.fakes import SeededEntropy

SALT = bytes(range(16))


def phc(
    password: bytes, salt: bytes = SALT, log_n: int = 14, r: int = 8, p: int = 5, length: int = 32
) -> str:
    """A hash as RFC 7914 and the PHC string format have it, without our code."""
    derived = hashlib.scrypt(password, salt=salt, n=2**log_n, r=r, p=p, dklen=length, maxmem=2**26)
    salt_text, hash_text = (base64.b64encode(part).decode().rstrip("=") for part in (salt, derived))
    return f"$scrypt$ln={log_n},r={r},p={p}${salt_text}${hash_text}"


class RecordingScrypt:
    """scrypt that notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, int]] = []

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        self.calls.append((n, r, p, length))
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=2**26)


@pytest.fixture
async def threaded() -> AsyncIterator[ThreadedScrypt]:
    scrypt = ThreadedScrypt(max_concurrent=2, max_waiting=4)
    yield scrypt
    scrypt.close()


@pytest.fixture
def hasher(threaded: ThreadedScrypt) -> PasswordHasher:
    return PasswordHasher(scrypt=threaded, entropy=SeededEntropy(1))


async def test_a_new_hash_is_what_hashlib_computes(hasher: PasswordHasher) -> None:
    """Its text is standard scrypt with N = 2^14, r = 8, p = 5, a 16-byte salt and 32 bytes of hash."""
    salt = SeededEntropy(1).random_bytes(16)
    assert await hasher.hash("pässword 🗝") == phc("pässword 🗝".encode(), salt)


async def test_a_hash_made_elsewhere_verifies_its_password_alone(hasher: PasswordHasher) -> None:
    """What hashlib computed is accepted for its own password, and for no other."""
    stored = phc(b"password123")
    assert await hasher.verify("password123", stored)
    assert not await hasher.verify("password124", stored)
    assert not await hasher.verify("", stored)


async def test_one_password_hashed_twice_gives_two_hashes(hasher: PasswordHasher) -> None:
    """Salts are fresh, and both hashes verify."""
    first, second = await hasher.hash("the same"), await hasher.hash("the same")
    assert first != second
    assert await hasher.verify("the same", first)
    assert await hasher.verify("the same", second)


async def test_an_unknown_user_costs_the_same_work() -> None:
    """For a user who does not exist scrypt runs once, with the parameters of a user who does."""
    scrypt = RecordingScrypt()
    hasher = PasswordHasher(scrypt=scrypt, entropy=SeededEntropy(1))
    await hasher.verify("password123", phc(b"password123"))
    assert await hasher.verify_unknown("password123") is False
    assert scrypt.calls == [(2**14, 8, 5, 32)] * 2


@pytest.mark.parametrize(
    ("stored", "outdated"),
    [
        (phc(b"x"), False),
        (phc(b"x", log_n=13), True),
        (phc(b"x", r=4), True),
        (phc(b"x", p=1), True),
        (phc(b"x", salt=bytes(8)), True),
        (phc(b"x", length=64), True),
    ],
)
async def test_a_hash_of_other_parameters_is_verified_and_outdated(
    stored: str, outdated: bool, hasher: PasswordHasher
) -> None:
    """It still lets its user in, and says that it should be made anew."""
    assert await hasher.verify("x", stored)
    assert hasher.needs_rehash(stored) is outdated


GOOD = phc(b"x")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "password123",
        GOOD.replace("$scrypt", "$argon2id"),
        GOOD.replace("ln=14", "ln=014"),
        GOOD.replace("ln=14", "ln=18"),
        GOOD.replace("ln=14", "ln=99"),
        GOOD.replace("ln=14,r=8,p=5", "ln=17,r=8,p=1"),
        GOOD.replace("ln=14", "ln=１４"),
        GOOD.replace("r=8", "r=64"),
        GOOD.replace("r=8", "r=0"),
        GOOD.replace("p=5", "p=9"),
        GOOD.replace("p=5", "p=-1"),
        GOOD + "\n",
        GOOD + "=",
        GOOD[:-5],
        GOOD[:-6],
        GOOD[:-30],
        GOOD.rsplit("$", 1)[0] + "$",
        GOOD + "A" * 100,
    ],
)
async def test_what_is_no_hash_of_ours_is_refused_without_work(stored: str) -> None:
    """Neither nonsense nor more work than is done for one password reaches scrypt."""
    scrypt = RecordingScrypt()
    hasher = PasswordHasher(scrypt=scrypt, entropy=SeededEntropy(1))
    with pytest.raises(ValueError, match="stored password hash"):
        await hasher.verify("x", stored)
    with pytest.raises(ValueError, match="stored password hash"):
        hasher.needs_rehash(stored)
    assert scrypt.calls == []


async def test_more_than_may_wait_are_refused_at_once() -> None:
    """Of eight at once, with one computed and two waiting, three succeed; the others may retry after 1 s."""
    scrypt = ThreadedScrypt(max_concurrent=1, max_waiting=2)
    work = [scrypt(b"x", SALT, n=2**14, r=8, p=1, length=32) for _ in range(8)]
    results = await asyncio.gather(*work, return_exceptions=True)
    expected = hashlib.scrypt(b"x", salt=SALT, n=2**14, r=8, p=1, dklen=32)
    assert results[:3] == [expected] * 3
    for refused in results[3:]:
        assert isinstance(refused, OverloadedError)
        assert refused.retry_after_s == 1
    assert await scrypt(b"x", SALT, n=2**14, r=8, p=1, length=32) == expected
    scrypt.close()


async def test_who_gives_up_waiting_makes_room() -> None:
    """A cancelled wait frees its place; a cancelled computation frees it when the thread is done."""
    scrypt = ThreadedScrypt(max_concurrent=1, max_waiting=1)
    running, waiting = (
        asyncio.ensure_future(scrypt(b"x", SALT, n=2**14, r=8, p=5, length=32)) for _ in range(2)
    )
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await scrypt(b"x", SALT, n=2, r=1, p=1, length=32)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(await scrypt(b"x", SALT, n=2, r=1, p=1, length=32)) == 32
    await running
    scrypt.close()


async def test_the_event_loop_goes_on_while_a_password_is_hashed(threaded: ThreadedScrypt) -> None:
    """Other work is done during the third of a second a hash takes."""
    hashing = asyncio.ensure_future(threaded(b"x", SALT, n=2**14, r=8, p=5, length=32))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
