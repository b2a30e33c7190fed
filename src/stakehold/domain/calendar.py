"""Arithmetic on dates. All dates are UTC."""

from calendar import monthrange
from datetime import date


def add_months(day: date, months: int) -> date:
    """The same day of the month `months` later, or that month's last day if it has no such day.

    Add to the day something began, never to an earlier result, or the day drifts: from 31 January by way of
    28 February to 28 March.
    """
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
