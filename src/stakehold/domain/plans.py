"""Plans: what can be staked, for how long, at which rate, and on which terms."""

from dataclasses import dataclass
from typing import Literal

from stakehold.domain.money import format_amount, parse_amount_minor

DayCount = Literal["ACT/365F", "ACT/ACT"]
"""How days become years: every year has 365, or each day counts in its own year of 365 or 366."""

EarlyExitPolicy = Literal["not_allowed", "forfeit_all", "forfeit_part", "reduced_rate"]

PPM = 1_000_000
_RATE_SCALE = 6


@dataclass(frozen=True, slots=True)
class Band:
    """The yearly rate on what of an amount lies above `from_minor` and below the next band."""

    from_minor: int
    rate_ppm: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a plan. A version never changes: a stake keeps the one it was made under.

    `scale` is the asset's decimal places. `bands` are marginal, the first from 0, and their rates simple
    yearly ones in parts per million (12 % is 120000). An amount is from `minimum_minor` to `maximum_minor`,
    and a multiple of `step_minor`. At most `user_cap_minor` of one user and `capacity_minor` of all users are
    staked in the plan at a time, whatever the version. None: there is no such limit.

    `early_exit_ppm` belongs to the policy: the share of what has accrued that is forfeited (`forfeit_part`),
    or the yearly rate in place of the bands' (`reduced_rate`); else it is 0. Whoever leaves early does so
    after `minimum_hold_days` and is paid `cooldown_s` later. Within `grace_s` of its making a stake can be
    cancelled.
    """

    id: str
    version: int
    asset: str
    scale: int
    period_months: int
    bands: tuple[Band, ...]
    day_count: DayCount
    minimum_minor: int
    maximum_minor: int | None
    step_minor: int
    user_cap_minor: int | None
    capacity_minor: int | None
    on_sale_from_ms: int
    on_sale_until_ms: int | None
    early_exit: EarlyExitPolicy
    early_exit_ppm: int
    minimum_hold_days: int
    cooldown_s: int
    grace_s: int

    @property
    def rate_ppm(self) -> int:
        """The rate of the first band; what more is paid on more, the bands say."""
        return self.bands[0].rate_ppm


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan, and how much more can be staked in it; None: its capacity has no limit."""

    plan: Plan
    available_minor: int | None


def format_rate(rate_ppm: int) -> str:
    """A rate as the fraction of the amount that is earned a year, in canonical form: 120000 is "0.12"."""
    return format_amount(rate_ppm, _RATE_SCALE)


def parse_rate(text: str) -> int:
    """The ppm of a rate that is written as a fraction: "0.12" is 120000.

    Raises ValueError, in words for an operator, unless it is a decimal of at most 6 places, not below 0.
    """
    if text == "0":
        return 0
    try:
        return parse_amount_minor(text.encode(), _RATE_SCALE)
    except ValueError:
        raise ValueError(f'{text!r} is no rate such as "0.12", with at most 6 decimal places.') from None
