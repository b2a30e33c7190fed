"""An amount is read exactly or refused, and written in one way."""

import re
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.money import MAX_AMOUNT_DIGITS, format_amount, parse_amount_minor

SCALES = st.integers(0, 18)
AMOUNTS = st.integers(1, 10**38 - 1)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@pytest.mark.parametrize(
    ("token", "amount_minor"),
    [
        (b"1000", 100_000_000_000),
        (b'"1000"', 100_000_000_000),
        (b"1000.10", 100_010_000_000),
        (b"1e3", 100_000_000_000),
        (b"1E+3", 100_000_000_000),
        (b"1e-8", 1),
        (b'"1e-8"', 1),
        (b"0.00000001", 1),
        (b"1.000000000", 100_000_000),
        (b"10e-9", 1),
        (b"0.0000000001e2", 1),
        (b"0.3", 30_000_000),
        (b"1000000000000000000000000000000e-38", 1),
        (b"999999999999999999999999999999.99999999", 10**38 - 1),
    ],
)
def test_an_exact_amount_is_read(token: bytes, amount_minor: int) -> None:
    """Numbers and strings, with zeros and exponents that lose nothing, in minor units of scale 8."""
    assert parse_amount_minor(token, 8) == amount_minor


@pytest.mark.parametrize(
    "text",
    [
        "0", "0.0", "0e5", "0e999", "-1", "-0", "-0.0", "-1e-8", "NaN", "nan", "Infinity", "-Infinity",
        "1e400", "1e999", "1e-400", "1e9999", "1e99999999999", "1e-99999999999", "٣", "１", "1,000",
        "1.000,00", "1'000", "1_000", " 5", "5 ", "5\n", "\t5", "+1", "01", "00", "00.1", ".5", "5.",
        "5.e1", "1e", "e1", "1e1.5", "1.5.5", "0x10", "1n", "1d", "$1", "1 000", "true", "false", "null",
        "{}", "[]", "[1]", '{"a":1}', "", "--1", "1-", "½", "²", "\\u0031", "0.123456789", "1e-9",
        "0.30000000000000004", "1000000000000000000000000000000", "1e30",
        "100000000000000000000000000000000000000", "1" * 65, "0." + "0" * 63 + "1", "1\x00", "1\u200b",
        "\u22121", "1." + "0" * 63,
    ],
)  # fmt: skip
@pytest.mark.parametrize("quoted", [False, True])
def test_anything_else_is_refused(text: str, quoted: bool) -> None:
    """Not positive, not finite, not exact at scale 8, too long, or not of the grammar: refused, in words."""
    token = f'"{text}"' if quoted else text
    with pytest.raises(ValueError, match="An amount") as caught:
        parse_amount_minor(token.encode(), 8)
    assert len(str(caught.value)) < 80


@pytest.mark.parametrize(
    "token", [b'"', b'""', b'"1', b'1"', b'""1""', b"'1'", b'"\\"1\\""', b"\xff", b'"\xff"']
)
def test_broken_quotes_and_bytes_are_refused(token: bytes) -> None:
    """One pair of quotes or none."""
    with pytest.raises(ValueError, match="An amount"):
        parse_amount_minor(token, 8)


def test_a_sum_made_of_floats_is_refused_not_rounded() -> None:
    """0.1 + 0.2 as a float is not 0.3, and is not taken for it."""
    assert repr(0.1 + 0.2) == "0.30000000000000004"
    with pytest.raises(ValueError, match="at most 8 decimal places"):
        parse_amount_minor(repr(0.1 + 0.2).encode(), 8)
    assert parse_amount_minor(repr(0.1 + 0.2).encode(), 17) == 30_000_000_000_000_004


@given(NUMBERS, SCALES, st.booleans())
def test_what_is_read_is_exactly_what_was_written(text: str, scale: int, quoted: bool) -> None:
    """By exact fractions: read if positive, whole in minor units and of at most 38 digits; else refused."""
    token = (f'"{text}"' if quoted else text).encode()
    exact = Fraction(text) * 10**scale
    acceptable = exact > 0 and exact.denominator == 1 and exact < 10**MAX_AMOUNT_DIGITS and len(text) <= 64
    try:
        amount_minor = parse_amount_minor(token, scale)
    except ValueError:
        assert not acceptable
    else:
        assert acceptable
        assert amount_minor == exact


@given(AMOUNTS, SCALES)
def test_writing_and_reading_give_the_amount_back(amount_minor: int, scale: int) -> None:
    """Every amount survives the way out and in, as a number and as a string."""
    text = format_amount(amount_minor, scale)
    assert parse_amount_minor(text.encode(), scale) == amount_minor
    assert parse_amount_minor(f'"{text}"'.encode(), scale) == amount_minor
    assert Fraction(text) * 10**scale == amount_minor


@given(st.just(0) | AMOUNTS, SCALES)
def test_an_amount_is_written_in_canonical_form(amount_minor: int, scale: int) -> None:
    """No exponent, no leading zeros but the one, no zeros at the end of a fraction, no point without one."""
    assert re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", format_amount(amount_minor, scale))


@pytest.mark.parametrize(
    ("amount_minor", "scale", "text"),
    [
        (100_010_000_000, 8, "1000.1"),
        (100_000_000_000, 8, "1000"),
        (1, 8, "0.00000001"),
        (0, 8, "0"),
        (100, 0, "100"),
        (10**38 - 1, 18, "99999999999999999999.999999999999999999"),
    ],
)
def test_amounts_are_written_as_people_write_them(amount_minor: int, scale: int, text: str) -> None:
    """Examples of the canonical form."""
    assert format_amount(amount_minor, scale) == text


@pytest.mark.parametrize("text", ["1e999", "0." + "0" * 60 + "1e999", "9" * 60 + "e999", "1" + "0" * 63])
def test_a_huge_exponent_builds_no_huge_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by its size alone: nothing longer than the text is converted to a number."""
    converted: list[object] = []

    def recording_int(value: bytes | int) -> int:
        converted.append(value)
        return int(value)

    monkeypatch.setattr(sys.modules["stakehold.domain.money"], "int", recording_int, raising=False)
    with pytest.raises(ValueError, match="An amount"):
        parse_amount_minor(text.encode(), 8)
    assert all(value == 0 or (isinstance(value, bytes) and len(value) <= 4) for value in converted)


@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail_otherwise(token: bytes) -> None:
    """Whatever the token, it is an amount in range or a ValueError."""
    try:
        amount_minor = parse_amount_minor(token, 8)
    except ValueError:
        return
    assert 0 < amount_minor < 10**38
