"""Yearly returns are exact to the last place that is shown, for any amounts, and never fail."""

import re
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stakehold.domain.accrual import yearly_weight
from stakehold.domain.plans import Band
from stakehold.domain.returns import apr_percent, apy_percent
from tests.support.plans import make_plan

AMOUNTS = st.integers(1, 10**6) | st.integers(1, 10**38)
REWARDS = st.integers(0, 10**6) | st.integers(0, 10**43)
DAYS = st.integers(28, 800) | st.integers(28, 36_600)
FOUR_PLACES = re.compile(r"(0|[1-9][0-9]*)\.[0-9]{4}")


@pytest.mark.parametrize(
    ("amount_minor", "reward_minor", "days", "percent"),
    [
        (1000 * 10**8, 12_000_000_000, 365, "12.0000"),
        (1000 * 10**8, 12_032_876_712, 366, "11.9981"),
        (1000 * 10**8, 920_547_945, 28, "12.6878"),
        (1000 * 10**8, 1_972_602_739, 60, "12.6180"),
        (1000_00, 30_37, 182, "6.1837"),
        (1000_00, 61_68, 365, "6.1680"),
        (100, 21, 730, "10.0000"),
        (1, 0, 1, "0.0000"),
        (10**38, 1, 1, "0.0000"),
        (1, 1, 1, f"{2**365 * 100 - 100}.0000"),
    ],
)
def test_yields_of_known_stakes(amount_minor: int, reward_minor: int, days: int, percent: str) -> None:
    """The golden vectors at 12 %, two examples of Regulation DD (6.18 and 6.17 there, where places are two),
    21 % for two years, nothing at all, and doubling every day."""
    assert apy_percent(amount_minor, reward_minor, days) == percent


@pytest.mark.parametrize(
    ("base", "years", "percent"),
    [
        ((2_000_001, 2_000_000), 1, "0.0000"),
        ((2_000_003, 2_000_000), 1, "0.0002"),
        ((2_000_005, 2_000_000), 1, "0.0002"),
        ((2_000_001, 2_000_000), 2, "0.0000"),
        ((2_000_003, 2_000_000), 5, "0.0002"),
        ((2_240_001, 2_000_000), 6, "12.0000"),
        ((2_240_003, 2_000_000), 6, "12.0002"),
    ],
)
def test_what_lies_in_the_middle_goes_to_the_even_side(
    base: tuple[int, int], years: int, percent: str
) -> None:
    """Growth by (2000001 / 2000000) a year is 0.00005 % exactly; a unit more or less of reward decides."""
    amount_minor = base[1] ** years
    reward_minor = base[0] ** years - amount_minor
    assert apy_percent(amount_minor, reward_minor, 365 * years) == percent
    up = apy_percent(amount_minor * 10**9, reward_minor * 10**9 + 1, 365 * years)
    down = apy_percent(amount_minor * 10**9, reward_minor * 10**9 - 1, 365 * years)
    assert percent in (up, down)
    assert Decimal(up) - Decimal(down) == Decimal("0.0001")


@given(AMOUNTS, REWARDS, DAYS)
@example(1, 10**5, 1)
@example(10**38, 1, 36_600)
@example(2_000_000, 1, 365)
@settings(deadline=None)
def test_yields_are_right_to_the_last_place(amount_minor: int, reward_minor: int, days: int) -> None:
    """With hundreds of digits more, and another way to the power, the same four places come out."""
    found = apy_percent(amount_minor, reward_minor, days)
    assert FOUR_PLACES.fullmatch(found)
    with localcontext(Context(prec=200 + len(found))):
        logarithm = (Decimal(amount_minor + reward_minor) / Decimal(amount_minor)).ln()
        exact = ((logarithm * 365 / days).exp() - 1) * 100
        distance = abs(Decimal(found) - exact)
    assert distance <= Decimal("0.00005") * (1 + Decimal("1e-100"))


@given(AMOUNTS, REWARDS, st.integers(1, 400))
@example(1, 10**43, 1)
@settings(deadline=None)
def test_yields_are_right_by_whole_numbers_alone(amount_minor: int, reward_minor: int, days: int) -> None:
    """Half a last place to either side and both raised to `days`: the exact growth of 365 days in between."""
    units = int(Fraction(Decimal(apy_percent(amount_minor, reward_minor, days))) * 10**4)
    exact = Fraction(amount_minor + reward_minor, amount_minor) ** 365
    low, high = (Fraction(2 * (10**6 + units) + half, 2 * 10**6) ** days for half in (-1, 1))
    assert low <= exact <= high
    if exact in (low, high):
        assert units % 2 == 0


@given(AMOUNTS, st.integers(0, 10**43), DAYS)
@settings(deadline=None)
def test_yields_grow_with_the_reward(amount_minor: int, reward_minor: int, days: int) -> None:
    """One unit more is never less a year."""
    less = apy_percent(amount_minor, reward_minor, days)
    more = apy_percent(amount_minor, reward_minor + 1, days)
    with localcontext(Context(prec=20_000)):
        assert Decimal(less) <= Decimal(more)


def test_the_surrounding_precision_changes_nothing() -> None:
    """Who computes with 3 digits and rounds down gets the same yield from here."""
    with localcontext(Context(prec=3, rounding=ROUND_FLOOR)):
        assert apy_percent(1000 * 10**8, 920_547_945, 28) == "12.6878"
        assert apy_percent(2_000_000, 3, 365) == "0.0002"


@pytest.mark.parametrize(
    ("bands", "amount_minor", "percent"),
    [
        ((Band(0, 120_000),), 1, "12.0000"),
        ((Band(0, 0),), 10**38 - 1, "0.0000"),
        ((Band(0, 1_000_000_000),), 7, "100000.0000"),
        ((Band(0, 30_000), Band(1000, 50_000)), 1000, "3.0000"),
        ((Band(0, 30_000), Band(1000, 50_000)), 2000, "4.0000"),
        ((Band(0, 30_000), Band(1000, 50_000)), 3000, "4.3333"),
        ((Band(0, 0), Band(1, 1)), 2, "0.0000"),
        ((Band(0, 1), Band(1, 2)), 2, "0.0002"),
    ],
)
def test_simple_returns(bands: tuple[Band, ...], amount_minor: int, percent: str) -> None:
    """The rate itself where there is one, else the average; halves go to the even last place."""
    assert apr_percent(make_plan(bands=bands), amount_minor) == percent


@given(AMOUNTS, st.integers(1, 10**38), st.integers(0, 10**9), st.integers(0, 10**9))
def test_simple_returns_are_right_to_the_last_place(
    amount_minor: int, edge_minor: int, rate_ppm: int, more_ppm: int
) -> None:
    """By fractions: half a last place away from the exact average at most."""
    plan = make_plan(bands=(Band(0, rate_ppm), Band(edge_minor, more_ppm)))
    found = apr_percent(plan, amount_minor)
    assert FOUR_PLACES.fullmatch(found)
    exact = Fraction(yearly_weight(plan, amount_minor), amount_minor * 10**4)
    assert abs(Fraction(found) - exact) <= Fraction(1, 2 * 10**4)
