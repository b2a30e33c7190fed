"""Plans: what can be staked, for how long, at which rate."""

from dataclasses import dataclass

from stakehold.domain.money import format_amount


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a plan. A version never changes: a stake keeps the one it was made under.

    `scale` is the asset's decimal places, `rate_ppm` the simple yearly rate in parts per million (12 % is
    120000), `minimum_minor` the least that can be staked, in minor units.
    """

    id: str
    version: int
    asset: str
    scale: int
    period_months: int
    rate_ppm: int
    minimum_minor: int


def format_rate(rate_ppm: int) -> str:
    """A rate as the fraction of the amount that is earned a year, in canonical form: 120000 is "0.12"."""
    return format_amount(rate_ppm, 6)
