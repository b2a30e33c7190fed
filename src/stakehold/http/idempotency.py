"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07)."""

import re

from stakehold.domain.errors import FieldError, ValidationError

HEADER = b"idempotency-key"
KEY_LENGTH_MAX = 255

_LENGTH = f"{{1,{KEY_LENGTH_MAX}}}"
_BARE = rf"[A-Za-z0-9!#$%&'*+\-.^_`|~:/=@]{_LENGTH}"
_QUOTED = rf'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){_LENGTH})"'
KEY_PATTERN = f"^({_BARE}|{_QUOTED})$"
"""What the header may say, as JSON schema and Python's `re` both read it."""

_KEY = re.compile(KEY_PATTERN)


def read_idempotency_key(headers: dict[bytes, bytes]) -> str | None:
    """The key: a structured-field string (quoted), or the same characters bare. Raises ValidationError."""
    raw = headers.get(HEADER)
    if raw is None:
        return None
    text = raw.decode("latin-1").strip(" \t")
    if key := _KEY.fullmatch(text):
        return text if key[2] is None else re.sub(r"\\(.)", r"\1", key[2])
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
