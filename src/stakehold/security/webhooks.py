"""Signing what is sent to a webhook: Standard Webhooks 1.0 (standardwebhooks.com), symmetric scheme `v1`.

The receiver knows the secret, and by it that a message is ours, whole and of now.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64

_DISTINCT_BYTES_MIN: Final = 12
_HOW_TO_MAKE_ONE: Final = (
    "Make one with: python3 -c \"import base64, secrets; print('whsec_' + "
    'base64.b64encode(secrets.token_bytes(32)).decode())"'
)

# SHA-256 of the keys that the specification and its libraries have as examples.
_PUBLISHED: Final = frozenset(
    {
        "f74e1720b76148810ffaeb4dc46a600cfa2fc3720e96da67a85a3dcb3f14c7a3",
        "640bcf020faf995ff89f2cda6aa82e743433a27ac4da83349643b355e59b1d49",
    }
)


class WebhookSigner:
    """Signs with one secret, or with two while receivers change from one to the other."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        """The keys as `webhook_key` reads them, the current one first. Raises ValueError without any."""
        if not keys:
            raise ValueError("There is no key to sign with.")
        self._keys = keys

    def __repr__(self) -> str:
        return f"WebhookSigner({len(self._keys)} keys)"

    def headers(self, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """The three headers of an attempt made at `timestamp_s`, in seconds since the Unix epoch.

        `message_id` is the same at every attempt, and has no `.` in it.
        """
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        signatures = (hmac.digest(key, signed, hashlib.sha256) for key in self._keys)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(
                "v1," + base64.b64encode(signature).decode() for signature in signatures
            ),
        }


def webhook_key(secret: str) -> bytes:
    """The key in a secret as it is handed out: `whsec_` and base64 of 24 to 64 bytes.

    Raises ValueError, saying what to do and nothing of the secret.
    """
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if encoded == secret or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"This is no {SECRET_PREFIX} and base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes. "
            + _HOW_TO_MAKE_ONE
        )
    return key


def check_webhook_key(key: bytes) -> None:
    """Raise ValueError, saying what to do, unless `key` was drawn at random and is nobody else's."""
    if hashlib.sha256(key).hexdigest() in _PUBLISHED:
        raise ValueError(f"The secret is one from an example, which everybody knows. {_HOW_TO_MAKE_ONE}")
    # Of 24 random bytes these are true less than once in 10**10.
    if len(set(key)) < _DISTINCT_BYTES_MIN or all(0x20 <= byte < 0x7F for byte in key):
        raise ValueError(f"The secret was not drawn at random. {_HOW_TO_MAKE_ONE}")
