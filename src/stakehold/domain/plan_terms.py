"""Which terms a plan may have, and which amounts it takes."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, get_args

from stakehold.domain.calendar import fewest_days
from stakehold.domain.money import MAX_AMOUNT_DIGITS
from stakehold.domain.plans import PPM, DayCount, EarlyExitPolicy, Plan

AmountRefusal = Literal["below_minimum", "above_maximum", "off_step"]

RATE_PPM_MAX = 10**9
PERIOD_MONTHS_MAX = 1200
SCALE_MAX = 18
COOLDOWN_S_MAX = 90 * 86_400
GRACE_S_MAX = 30 * 86_400
NAME_RULE = "1 to 32 of A-Z, 0-9, dot, underscore and hyphen"
"""What the names of plans and assets are made of, in words."""

_AMOUNT_MINOR_MAX: int = 10**MAX_AMOUNT_DIGITS - 1
_NAME = re.compile(r"[A-Z0-9._-]{1,32}")
_MONTH_DAYS_MAX = 31
_YEAR_DAYS = 365


def is_name(text: str) -> bool:
    """Whether a plan or an asset may have this name."""
    return _NAME.fullmatch(text) is not None


def check_amount(plan: Plan, amount_minor: int) -> AmountRefusal | None:
    """Why a plan does not take an amount; None when it does. No amount has more than 38 digits."""
    if amount_minor < plan.minimum_minor:
        return "below_minimum"
    if amount_minor > _largest_minor(plan):
        return "above_maximum"
    if amount_minor % plan.step_minor:
        return "off_step"
    return None


def check_terms(plan: Plan) -> None:
    """Raise ValueError, with all that is wrong in words for an operator, unless a plan's terms make sense."""
    problems = [*_naming(plan), *_rates(plan), *_amounts(plan), *_times(plan), *_early_exit(plan)]
    # Only of terms that are right in themselves can be said what they come to.
    problems = problems or [*_reward(plan)]
    if problems:
        raise ValueError(" ".join(problems))


def _largest_minor(plan: Plan) -> int:
    return _AMOUNT_MINOR_MAX if plan.maximum_minor is None else min(plan.maximum_minor, _AMOUNT_MINOR_MAX)


def _naming(plan: Plan) -> Iterator[str]:
    for what, name in (("name", plan.id), ("asset", plan.asset)):
        if not is_name(name):
            yield f"A plan's {what} has {NAME_RULE}."
    if plan.version < 1:
        yield "Versions count from 1."
    if not 0 <= plan.scale <= SCALE_MAX:
        yield f"An asset has 0 to {SCALE_MAX} decimal places."
    if plan.day_count not in get_args(DayCount):
        yield f"A day count is one of {', '.join(get_args(DayCount))}."


def _rates(plan: Plan) -> Iterator[str]:
    if not plan.bands or plan.bands[0].from_minor != 0:
        yield "The first band begins at 0."
    if any(one.from_minor >= following.from_minor for one, following in pairwise(plan.bands)):
        yield "Each band begins above the one before."
    if any(band.from_minor > _AMOUNT_MINOR_MAX for band in plan.bands):
        yield f"A band begins at an amount of at most {MAX_AMOUNT_DIGITS} digits."
    if any(not 0 <= band.rate_ppm <= RATE_PPM_MAX for band in plan.bands):
        yield f"A rate is from 0 to {RATE_PPM_MAX} ppm a year."


def _amounts(plan: Plan) -> Iterator[str]:
    if plan.step_minor < 1:
        yield "The step is at least one minor unit."
    if plan.minimum_minor < 1:
        yield "The minimum is at least one minor unit."
    limits = {
        "maximum": plan.maximum_minor,
        "cap for a user": plan.user_cap_minor,
        "capacity": plan.capacity_minor,
    }
    for name, limit_minor in limits.items():
        if limit_minor is not None and limit_minor < plan.minimum_minor:
            yield f"The {name} is not below the minimum."
    for name, amount_minor in {"minimum": plan.minimum_minor, "step": plan.step_minor, **limits}.items():
        if amount_minor is not None and amount_minor > _AMOUNT_MINOR_MAX:
            yield f"The {name} has at most {MAX_AMOUNT_DIGITS} digits."
    for name, amount_minor in (("minimum", plan.minimum_minor), ("maximum", plan.maximum_minor)):
        if amount_minor is not None and plan.step_minor >= 1 and amount_minor % plan.step_minor:
            yield f"The {name} is a multiple of the step."


def _times(plan: Plan) -> Iterator[str]:
    if not 1 <= plan.period_months <= PERIOD_MONTHS_MAX:
        yield f"A period has 1 to {PERIOD_MONTHS_MAX} months."
    elif plan.minimum_hold_days >= fewest_days(plan.period_months):
        yield "The minimum hold has fewer days than the period at its shortest."
    if plan.minimum_hold_days < 0:
        yield "The minimum hold is not negative."
    if not 0 <= plan.cooldown_s <= COOLDOWN_S_MAX:
        yield f"The cooldown is from 0 to {COOLDOWN_S_MAX} seconds."
    if not 0 <= plan.grace_s <= GRACE_S_MAX:
        yield f"The grace period is from 0 to {GRACE_S_MAX} seconds."
    if plan.on_sale_until_ms is not None and plan.on_sale_until_ms <= plan.on_sale_from_ms:
        yield "The sale ends after it begins."


def _early_exit(plan: Plan) -> Iterator[str]:
    if plan.early_exit not in get_args(EarlyExitPolicy):
        yield f"An early exit is one of {', '.join(get_args(EarlyExitPolicy))}."
    elif plan.early_exit == "forfeit_part":
        if not 1 <= plan.early_exit_ppm <= PPM:
            yield "The share that is forfeited is more than 0, and at most 1."
    elif plan.early_exit == "reduced_rate":
        if not 0 <= plan.early_exit_ppm <= min((band.rate_ppm for band in plan.bands), default=0):
            yield "The reduced rate is not negative, and not above that of any band."
    elif plan.early_exit_ppm != 0:
        yield f"With {plan.early_exit} the ppm of the early exit are 0."


def _reward(plan: Plan) -> Iterator[str]:
    highest_ppm = max(band.rate_ppm for band in plan.bands)
    days = plan.period_months * _MONTH_DAYS_MAX
    if _largest_minor(plan) * highest_ppm * days > _AMOUNT_MINOR_MAX * PPM * _YEAR_DAYS:
        yield f"The reward on the largest amount has at most {MAX_AMOUNT_DIGITS} digits: set a lower maximum."
