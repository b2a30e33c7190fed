"""Months are added to a day as people do it, with the day clamped to the month's end; days are counted."""

from calendar import isleap, monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.calendar import add_months, days_in_leap_years, fewest_days

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


@given(DAYS, st.integers(0, 1500))
def test_days_are_counted_in_the_year_they_lie_in(first: date, days: int) -> None:
    """One by one, the days of leap years are as many as are counted; the end itself is not among them."""
    end = first + timedelta(days)
    counted = sum(isleap((first + timedelta(number)).year) for number in range(days))
    assert days_in_leap_years(first, end) == counted


def test_leap_days_of_centuries() -> None:
    """2000 is a leap year and 2100 is none; the last day there is, is no obstacle."""
    assert days_in_leap_years(date(2000, 1, 1), date(2001, 1, 1)) == 366
    assert days_in_leap_years(date(2100, 1, 1), date(2101, 1, 1)) == 0
    assert days_in_leap_years(date(1999, 12, 31), date(2100, 12, 31)) == 25 * 366
    assert days_in_leap_years(date.min, date.max) == 2424 * 366


@pytest.mark.parametrize(
    ("months", "days"), [(1, 28), (2, 59), (3, 89), (6, 181), (12, 365), (48, 1460), (1200, 36_524)]
)
def test_the_shortest_of_so_many_months(months: int, days: int) -> None:
    """One month has at least 28 days; four years around 2100 have 1460."""
    assert fewest_days(months) == days


@given(DAYS, MONTHS)
def test_no_start_makes_months_shorter(day: date, months: int) -> None:
    """Not one at a month's end either, from where days are cut off."""
    assert (add_months(day, months) - day).days >= fewest_days(months)
