"""scrypt by node:crypto: the same keys as natively, and no more at once than can be waited for."""

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from stakehold.domain.errors import OverloadedError
from stakehold.security.passwords import PasswordHasher
from tests.support.fakes import ManualClock, SeededEntropy
from tests.support.service import PASSWORD, PASSWORD_HASH
from tests.support.worker_platform import Platform, worker_module, worker_platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with worker_platform() as platform:
        yield platform


async def test_keys_are_those_of_the_native_runtime(platform: Platform, clock: ManualClock) -> None:
    """Any length; with as much memory allowed as natively."""
    scrypt = worker_module("worker_scrypt").NodeScrypt(clock)
    for length in (16, 32):
        key = await scrypt(b"secret", b"salt-of-the-test", n=1024, r=8, p=2, length=length)
        assert key == hashlib.scrypt(b"secret", salt=b"salt-of-the-test", n=1024, r=8, p=2, dklen=length)
    assert platform.scrypt.options[0] == {"N": 1024, "r": 8, "p": 2, "maxmem": 128 * 8 * 1028}


async def test_a_hash_made_natively_verifies(
    platform: Platform, clock: ManualClock, entropy: SeededEntropy
) -> None:
    """The right password and no other."""
    hasher = PasswordHasher(scrypt=worker_module("worker_scrypt").NodeScrypt(clock), entropy=entropy)
    assert await hasher.verify(PASSWORD, PASSWORD_HASH)
    assert not await hasher.verify(PASSWORD + "x", PASSWORD_HASH)


async def test_too_many_at_once_are_refused(platform: Platform, clock: ManualClock) -> None:
    """Those beyond the bound hear so at once; when the others are done there is room again."""
    module = worker_module("worker_scrypt")
    scrypt = module.NodeScrypt(clock)

    async def derive() -> bytes:
        key: bytes = await scrypt(b"secret", b"salt-of-the-test", n=16, r=1, p=1, length=16)
        return key

    done = await asyncio.gather(*(derive() for _ in range(module.WAITING_MAX + 3)), return_exceptions=True)
    assert [type(each) for each in done] == [bytes] * module.WAITING_MAX + [OverloadedError] * 3
    assert len(platform.scrypt.options) == module.WAITING_MAX
    await derive()


async def test_those_who_were_killed_make_room_in_time(platform: Platform, clock: ManualClock) -> None:
    """A request that the platform ended gives nothing back: its place is free after the longest wait."""
    module = worker_module("worker_scrypt")
    scrypt = module.NodeScrypt(clock)
    killed: list[Any] = []
    for _ in range(module.WAITING_MAX):
        call = scrypt(b"secret", b"salt-of-the-test", n=16, r=1, p=1, length=16)
        call.send(None)  # up to its turn of the loop, which never comes
        killed.append(call)
    with pytest.raises(OverloadedError):
        await scrypt(b"secret", b"salt-of-the-test", n=16, r=1, p=1, length=16)
    clock.advance(10.1)
    assert await scrypt(b"secret", b"salt-of-the-test", n=16, r=1, p=1, length=16)
    for call in killed:
        call.close()


async def test_who_waits_too_long_is_refused_without_a_hash(
    platform: Platform, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash takes 2 s: two are computed, and the third has no time left for what comes after its own."""
    scrypt = worker_module("worker_scrypt").NodeScrypt(clock)
    derive = scrypt._derive

    def take_two_seconds(*arguments: Any) -> bytes:
        clock.advance(2.0)
        key: bytes = derive(*arguments)
        return key

    monkeypatch.setattr(scrypt, "_derive", take_two_seconds)
    asked = [scrypt(b"secret", b"salt-of-the-test", n=16, r=1, p=1, length=16) for _ in range(3)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in done] == [bytes, bytes, OverloadedError]
    assert len(platform.scrypt.options) == 2
