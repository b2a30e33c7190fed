"""Arithmetic on dates. All dates are UTC."""

from calendar import isleap, leapdays, monthrange
from datetime import date
from functools import lru_cache


def add_months(day: date, months: int) -> date:
    """The same day of the month `months` later, or that month's last day if it has no such day.

    Add to the day something began, never to an earlier result, or the day drifts: from 31 January by way of
    28 February to 28 March.
    """
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def days_in_leap_years(first: date, end: date) -> int:
    """How many days of [first, end) lie in leap years."""
    return _days_in_leap_years_before(end) - _days_in_leap_years_before(first)


def _days_in_leap_years_before(day: date) -> int:
    of_its_year = (day - date(day.year, 1, 1)).days if isleap(day.year) else 0
    return leapdays(1, day.year) * 366 + of_its_year


@lru_cache(maxsize=64)
def fewest_days(months: int) -> int:
    """The least number of days that `months` last, whatever day they are added to.

    From a month's first day they last as long as from the last of the month before, and no longer than from
    the days in between: so the first days of a calendar cycle, 400 years, are all there are to look at.
    """
    firsts = (date(2000 + years, month, 1) for years in range(400) for month in range(1, 13))
    return min((add_months(first, months) - first).days for first in firsts)
