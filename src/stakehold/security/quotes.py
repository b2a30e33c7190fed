"""Quotes: what was promised to a user until some moment, kept by the user alone, under our signature.

Nothing is stored: whoever reads a quote again gets the very fields that were signed, or a refusal. A quote is
of one kind and for one user, by being signed together with both.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from stakehold.domain.errors import FieldError, ValidationError

MAX_QUOTE_CHARACTERS: Final = 1024

# A prefix by which people know what they look at.
_PREFIX: Final = "shq_"

# The key is another than the secret itself: what is signed here can never pass for a token, nor the reverse.
_DOMAIN: Final = b"stakehold quotes 1"


@dataclass(frozen=True, slots=True)
class Quote:
    """What was signed. Whether it has expired is for the database's clock to say, where the quote is used."""

    fields: Mapping[str, str | int]
    expires_at_ms: int


class _Payload(msgspec.Struct, frozen=True):
    expires_at_ms: int
    fields: dict[str, str | int]


class QuoteSigner:
    """Signs quotes, and reads them again, with keys made from the secrets of access tokens.

    `previous_secret` still verifies.
    """

    def __init__(self, *, secret: str, previous_secret: str | None) -> None:
        secrets = [secret] if previous_secret is None else [secret, previous_secret]
        self._keys = [hmac.digest(text.encode(), _DOMAIN, hashlib.sha256) for text in secrets]

    def sign(self, kind: str, user_id: UUID, fields: Mapping[str, str | int], expires_at_ms: int) -> str:
        """The quote as the client keeps it: some hundred characters of ASCII, fit for a URL."""
        payload = msgspec.json.encode(_Payload(expires_at_ms, dict(fields)))
        return f"{_PREFIX}{_base64url(payload)}.{_signature(self._keys[0], kind, user_id, payload)}"

    def read(self, kind: str, user_id: UUID, text: str) -> Quote:
        """The quote of this kind that `sign` wrote so for this user.

        Raises ValidationError (`invalid_quote`) for anything else.
        """
        if len(text) > MAX_QUOTE_CHARACTERS or not text.isascii() or not text.startswith(_PREFIX):
            raise _invalid()
        encoded, _, signature = text.removeprefix(_PREFIX).partition(".")
        try:
            payload = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            raise _invalid() from None
        # A quote has one spelling: what is compared is text, and the payload's is made again.
        is_ours = _base64url(payload) == encoded and any(
            hmac.compare_digest(_signature(key, kind, user_id, payload), signature) for key in self._keys
        )
        if not is_ours:
            raise _invalid()
        try:
            content = msgspec.json.decode(payload, type=_Payload)
        except msgspec.DecodeError:
            raise _invalid() from None
        return Quote(content.fields, content.expires_at_ms)


def _signature(key: bytes, kind: str, user_id: UUID, payload: bytes) -> str:
    """HMAC-SHA256 over the user, the kind and the payload; a kind has no zero byte, so nothing can shift."""
    message = user_id.bytes + kind.encode() + b"\0" + payload
    return _base64url(hmac.digest(key, message, hashlib.sha256))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _invalid() -> ValidationError:
    return ValidationError(
        "The quote is not valid.",
        code="invalid_quote",
        fields=(FieldError("/quoteId", "invalid_quote", "Not one of ours for this."),),
    )
