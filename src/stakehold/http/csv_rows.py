"""CSV (RFC 4180) whose text no spreadsheet runs as a formula, whichever separator it expects."""

import re
from collections.abc import Iterable, Sequence

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Spreadsheets take full-width signs for formulas too. Blanks, quotes and what shows nothing may be stripped
# from the beginning of a cell; and one that expects another separator than ours begins cells within a text.
_BEGINS_A_FORMULA = re.compile(
    r"""((?:^|[;,|])[\s"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*)(?=[=+\-@＝＋－＠])"""
)


def text_cell(text: str) -> str:
    """A cell of text, in quotes, on one line. Whatever might begin a formula has an apostrophe before it."""
    safe = _BEGINS_A_FORMULA.sub(r"\1'", _BREAKS.sub(" ", text))
    return '"' + safe.replace('"', '""') + '"'


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of cells: `text_cell`s, and words and numbers of ours, which stand as they are."""
    return "".join(",".join(row) + "\r\n" for row in rows).encode()
