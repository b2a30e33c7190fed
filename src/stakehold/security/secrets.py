"""Whether the secret that signs tokens is one that nobody can guess."""

from typing import Final

MIN_SECRET_BYTES: Final = 32
"""As long as the hash it keys (RFC 7518, section 3.2)."""

_MIN_DISTINCT_CHARACTERS: Final = 12
_HOW_TO_MAKE_ONE: Final = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'

# Secrets of documentation and templates, long enough to pass otherwise; letters and digits alone, lower case.
_PUBLISHED: Final = frozenset(
    {
        "astringsecretatleast256bitslong",
        "yoursupersecretjwttokenwithatleast32characterslong",
        "supersecretjwttokenwithatleast32characterslong",
        "thisisaverysecurejwtsecretthatshouldbechanged",
        "mysupersecretkeythatisatleast32characterslong",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "00112233445566778899aabbccddeeff",
        "abcdefghijklmnopqrstuvwxyz123456",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "12345678901234567890123456789012",
        "keyboardcatkeyboardcatkeyboardcat",
    }
)

# What only an example says.
_MARKERS: Final = (
    "changeme",
    "changethis",
    "replaceme",
    "yoursecret",
    "yourjwtsecret",
    "supersecret",
    "256bitsecret",
    "example",
)


def check_jwt_secret(secret: str) -> None:
    """Raise ValueError, saying what to do, if `secret` must not sign tokens.

    That is one of fewer than 32 UTF-8 bytes, one published as an example, one character or a short text
    repeated, or a key of another kind.
    """
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"The secret has fewer than {MIN_SECRET_BYTES} bytes. {_HOW_TO_MAKE_ONE}")
    letters = "".join(character for character in secret.lower() if character.isalnum())
    if letters in _PUBLISHED or any(marker in letters for marker in _MARKERS):
        raise ValueError(f"The secret is one from an example, which everybody knows. {_HOW_TO_MAKE_ONE}")
    if _is_repetition(secret):
        raise ValueError(f"The secret is one character or a short text repeated. {_HOW_TO_MAKE_ONE}")
    # PyJWT refuses these for HS256, since a public key that signs would let anyone sign (RFC 8725, 2.1).
    if "-----BEGIN " in secret or secret.startswith("ssh-"):
        raise ValueError(f"The secret is a key of another kind. {_HOW_TO_MAKE_ONE}")


def _is_repetition(secret: str) -> bool:
    """Whether the secret is one text twice or more, perhaps cut short at the end."""
    return any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1))


def secret_warnings(secret: str) -> list[str]:
    """What an operator should know about a secret that `check_jwt_secret` accepts, a sentence each."""
    warnings = []
    if secret != secret.strip():
        warnings.append("The secret begins or ends with white space, which is part of the key.")
    if len(set(secret)) < _MIN_DISTINCT_CHARACTERS:
        warnings.append(f"The secret has few different characters. {_HOW_TO_MAKE_ONE}")
    if secret.isalpha() or secret.isdecimal():
        warnings.append(f"The secret looks typed by hand, not drawn at random. {_HOW_TO_MAKE_ONE}")
    return warnings
