"""Stakes: an amount locked under a plan from the day it was made until it matures."""

from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from stakehold.domain.calendar import add_months
from stakehold.domain.ids import created_at_ms
from stakehold.domain.plans import Plan
from stakehold.domain.timestamps import midnight_ms, utc_date

StakeStatus = Literal["active", "matured"]


@dataclass(frozen=True, slots=True)
class Stake:
    """An amount in minor units, locked under one version of a plan. Its dates follow from its id."""

    id: UUID
    amount_minor: int
    plan: Plan

    @property
    def created_at_ms(self) -> int:
        """When it was made, in milliseconds since the Unix epoch: the id, a UUIDv7, says so."""
        return created_at_ms(self.id)

    @property
    def value_date(self) -> date:
        """The first day that earns: the UTC date on which it was made."""
        return utc_date(self.created_at_ms)

    @property
    def maturity_date(self) -> date:
        """The first day that earns no more."""
        return add_months(self.value_date, self.plan.period_months)

    @property
    def matures_at_ms(self) -> int:
        """The moment it matures: midnight UTC at the beginning of the maturity date."""
        return midnight_ms(self.maturity_date)

    def status_at(self, now_ms: int) -> StakeStatus:
        """Whether it has matured by `now_ms`."""
        return "matured" if now_ms >= self.matures_at_ms else "active"
