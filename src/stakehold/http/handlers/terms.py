"""What plans and stakes have in common, as it is told."""

from datetime import date

from stakehold.domain.accrual import Trace, trace
from stakehold.domain.money import format_amount
from stakehold.domain.plans import Plan, format_rate
from stakehold.http.schemas import base


def rate_bands(plan: Plan) -> list[base.RateBand]:
    """The bands of a plan."""
    return [
        base.RateBand(from_amount=format_amount(band.from_minor, plan.scale), rate=format_rate(band.rate_ppm))
        for band in plan.bands
    ]


def trace_item(plan: Plan, amount_minor: int, value_date: date, maturity_date: date, day: date) -> base.Trace:
    """What an amount has accrued when `day` begins, to be computed again by its owner."""
    traced: Trace = trace(plan, amount_minor, value_date, maturity_date, day)
    return base.Trace(
        day_count=plan.day_count,
        from_day=value_date.isoformat(),
        to_day=max(value_date, min(day, maturity_date)).isoformat(),
        days=traced.days,
        days_in_common_years=traced.days_in_common_years,
        days_in_leap_years=traced.days_in_leap_years,
        scale=plan.scale,
        amount_minor=str(amount_minor),
        rate_bands=rate_bands(plan),
        yearly_weight=str(traced.yearly_weight),
        numerator=str(traced.numerator),
        denominator=str(traced.denominator),
        accrued_minor=str(traced.accrued_minor),
    )
