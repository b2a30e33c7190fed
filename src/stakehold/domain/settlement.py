"""Settlement: what becomes of a stake when its time has come.

At maturity it is paid out, or renewed as its owner has instructed. What comes of it follows from the stake,
its plan, and what was on sale at the moment of maturity, and so does not depend on when settlement runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.exits import early_exit
from stakehold.domain.ledger import AVAILABLE, REWARDS, Movement, TransferKind, stake_account
from stakehold.domain.plan_terms import check_amount
from stakehold.domain.plans import Plan
from stakehold.domain.stakes import Stake, StakeState
from stakehold.domain.timestamps import midnight_ms


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a stake: what it is from then on, what was paid, what moves, and what comes after it."""

    stake: Stake
    state: StakeState
    reward_minor: int
    forfeited_minor: int
    movements: Sequence[Movement]
    renewal: Stake | None = None


def settle(stake: Stake, renewal: Stake | None = None) -> Settlement:
    """Settle a stake that is due: pay it out, or move it to `renewal`, which `renewal_of` made."""
    if stake.state == "unstaking":
        return release(stake)
    reward_minor = reward_at_maturity(stake)
    if renewal is None:
        return Settlement(stake, "paid_out", reward_minor, 0, payout(stake, reward_minor))
    movements = [
        _move(stake, "renewal", stake_account(stake.id), stake_account(renewal.id), stake.amount_minor)
    ]
    if reward_minor:
        to_renewal = renewal.amount_minor > stake.amount_minor
        account = stake_account(renewal.id) if to_renewal else AVAILABLE
        movements.append(_move(stake, "reward", REWARDS, account, reward_minor))
    return Settlement(stake, "renewed", reward_minor, 0, movements, renewal)


def release(stake: Stake) -> Settlement:
    """Pay out a stake that was left early, when its cooldown is over: what was certain when it was left.

    Raises ValueError where that is not what its terms say: a row that was altered is not paid by.
    """
    fault = fault_of_terms(stake)
    if fault is not None:
        raise ValueError(f"stake {stake.id} {fault}")
    assert stake.reward_minor is not None
    assert stake.forfeited_minor is not None
    movements = payout(stake, stake.reward_minor)
    return Settlement(stake, "closed_early", stake.reward_minor, stake.forfeited_minor, movements)


def fault_of_terms(stake: Stake) -> str | None:
    """What of a stake's outcome, or of when it is due, is not as its terms say; None when all is."""
    if stake.state == "active":
        owed: tuple[int, int] | None = None
    elif stake.state in ("unstaking", "closed_early"):
        owed = _outcome_of_leaving(stake)
        if owed is None:
            return "could not have been left then"
    elif stake.state == "cancelled":
        owed = (0, stake.forfeited_minor or 0)
    else:
        owed = (reward_at_maturity(stake), 0)
    if (stake.reward_minor, stake.forfeited_minor) != (owed or (None, None)):
        return "has another outcome than its terms"
    if stake.state == "active" and stake.due_at_ms != stake.matures_at_ms:
        return "is due at another time than its maturity"
    if stake.due_at_ms is not None and stake.due_at_ms > stake.matures_at_ms:
        return "is due after its maturity"
    return None


def _outcome_of_leaving(stake: Stake) -> tuple[int, int] | None:
    """Reward and forfeited of who left on the day that is written; None where nobody could have."""
    if stake.exited_on is None:
        return None
    try:
        outcome = early_exit(
            stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, stake.exited_on
        )
    except ValueError:
        return None
    return outcome.reward_minor, outcome.forfeited_minor


def payout(stake: Stake, reward_minor: int) -> list[Movement]:
    """The principal and a reward on their way to the owner's available balance."""
    movements = [_move(stake, "principal", stake_account(stake.id), AVAILABLE, stake.amount_minor)]
    if reward_minor:
        movements.append(_move(stake, "reward", REWARDS, AVAILABLE, reward_minor))
    return movements


def reward_at_maturity(stake: Stake) -> int:
    """All that a stake earns if it is left to mature."""
    return accrued_minor(
        stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, stake.maturity_date
    )


def renewal_of(stake: Stake, plan: Plan | None, identifier: UUID) -> Stake | None:
    """The stake that a matured one is renewed to, under the version `plan`; None when it is paid out instead.

    That is when its instruction says so, when nothing was on sale, and when the amount does not fit the
    version's terms. Its days begin where the old one's end, and its maturity is counted from the origin:
    counted from one maturity to the next, the day of the month would drift.
    """
    if stake.state != "active" or stake.maturity_instruction == "payout" or plan is None:
        return None
    amount_minor = stake.amount_minor
    if stake.maturity_instruction == "renew_all":
        amount_minor += reward_at_maturity(stake)
    if check_amount(plan, amount_minor) is not None:
        return None
    months = stake.origin_months + plan.period_months
    try:
        maturity_date = add_months(stake.origin_date, months)
    except ValueError:
        # Beyond the year 9999.
        return None
    return replace(
        stake,
        id=identifier,
        amount_minor=amount_minor,
        plan=plan,
        value_date=stake.maturity_date,
        maturity_date=maturity_date,
        origin_months=months,
        due_at_ms=midnight_ms(maturity_date),
        renewed_from=stake.id,
    )


def _move(stake: Stake, kind: TransferKind, debit: str, credit: str, amount_minor: int) -> Movement:
    return Movement(kind, debit, credit, stake.plan.asset, amount_minor, stake_id=stake.id)
