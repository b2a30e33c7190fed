"""Refresh tokens: opaque to the client, exchanged once, stored as a hash.

The text carries the user's and the session's id, so that the session's row is found by its primary key.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from stakehold.domain.errors import AuthenticationError
from stakehold.domain.ports import Entropy

# A prefix by which secret scanners and people know what leaked.
_PREFIX: Final = "shr_"
_SECRET_BYTES: Final = 32
_ENCODED_CHARACTERS: Final = len(_PREFIX) + 86


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A secret that continues a session."""

    user_id: UUID
    session_id: UUID
    secret: bytes = field(repr=False)

    def encode(self) -> str:
        """The token as the client keeps it: 90 characters."""
        data = self.user_id.bytes + self.session_id.bytes + self.secret
        return _PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "RefreshToken":
        """The token that `encode` wrote so. Raises AuthenticationError (`invalid_refresh_token`)."""
        if len(text) != _ENCODED_CHARACTERS or not text.isascii() or not text.startswith(_PREFIX):
            raise _invalid()
        try:
            data = base64.b64decode(text[len(_PREFIX) :] + "==", altchars=b"-_", validate=True)
        except binascii.Error:
            raise _invalid() from None
        token = cls(UUID(bytes=data[:16]), UUID(bytes=data[16:32]), data[32:])
        # The last character has bits to spare: a token has one spelling.
        if token.encode() != text:
            raise _invalid()
        return token

    def hash(self) -> bytes:
        """What is stored: SHA-256 of the secret. With 256 random bits there is nothing to guess slowly."""
        return hashlib.sha256(self.secret).digest()


def new_refresh_token(user_id: UUID, session_id: UUID, entropy: Entropy) -> RefreshToken:
    """A refresh token with a new secret."""
    return RefreshToken(user_id, session_id, entropy.random_bytes(_SECRET_BYTES))


def _invalid() -> AuthenticationError:
    return AuthenticationError("The refresh token is not valid.", code="invalid_refresh_token")
