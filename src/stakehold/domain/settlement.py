"""Settlement: what becomes of a stake when its time has come.

At maturity it is paid out, or renewed as its owner has instructed. What comes of it follows from the stake,
its plan, and what was on sale at the moment of maturity, and so does not depend on when settlement runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.errors import AlteredRowError
from stakehold.domain.exits import early_exit
from stakehold.domain.ledger import AVAILABLE, REWARDS, Movement, Transfer, TransferKind, stake_account
from stakehold.domain.plan_terms import check_amount
from stakehold.domain.plans import Plan
from stakehold.domain.stakes import Stake, StakeState
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from stakehold.domain.timing import QUOTE_TTL_MS


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
    """Settle a stake that is due: pay it out, or move it to `renewal`, which `renewal_of` made.

    Raises AlteredRowError where it is not as its terms say: nothing is paid by a row that was altered.
    """
    fault = fault_of_terms(stake)
    if fault is not None:
        raise AlteredRowError(f"stake {stake.id}", fault)
    if stake.state == "unstaking":
        return release(stake)
    reward_minor = reward_at_maturity(stake)
    if renewal is None:
        return Settlement(stake, "paid_out", reward_minor, 0, payout(stake, reward_minor))
    renewed = _move(stake, "renewal", stake_account(stake.id), stake_account(renewal.id), stake.amount_minor)
    movements = [replace(renewed, reason=renewal.terms)]
    if reward_minor:
        to_renewal = renewal.amount_minor > stake.amount_minor
        account = stake_account(renewal.id) if to_renewal else AVAILABLE
        movements.append(_move(stake, "reward", REWARDS, account, reward_minor))
    return Settlement(stake, "renewed", reward_minor, 0, movements, renewal)


def release(stake: Stake) -> Settlement:
    """Pay out a stake that was left early, when its cooldown is over: what was certain when it was left."""
    assert stake.reward_minor is not None
    assert stake.forfeited_minor is not None
    movements = payout(stake, stake.reward_minor)
    return Settlement(stake, "closed_early", stake.reward_minor, stake.forfeited_minor, movements)


def fault_of_terms(stake: Stake) -> str | None:
    """What of a stake's outcome, or of when it is due, is not as its terms say; None when all is."""
    try:
        owed = _outcome(stake)
    except ValueError:
        return "could not have been left then"
    if (stake.value_date, stake.maturity_date) != _days(stake):
        return "earns on other days than its period's"
    if (stake.reward_minor, stake.forfeited_minor) != owed:
        return "has another outcome than its terms"
    if stake.state == "active":
        on_time = stake.due_at_ms == stake.matures_at_ms
        return None if on_time else "is due at another time than its maturity"
    if stake.due_at_ms is None:
        too_early = stake.ended_at_ms is None or stake.ended_at_ms < _earliest_end_ms(stake)
        return "ended before it could" if too_early else None
    if stake.due_at_ms > stake.matures_at_ms:
        return "is due after its maturity"
    # It was left at some moment of that day, or by a quote of that day.
    if stake.due_at_ms > _earliest_end_ms(stake) + DAY_MS + QUOTE_TTL_MS:
        return "is due after its cooldown"
    return "is due before it can be" if stake.due_at_ms < _earliest_end_ms(stake) else None


def fault_of_making(stake: Stake, made: Transfer | None) -> str | None:
    """What of a stake is not as the transfer says that made it, which nobody can alter unseen; None: nothing.

    A transfer of before terms were written with it says the amount alone; and of before then CockroachDB's
    may be of a millisecond too early.
    """
    if made is None:
        return "was made by no transfer"
    if stake.created_at_ms > made.at_ms + 1:
        return "was made before it says"
    from_stake = made.movement.kind == "renewal"
    renewed = stake_account(stake.renewed_from) if stake.renewed_from else None
    if renewed != (made.movement.debit_account if from_stake else None):
        return "renews another stake than it says"
    if made.movement.reason is None:
        same = made.movement.amount_minor == stake.amount_minor or made.movement.kind != "stake"
    else:
        same = made.movement.reason == stake.terms
    return None if same else "has other terms than it was made with"


def _days(stake: Stake) -> tuple[date, date]:
    """Its value date and its maturity, counted from the origin: the one is its period before the other."""
    months = stake.origin_months
    return (
        add_months(stake.origin_date, months - stake.plan.period_months),
        add_months(stake.origin_date, months),
    )


def _outcome(stake: Stake) -> tuple[int | None, int | None]:
    """Reward and forfeited by the terms, None as long as they are not certain.

    Raises ValueError for a stake that was left on a day on which nobody could leave it.
    """
    if stake.state == "active":
        return None, None
    if stake.state in ("paid_out", "renewed"):
        return reward_at_maturity(stake), 0
    terms = stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date
    if stake.exited_on is None:
        raise ValueError(f"nobody left stake {stake.id}")
    if stake.state == "cancelled":
        return 0, accrued_minor(*terms, stake.exited_on)
    outcome = early_exit(*terms, stake.exited_on)
    return outcome.reward_minor, outcome.forfeited_minor


def _earliest_end_ms(stake: Stake) -> int:
    """When it could end at the earliest: at maturity, or a cooldown after the day that it was left began."""
    if stake.state == "cancelled":
        return stake.created_at_ms
    if stake.state in ("paid_out", "renewed") or stake.exited_on is None:
        return stake.matures_at_ms
    return min(midnight_ms(stake.exited_on) + stake.plan.cooldown_s * 1000, stake.matures_at_ms)


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
