"""Rewards over time: what a stake has earned, was paid and has forfeited on the days of any range.

What it earned on [start, end) is what it had accrued at the end without what it had at the beginning, so
ranges that follow on one another add up to the whole, to the unit. It earns until its maturity, or until the
day on which its owner leaves or cancels it; what it forfeits counts on that day, and what is paid on the day
that it is paid. So of a stake that has ended, earned without forfeited is paid.
"""

from dataclasses import dataclass
from datetime import date

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import utc_date


@dataclass(frozen=True, slots=True)
class Days:
    """The days of [start, end). `start` is not after `end`."""

    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end


@dataclass(frozen=True, slots=True)
class Rewards:
    """Amounts of one asset, in minor units."""

    earned_minor: int = 0
    paid_minor: int = 0
    forfeited_minor: int = 0

    def __add__(self, other: "Rewards") -> "Rewards":
        return Rewards(
            self.earned_minor + other.earned_minor,
            self.paid_minor + other.paid_minor,
            self.forfeited_minor + other.forfeited_minor,
        )


def rewards_of(stake: Stake, days: Days, today: date) -> Rewards:
    """The rewards of a stake on `days`, as far as they are known when `today` begins.

    A day earns when it is over: of today and later nothing has been earned yet.
    """
    is_paid = stake.ended_at_ms is not None and utc_date(stake.ended_at_ms) in days
    is_forfeited = stake.exited_on is not None and stake.exited_on in days
    return Rewards(
        earned_minor=_earned_before(stake, days.end, today) - _earned_before(stake, days.start, today),
        paid_minor=(stake.reward_minor or 0) if is_paid else 0,
        forfeited_minor=(stake.forfeited_minor or 0) if is_forfeited else 0,
    )


def _earned_before(stake: Stake, day: date, today: date) -> int:
    last = min(day, stake.earned_until(today))
    return accrued_minor(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, last)
