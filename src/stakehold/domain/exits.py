"""Leaving early: whether a stake may, and what it is then paid.

The principal always comes back whole. Of what has accrued by the formula the policy decides how much is paid:

    forfeit_all     nothing
    forfeit_part    all but the share `early_exit_ppm`
    reduced_rate    what the same days would have earned at the flat rate `early_exit_ppm`

Where a part is forfeited, it is the forfeited part that is rounded down: what is left over is the owner's.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.plans import PPM, Band, Plan

ExitRefusal = Literal["stake_matured", "early_exit_not_allowed", "minimum_hold"]

EXIT_TABLE_ROWS_MAX = 25


@dataclass(frozen=True, slots=True)
class Exit:
    """What leaving early comes to, in minor units. Reward and forfeited together are what had accrued."""

    principal_minor: int
    reward_minor: int
    forfeited_minor: int

    @property
    def payout_minor(self) -> int:
        """All that is paid."""
        return self.principal_minor + self.reward_minor


def exit_refusal(plan: Plan, value_date: date, maturity_date: date, day: date) -> ExitRefusal | None:
    """Why a stake cannot be left on `day`; None when it can.

    The minimum hold is over as many days after the value date as it has.
    """
    if day >= maturity_date:
        return "stake_matured"
    if plan.early_exit == "not_allowed":
        return "early_exit_not_allowed"
    if (max(day, value_date) - value_date).days < plan.minimum_hold_days:
        return "minimum_hold"
    return None


def early_exit(plan: Plan, amount_minor: int, value_date: date, maturity_date: date, day: date) -> Exit:
    """What leaving on `day`, which does not earn any more, comes to.

    Raises ValueError where `exit_refusal` has a reason.
    """
    refusal = exit_refusal(plan, value_date, maturity_date, day)
    if refusal is not None:
        raise ValueError(f"There is no early exit on {day}: {refusal}.")
    accrued = accrued_minor(plan, amount_minor, value_date, maturity_date, day)
    if plan.early_exit == "forfeit_part":
        reward = accrued - accrued * plan.early_exit_ppm // PPM
    elif plan.early_exit == "reduced_rate":
        at_reduced_rate = replace(plan, bands=(Band(0, plan.early_exit_ppm),))
        reward = min(accrued, accrued_minor(at_reduced_rate, amount_minor, value_date, maturity_date, day))
    else:
        reward = 0
    return Exit(amount_minor, reward, accrued - reward)


def exit_table(
    plan: Plan, amount_minor: int, value_date: date, maturity_date: date
) -> list[tuple[date, Exit]]:
    """What leaving comes to on the first and the last day that it can be done, and each month in between.

    The months are counted from the value date; of more than EXIT_TABLE_ROWS_MAX days some are left out,
    evenly. Empty where the plan allows no early exit.
    """
    if plan.early_exit == "not_allowed":
        return []
    days = _evenly(_exit_days(plan, value_date, maturity_date))
    return [(day, early_exit(plan, amount_minor, value_date, maturity_date, day)) for day in days]


def _exit_days(plan: Plan, value_date: date, maturity_date: date) -> list[date]:
    first, last = value_date + timedelta(plan.minimum_hold_days), maturity_date - timedelta(1)
    days = {first, last}
    months = 1
    while (day := add_months(value_date, months)) < last:
        days.add(day)
        months += 1
    return sorted(day for day in days if first <= day <= last)


def _evenly(days: list[date]) -> list[date]:
    if len(days) <= EXIT_TABLE_ROWS_MAX:
        return days
    gaps = EXIT_TABLE_ROWS_MAX - 1
    return [days[row * (len(days) - 1) // gaps] for row in range(EXIT_TABLE_ROWS_MAX)]
