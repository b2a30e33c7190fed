"""Months are added to a day as people do it, with the day clamped to the month's end."""

from calendar import monthrange
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.calendar import add_months

DAYS = st.dates(date(1970, 1, 1), date(2900, 12, 31))
MONTHS = st.integers(0, 240)


@pytest.mark.parametrize(
    ("start", "months", "maturity", "days"),
    [
        (date(2027, 1, 31), 1, date(2027, 2, 28), 28),
        (date(2028, 1, 31), 1, date(2028, 2, 29), 29),
        (date(2028, 2, 29), 12, date(2029, 2, 28), 365),
        (date(2027, 6, 15), 12, date(2028, 6, 15), 366),
        (date(2027, 12, 31), 2, date(2028, 2, 29), 60),
        (date(2027, 3, 31), 1, date(2027, 4, 30), 30),
        (date(2027, 12, 31), 12, date(2028, 12, 31), 366),
        (date(2099, 12, 31), 2, date(2100, 2, 28), 59),
    ],
)
def test_golden_vectors(start: date, months: int, maturity: date, days: int) -> None:
    """Month ends, leap days and the turn of years, worked out by hand."""
    assert add_months(start, months) == maturity
    assert (maturity - start).days == days


@given(DAYS, MONTHS)
def test_the_month_is_exact_and_the_day_is_kept_or_the_last(day: date, months: int) -> None:
    """The result lies exactly so many months on; its day is the start's, or its month's last."""
    result = add_months(day, months)
    assert (result.year - day.year) * 12 + result.month - day.month == months
    assert result.day == min(day.day, monthrange(result.year, result.month)[1])


@given(DAYS, DAYS, MONTHS)
def test_the_order_of_days_is_kept(one: date, other: date, months: int) -> None:
    """Who starts earlier never matures later."""
    earlier, later = sorted((one, other))
    assert add_months(earlier, months) <= add_months(later, months)


@given(DAYS, MONTHS)
def test_longer_terms_end_later(day: date, months: int) -> None:
    """One more month always ends later."""
    assert add_months(day, months) < add_months(day, months + 1)
