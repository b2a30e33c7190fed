"""Reasons: what operators say of what they do. The ledger keeps them for ever, and statements show them."""

import re
from typing import Final

REASON_CHARACTERS_MAX: Final = 500

_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_BLANKS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

REASON_PATTERN: Final = f"^[^{_CONTROLS}]*[^{_CONTROLS}{_BLANKS}][^{_CONTROLS}]*$"
"""Some text without control characters, as JSON schema and Python's `re` both read it."""

_REASON = re.compile(REASON_PATTERN)


def check_reason(text: str) -> None:
    """Raise ValueError, with a message for the operator, unless `text` is a reason."""
    if len(text) > REASON_CHARACTERS_MAX or not _REASON.fullmatch(text):
        raise ValueError(
            f"A reason has 1 to {REASON_CHARACTERS_MAX} characters, none of them a control character,"
            " and not only blanks."
        )
