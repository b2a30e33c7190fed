"""Stakes: an amount locked under a plan until it matures, or until its owner leaves early."""

from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from stakehold.domain.money import format_amount
from stakehold.domain.plans import Plan
from stakehold.domain.timestamps import midnight_ms

StakeState = Literal["active", "unstaking", "paid_out", "renewed", "closed_early", "cancelled"]
"""What is written of a stake. The last four are ends: nothing happens to it any more."""

StakeStatus = Literal["active", "matured", "unstaking", "paid_out", "renewed", "closed_early", "cancelled"]
"""What is told of a stake: an active one whose maturity has come is matured until it is settled."""

MaturityInstruction = Literal["payout", "renew_principal", "renew_all"]


@dataclass(frozen=True, slots=True)
class Stake:
    """An amount in minor units, locked under one version of a plan. It earns on [value_date, maturity_date).

    `origin_date` is the value date of the first in a line of renewals, and `origin_months` the months from
    there to this one's maturity. `due_at_ms` is when settlement has something to do: at maturity, or when the
    cooldown of one that is `unstaking` is over; None after its end. `reward_minor` and `forfeited_minor` are
    set once it is certain what is paid; `exited_on` is the first day that an early leaver does not earn.
    """

    id: UUID
    user_id: UUID
    amount_minor: int
    plan: Plan
    state: StakeState
    created_at_ms: int
    value_date: date
    maturity_date: date
    origin_date: date
    origin_months: int
    maturity_instruction: MaturityInstruction
    due_at_ms: int | None
    exited_on: date | None = None
    reward_minor: int | None = None
    forfeited_minor: int | None = None
    ended_at_ms: int | None = None
    renewed_from: UUID | None = None
    renewed_to: UUID | None = None

    @property
    def matures_at_ms(self) -> int:
        """The moment it matures: midnight UTC at the beginning of the maturity date."""
        return midnight_ms(self.maturity_date)

    @property
    def terms(self) -> str:
        """What was agreed, in words: the ledger has it with the transfer that makes the stake."""
        plan = self.plan
        return (
            f"{format_amount(self.amount_minor, plan.scale)} {plan.asset} in {plan.id} version {plan.version}"
            f" from {self.value_date} to {self.maturity_date}, month {self.origin_months} from"
            f" {self.origin_date}"
        )

    def status_at(self, now_ms: int) -> StakeStatus:
        """What it is at `now_ms`."""
        if self.state == "active" and now_ms >= self.matures_at_ms:
            return "matured"
        return self.state

    def earned_until(self, today: date) -> date:
        """The day before which it has earned, by `today`: at most its maturity, or when its owner left."""
        if self.exited_on is not None:
            return self.exited_on
        if self.state == "cancelled":
            return self.value_date
        return min(today, self.maturity_date) if self.state == "active" else self.maturity_date

    def is_due(self, now_ms: int) -> bool:
        """Whether settlement has something to do by `now_ms`."""
        return self.due_at_ms is not None and self.due_at_ms <= now_ms
