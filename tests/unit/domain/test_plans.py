"""A plan's rate is written as people compute with it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.plans import format_rate, parse_rate


@pytest.mark.parametrize(
    ("rate_ppm", "text"),
    [(120_000, "0.12"), (80_000, "0.08"), (0, "0"), (1, "0.000001"), (1_000_000, "1"), (1_500_000, "1.5")],
)
def test_a_rate_is_a_fraction_a_year(rate_ppm: int, text: str) -> None:
    """12 % is "0.12"."""
    assert format_rate(rate_ppm) == text


@given(st.integers(0, 10**9))
def test_a_rate_is_written_exactly(rate_ppm: int) -> None:
    """The text is the rate, with nothing rounded."""
    assert Fraction(format_rate(rate_ppm)) == Fraction(rate_ppm, 10**6)


@given(st.integers(0, 10**9))
def test_a_rate_is_read_as_it_is_written(rate_ppm: int) -> None:
    """What is written of a rate is the rate again."""
    assert parse_rate(format_rate(rate_ppm)) == rate_ppm


@pytest.mark.parametrize("text", ["", "-0.1", "12 %", "0.0000001", "0,12", "NaN", "٣", '"0.1"x'])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Nothing is rounded, and nothing guessed at."""
    with pytest.raises(ValueError, match="no rate"):
        parse_rate(text)
