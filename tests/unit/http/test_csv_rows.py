"""Statements for spreadsheets: text stays text, whichever separator is expected."""

import csv
import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakehold.http.csv_rows import encode_rows, text_cell

FORMULA = "=+-@＝＋－＠\t"
SEPARATORS = ",;|"
STRIPPED = ' "\r\n\u00a0\u200b\ufeff'
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

# What begins formulas and cells comes often, and anything else, too.
TEXTS = st.lists(
    st.sampled_from(FORMULA)
    | st.sampled_from(SEPARATORS)
    | st.sampled_from(STRIPPED)
    | st.characters(codec="utf-8"),
    max_size=12,
).map("".join)


def _read(text: bytes, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline=""), delimiter=separator))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Wire 4711 - second try, +5 % @home", "Wire 4711 - second try, '+5 % @home"),
        ('say "a", "b"; c|d', 'say "a", "b"; c|d'),
        ("=1+1", "'=1+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("＝1", "'＝1"), ("＋1", "'＋1"), ("－1", "'－1"), ("＠x", "'＠x"),
        ("\n=1", " '=1"), ("\r=1", " '=1"), ("\t=1", " '=1"), (" =1", " '=1"), ("\ufeff=1", "\ufeff'=1"),
        ("a\n=1", "a =1"), ("a\r\nb\tc\0d\x85e\u2028f", "a  b c d e f"),
        ("x;=1+1", "x;'=1+1"), ("x,=1", "x,'=1"), ("x|=1", "x|'=1"), ("x\t=1", "x =1"),
        ('x; "=1', "x; \"'=1"), (";;=1;-2", ";;'=1;'-2"), ("=1;＝2", "'=1;'＝2"),
    ],
)  # fmt: skip
def test_what_might_run_has_an_apostrophe(text: str, read: str) -> None:
    """At the beginning, and behind each separator; line breaks and control characters are blanks."""
    assert _read(encode_rows([["1", text_cell(text), "-0.5"]]), ",") == [["1", read, "-0.5"]]


def test_what_shows_nothing_hides_no_formula() -> None:
    """Every character of Unicode's category Cf, and others without width or ink."""
    formats = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) == "Cf"]
    for character in (*formats, *"\u034f\u115f\u2800\u3164\ufe0f\uffa0", "\U000e0fff"):
        assert text_cell(f"{character}=1;{character}{character}@x") == (
            f"\"{character}'=1;{character}{character}'@x\""
        ), hex(ord(character))


@settings(max_examples=300)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), separator=st.sampled_from(SEPARATORS + "\t"))
def test_no_cell_begins_a_formula(texts: list[str], separator: str) -> None:
    """Whichever separator a spreadsheet takes, unless the cell is a plain number; stripped or not."""
    rows = [[str(number), text_cell(text), "-0.5", text_cell(text)] for number, text in enumerate(texts)]
    for row in _read(encode_rows(rows), separator):
        for cell in row:
            begins = cell.lstrip(STRIPPED)
            assert not begins.startswith(tuple(FORMULA)) or NUMBER.fullmatch(begins), (row, cell)


@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_a_text_is_one_cell_of_one_line(texts: list[str]) -> None:
    """By RFC 4180 there are as many rows and cells as were written, and no more lines."""
    encoded = encode_rows([text_cell(text), "7"] for text in texts)
    assert [row[1:] for row in _read(encoded, ",")] == [["7"]] * len(texts)
    assert len(encoded.decode().splitlines()) == len(texts)
