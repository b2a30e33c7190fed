"""Accounts: what a username and a password may be, and whether a session still stands."""

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from stakehold.domain.common_passwords import COMMON_PASSWORDS

USERNAME_CHARACTERS_MIN = 3
USERNAME_CHARACTERS_MAX = 64
NEW_PASSWORD_CHARACTERS_MIN = 8
NEW_PASSWORD_CHARACTERS_MAX = 128
PASSWORD_CHARACTERS_MAX = 1024
"""At sign-in, before normalisation: bounds the work, and tells nothing about anyone's password."""

Scope = Literal["", "admin"]
"""What a user may do beyond their own affairs: nothing, or what operators do."""

ADMIN: Final = "admin"

_PUNCTUATION = frozenset("._-+@")
# Letters and marks that show nothing, so that two names would look alike (Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt, those of the categories admitted below).
_INVISIBLE = frozenset(
    chr(code)
    for codes in (
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
    for code in codes
)


@dataclass(frozen=True, slots=True)
class UserState:
    """What decides whether a user's access tokens are good.

    `revoked_sessions` holds the ids of those revoked within the life of an access token.
    """

    status: Literal["active", "disabled"]
    epoch: int
    revoked_sessions: frozenset[str]

    def refuses(self, epoch: int, session_id: str) -> bool:
        """Whether a token of this session, made under `epoch`, is no longer good.

        A later epoch than this state's is good: the token was made after the state was read.
        """
        return self.status != "active" or epoch < self.epoch or session_id in self.revoked_sessions


def normalise_username(raw: str) -> str:
    """The one spelling of a username: NFKC, case-folded; normalising it again changes nothing.

    Letters, marks and digits of any script and ". _ - + @", beginning with a letter or digit, 3 to 64
    characters as written and as normalised. Raises ValueError, with a message for the user.
    """
    # Before normalisation too, which can make one character eighteen.
    _check_username_length(raw)
    name = _fold(raw)
    _check_username_length(name)
    if not _may_begin(name[0]):
        raise ValueError("A username begins with a letter or a digit.")
    if not all(_may_follow(character) for character in name):
        raise ValueError("A username has letters, digits and . _ - + @ only.")
    return name


def normalise_password(raw: str) -> str:
    """The password as it is hashed: NFKC, so that every keyboard's spelling of it is the same.

    For sign-in, where no rule but size applies. Raises ValueError, with a message for the user.
    """
    if not 1 <= len(raw) <= PASSWORD_CHARACTERS_MAX:
        raise ValueError(f"A password has 1 to {PASSWORD_CHARACTERS_MAX} characters.")
    if any(unicodedata.category(character) == "Cs" for character in raw):
        raise ValueError("The password is not valid Unicode.")
    return unicodedata.normalize("NFKC", raw)


def check_new_password(password: str, username: str) -> str:
    """A new password in the form it is hashed in. Raises ValueError, with a message for the user.

    8 to 128 characters as written and as normalised, not among the commonest, not the username. Characters
    this Python's Unicode does not know are refused: a later version may normalise them otherwise, and the
    password would be lost.
    """
    normal = normalise_password(password)
    # One character can be eighteen when normalised, and is still as easily guessed as one.
    shortest, longest = sorted((len(password), len(normal)))
    if shortest < NEW_PASSWORD_CHARACTERS_MIN or longest > NEW_PASSWORD_CHARACTERS_MAX:
        raise ValueError(
            f"A password has {NEW_PASSWORD_CHARACTERS_MIN} to {NEW_PASSWORD_CHARACTERS_MAX} characters."
        )
    if any(unicodedata.category(character) == "Cn" for character in normal):
        raise ValueError("The password has a character that is not known here.")
    folded = _fold(normal)
    if folded in COMMON_PASSWORDS:
        raise ValueError("This password is one of the commonest; choose another.")
    if folded == _fold(username):
        raise ValueError("The password is the username; choose another.")
    return normal


def _check_username_length(text: str) -> None:
    if not USERNAME_CHARACTERS_MIN <= len(text) <= USERNAME_CHARACTERS_MAX:
        raise ValueError(f"A username has {USERNAME_CHARACTERS_MIN} to {USERNAME_CHARACTERS_MAX} characters.")


def _fold(text: str) -> str:
    """NFKC and case folding, in the order that leaves nothing to change a second time."""
    # Folding before the first NFKC would leave some marks in an order that the last one composes otherwise.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _may_begin(character: str) -> bool:
    category = unicodedata.category(character)
    return (category[0] == "L" or category == "Nd") and character not in _INVISIBLE


def _may_follow(character: str) -> bool:
    is_mark = unicodedata.category(character) in ("Mn", "Mc") and character not in _INVISIBLE
    return is_mark or character in _PUNCTUATION or _may_begin(character)
