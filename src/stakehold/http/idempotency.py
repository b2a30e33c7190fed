"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07)."""

import re

from stakehold.domain.errors import FieldError, ValidationError

HEADER = b"idempotency-key"
KEY_LENGTH_MAX = 255

_BARE = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~:/=@]+")
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')


def read_idempotency_key(headers: dict[bytes, bytes]) -> str | None:
    """The key: a structured-field string (quoted), or the same characters bare. Raises ValidationError."""
    raw = headers.get(HEADER)
    if raw is None:
        return None
    text = raw.decode("latin-1").strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if (quoted or _BARE.fullmatch(text)) and len(key) <= KEY_LENGTH_MAX:
        return key
    raise ValidationError(
        "The Idempotency-Key is not valid.",
        fields=(
            FieldError(
                "Idempotency-Key",
                "invalid_key",
                f"A string in quotes, of 1 to {KEY_LENGTH_MAX} printable ASCII characters.",
            ),
        ),
    )
