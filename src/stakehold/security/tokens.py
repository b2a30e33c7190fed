"""Access tokens: JSON Web Tokens signed with HS256, to the advice of RFC 8725 and in the profile of RFC 9068.

A token says who (`sub`), in which session (`sid`) and under which of the user's epochs; whether that session
still stands is asked elsewhere. Two secrets verify, so that one can be exchanged without signing anyone out.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import jwt
import msgspec

from stakehold.domain.errors import AuthenticationError
from stakehold.domain.ports import Clock, Entropy

ALGORITHM: Final = "HS256"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type (RFC 9068, section 2.1)
MAX_TTL_S: Final = 900
"""The longest an access token lives. How long a revoked session is remembered depends on it."""

MAX_TOKEN_CHARACTERS: Final = 2048
LEEWAY_S: Final = 30
"""How far the clock of the process that made a token may be ahead of ours. An expiry gets none."""

VERIFIED_TOKENS_MAX: Final = 16_384
"""Some 1 KB each. Verifying one anew costs as much as the rest of a cached read."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `expires_at_s` counts from the Unix epoch; `sub` is the user's id.

    `scope` is what the user could do beyond their own affairs when the token was made; '' is nothing.
    """

    user_id: UUID
    session_id: str
    epoch: int
    expires_at_s: int
    sub: str
    scope: str = ""


_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token's claims, required but for `scope` (RFC 9068, section 2.2.3), which few users have.

    Others are ignored, so that processes of two versions run together.
    """

    iss: str
    aud: str
    sub: str
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    sid: str
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    scope: str = ""


class AccessTokens:
    """Makes access tokens, and verifies them.

    The UTF-8 bytes of `secret` are the key that signs; `previous_secret` still verifies.
    """

    def __init__(
        self,
        *,
        secret: str,
        previous_secret: str | None,
        clock: Clock,
        entropy: Entropy,
        ttl_s: int = MAX_TTL_S,
        issuer: str = "stakehold",
        audience: str = "stakehold",
    ) -> None:
        if not 0 < ttl_s <= MAX_TTL_S:
            raise ValueError(f"An access token lives 1 to {MAX_TTL_S} seconds.")
        self.ttl_s = ttl_s
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._audience = audience
        self._key = secret.encode()
        self._headers = {"typ": TOKEN_TYPE, "kid": key_id(self._key)}
        keys = [self._key] if previous_secret is None else [self._key, previous_secret.encode()]
        self._key_by_header = {_header_segment(key): key for key in keys}
        self._signatures = jwt.PyJWS(algorithms=[ALGORITHM])
        self._verified: dict[str, Claims] = {}

    def issue(self, user_id: UUID, session_id: UUID, epoch: int, scope: str = "") -> str:
        """A new token for the session of a user who has `scope` under this epoch."""
        now_s = self._clock.now_ms() // 1000
        payload = _Payload(
            iss=self._issuer,
            aud=self._audience,
            sub=str(user_id),
            iat=now_s,
            nbf=now_s,
            exp=now_s + self.ttl_s,
            jti=_base64url(self._entropy.random_bytes(16)),
            sid=str(session_id),
            epoch=epoch,
            scope=scope,
        )
        return self._signatures.encode(msgspec.json.encode(payload), self._key, ALGORITHM, self._headers)

    def verify(self, token: str) -> Claims:
        """What `token` says, if it is one of ours and good now.

        Raises AuthenticationError: `token_expired` for one that was good once, else `invalid_token`.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._read(token)
            self._remember(token, claims)
        if self._clock.now_ms() >= claims.expires_at_s * 1000:
            self._verified.pop(token, None)
            raise AuthenticationError("The access token has expired.", code="token_expired")
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        """Keep a verified token; when the table is full, the one kept longest goes."""
        if len(self._verified) >= VERIFIED_TOKENS_MAX:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = claims

    def _read(self, token: str) -> Claims:
        """The claims of a token with a good signature, its expiry not yet looked at."""
        # PyJWT takes padded segments; we do not, so that a token has one spelling.
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii() or "=" in token:
            raise _invalid()
        # Our own headers, to the byte: there is no other algorithm, type, key, or parameter to be fooled by,
        # and nothing of an unsigned header is ever parsed.
        key = self._key_by_header.get(token.partition(".")[0])
        if key is None:
            raise _invalid()
        try:
            signed = self._signatures.decode(token, key, algorithms=[ALGORITHM])
            payload = msgspec.json.decode(signed, type=_Payload)
        except (jwt.InvalidTokenError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _invalid() from None
        return self._check(payload)

    def _check(self, payload: _Payload) -> Claims:
        if payload.iss != self._issuer or payload.aud != self._audience:
            raise _invalid()
        latest_s = self._clock.now_ms() // 1000 + LEEWAY_S
        if payload.iat > latest_s or payload.nbf > latest_s or not 0 < payload.exp - payload.iat <= MAX_TTL_S:
            raise _invalid()
        return Claims(
            user_id=_canonical_uuid(payload.sub),
            session_id=str(_canonical_uuid(payload.sid)),
            epoch=payload.epoch,
            expires_at_s=payload.exp,
            sub=payload.sub,
            scope=payload.scope,
        )


def key_id(key: bytes) -> str:
    """The `kid` of a key: says which it is, and nothing about it that a signature does not."""
    return _base64url(hmac.digest(key, b"stakehold kid", hashlib.sha256)[:9])


def _header_segment(key: bytes) -> str:
    """The first segment of every token signed with `key`."""
    headers = {"typ": TOKEN_TYPE, "kid": key_id(key)}
    return jwt.PyJWS(algorithms=[ALGORITHM]).encode(b"", key, ALGORITHM, headers).partition(".")[0]


def _canonical_uuid(text: str) -> UUID:
    try:
        identifier = UUID(text)
    except ValueError:
        raise _invalid() from None
    if str(identifier) != text:
        raise _invalid()
    return identifier


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _invalid() -> AuthenticationError:
    return AuthenticationError("The access token is not valid.", code="invalid_token")
