"""CSV (RFC 4180) whose text no spreadsheet runs as a formula, whichever separator it expects."""

import re
from collections.abc import Iterable, Sequence

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Unicode's Default_Ignorable_Code_Point and the others of its category Cf, and braille without a dot. They
# are listed since Pythons differ in the Unicode that they know.
_SHOWS_NOTHING = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)

# Spreadsheets take full-width signs for formulas too. Blanks, quotes and what shows nothing may be stripped
# from the beginning of a cell; and one that expects another separator than ours begins cells within a text.
_BEGINS_A_FORMULA = re.compile(rf"""((?:^|[;,|])[\s"{_SHOWS_NOTHING}]*)(?=[=+\-@＝＋－＠])""")


def text_cell(text: str) -> str:
    """A cell of text, in quotes, on one line. Whatever might begin a formula has an apostrophe before it."""
    safe = _BEGINS_A_FORMULA.sub(r"\1'", _BREAKS.sub(" ", text))
    return '"' + safe.replace('"', '""') + '"'


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells: `text_cell`s, and words and numbers of ours, which stand as they are."""
    return "".join(",".join(row) + "\r\n" for row in rows).encode()
