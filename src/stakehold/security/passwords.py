"""Password hashes: scrypt (RFC 7914), written in PHC string form, whoever computes it.

N = 2^14, r = 8, p = 5 is of the OWASP list, takes 16 MiB, and is what both runtimes can compute.
"""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from stakehold.domain.ports import Entropy

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

_MAX_WORK: Final = 2**20
"""The largest N·r·p computed for a stored hash: what node:crypto can do."""

_MAX_MEMORY_BYTES: Final = 32 * 2**20

_PHC = re.compile(
    r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)


class Scrypt(Protocol):
    """Computes scrypt without holding up the event loop. May raise OverloadedError."""

    async def __call__(self, password: bytes, salt: bytes, *, n: int, r: int, p: int, length: int) -> bytes:
        """The derived key of `length` bytes; `n` is the cost itself, not its logarithm."""
        ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """scrypt's cost: N = 2**log_n, block size r, parallelism p."""

    log_n: int
    r: int
    p: int


CURRENT: Final = Parameters(log_n=14, r=8, p=5)


@dataclass(frozen=True, slots=True)
class _Stored:
    parameters: Parameters
    salt: bytes
    hash: bytes


class PasswordHasher:
    """Hashes passwords, and compares them with stored hashes. Passwords come in normal form."""

    def __init__(self, *, scrypt: Scrypt, entropy: Entropy) -> None:
        self._scrypt = scrypt
        self._entropy = entropy

    async def hash(self, password: str) -> str:
        """A new hash of `password`: `$scrypt$ln=14,r=8,p=5$salt$hash`."""
        salt = self._entropy.random_bytes(SALT_BYTES)
        derived = await self._derive(password, salt, CURRENT, HASH_BYTES)
        return f"$scrypt$ln={CURRENT.log_n},r={CURRENT.r},p={CURRENT.p}${_base64(salt)}${_base64(derived)}"

    async def verify(self, password: str, phc: str) -> bool:
        """Whether `phc` is a hash of `password`. Raises ValueError for what is no hash of ours."""
        stored = _parse(phc)
        derived = await self._derive(password, stored.salt, stored.parameters, len(stored.hash))
        return hmac.compare_digest(derived, stored.hash)

    async def verify_unknown(self, password: str) -> Literal[False]:
        """The work of `verify` for a user who does not exist, so that the time taken does not tell."""
        derived = await self._derive(password, bytes(SALT_BYTES), CURRENT, HASH_BYTES)
        hmac.compare_digest(derived, bytes(HASH_BYTES))
        return False

    def needs_rehash(self, phc: str) -> bool:
        """Whether `phc` was made otherwise than `hash` does today. Raises ValueError as `verify` does."""
        stored = _parse(phc)
        sizes = (len(stored.salt), len(stored.hash))
        return stored.parameters != CURRENT or sizes != (SALT_BYTES, HASH_BYTES)

    async def _derive(self, password: str, salt: bytes, parameters: Parameters, length: int) -> bytes:
        return await self._scrypt(
            password.encode(), salt, n=2**parameters.log_n, r=parameters.r, p=parameters.p, length=length
        )


def _parse(phc: str) -> _Stored:
    match = _PHC.fullmatch(phc)
    if match is None:
        raise _not_phc()
    parameters = Parameters(*(int(number) for number in match.group(1, 2, 3)))
    n = 2**parameters.log_n
    if n * parameters.r * parameters.p > _MAX_WORK or 128 * n * parameters.r > _MAX_MEMORY_BYTES:
        raise ValueError("The stored password hash asks for more work than is done for one.")
    return _Stored(parameters, _from_base64(match[4]), _from_base64(match[5]))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise _not_phc() from None
    if _base64(data) != text:
        raise _not_phc()
    return data


def _not_phc() -> ValueError:
    return ValueError("The stored password hash is not one of scrypt in PHC form.")
