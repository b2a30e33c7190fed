"""What a stake earns: one closed formula over whole numbers, rounded down once.

An amount earns simple interest on each day of [value_date, maturity_date), in UTC. After n of those days it
has accrued, in minor units,

    ACT/365F    floor(W * n / (10^6 * 365))
    ACT/ACT     floor(W * (c * 366 + l * 365) / (10^6 * 365 * 366))

W is the yearly weight: of each band the part of the amount that lies in it, times its rate in ppm, summed.
c and l are how many of the n days lie in common years and in leap years. The conventions are Actual/365
(Fixed) and Actual/Actual (ISDA) of the 2006 ISDA Definitions, sections 4.16(d) and 4.16(b).

What a stretch of time earns is the difference between what has accrued at its end and at its beginning, so
parts sum to the whole however time is cut. Rounding each part by itself would lose units.
"""

from dataclasses import dataclass
from datetime import date

from stakehold.domain.calendar import days_in_leap_years
from stakehold.domain.plans import PPM, Plan

_COMMON_YEAR_DAYS = 365
_LEAP_YEAR_DAYS = 366


@dataclass(frozen=True, slots=True)
class Trace:
    """What has accrued, with all that it takes to compute it again by hand.

    `accrued_minor` is `numerator` / `denominator` rounded down; the module says how those come from the days
    and the yearly weight. The fraction is not reduced.
    """

    days: int
    days_in_common_years: int
    days_in_leap_years: int
    yearly_weight: int
    numerator: int
    denominator: int
    accrued_minor: int


def yearly_weight(plan: Plan, amount_minor: int) -> int:
    """What an amount earns in a year, in millionths of minor units."""
    ends_minor = [band.from_minor for band in plan.bands[1:]] + [amount_minor]
    return sum(
        max(0, min(amount_minor, end_minor) - band.from_minor) * band.rate_ppm
        for band, end_minor in zip(plan.bands, ends_minor, strict=True)
    )


def trace(plan: Plan, amount_minor: int, value_date: date, maturity_date: date, day: date) -> Trace:
    """What an amount has accrued when `day` begins, and how that comes about.

    It is nothing on the value date and before, and on the maturity date and later the whole reward.
    """
    day = max(value_date, min(day, maturity_date))
    days = (day - value_date).days
    leap = days_in_leap_years(value_date, day)
    common = days - leap
    weight = yearly_weight(plan, amount_minor)
    if plan.day_count == "ACT/365F":
        numerator = weight * days
        denominator = PPM * _COMMON_YEAR_DAYS
    else:
        numerator = weight * (common * _LEAP_YEAR_DAYS + leap * _COMMON_YEAR_DAYS)
        denominator = PPM * _COMMON_YEAR_DAYS * _LEAP_YEAR_DAYS
    return Trace(days, common, leap, weight, numerator, denominator, numerator // denominator)


def accrued_minor(plan: Plan, amount_minor: int, value_date: date, maturity_date: date, day: date) -> int:
    """What an amount has accrued when `day` begins, in minor units; `trace` says how."""
    return trace(plan, amount_minor, value_date, maturity_date, day).accrued_minor
