"""What a stake is told to be, as time passes."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from stakehold.domain.stakes import Stake, StakeState
from tests.support.plans import make_plan

MIDNIGHT_MS = round(datetime(2027, 2, 28, tzinfo=UTC).timestamp()) * 1000
STAKE = Stake(
    id=UUID(int=1),
    user_id=UUID(int=2),
    amount_minor=100_000_000_000,
    plan=make_plan(period_months=1),
    state="active",
    created_at_ms=MIDNIGHT_MS - 28 * 86_400_000 - 1,
    value_date=date(2027, 1, 31),
    maturity_date=date(2027, 2, 28),
    origin_date=date(2027, 1, 31),
    origin_months=1,
    maturity_instruction="payout",
    due_at_ms=MIDNIGHT_MS,
)


def test_a_stake_matures_at_midnight() -> None:
    """Active until the last millisecond before its maturity date, matured and due from its first on."""
    assert STAKE.matures_at_ms == MIDNIGHT_MS
    for at_ms in (STAKE.created_at_ms, MIDNIGHT_MS - 1):
        assert (STAKE.status_at(at_ms), STAKE.is_due(at_ms)) == ("active", False)
    for at_ms in (MIDNIGHT_MS, MIDNIGHT_MS + 10**12):
        assert (STAKE.status_at(at_ms), STAKE.is_due(at_ms)) == ("matured", True)


@pytest.mark.parametrize("state", ["paid_out", "renewed", "closed_early", "cancelled"])
def test_an_end_is_an_end(state: StakeState) -> None:
    """What has ended stays what it is, and is never due."""
    ended = replace(STAKE, state=state, due_at_ms=None)
    for at_ms in (0, MIDNIGHT_MS, MIDNIGHT_MS + 10**12):
        assert (ended.status_at(at_ms), ended.is_due(at_ms)) == (state, False)


def test_who_leaves_early_is_due_when_the_cooldown_is_over() -> None:
    """Maturity means nothing any more."""
    leaving = replace(STAKE, state="unstaking", due_at_ms=MIDNIGHT_MS + 5)
    assert leaving.status_at(MIDNIGHT_MS + 9) == "unstaking"
    assert (leaving.is_due(MIDNIGHT_MS + 4), leaving.is_due(MIDNIGHT_MS + 5)) == (False, True)


def test_it_has_earned_until_today_its_maturity_or_when_its_owner_left() -> None:
    """The day before which every day counts, whatever became of the stake."""
    before, after = date(2027, 2, 3), date(2027, 5, 1)
    assert [STAKE.earned_until(today) for today in (before, after)] == [before, STAKE.maturity_date]
    paid = replace(STAKE, state="paid_out", due_at_ms=None)
    assert paid.earned_until(after) == STAKE.maturity_date
    left = replace(STAKE, state="unstaking", exited_on=date(2027, 2, 2))
    assert left.earned_until(after) == date(2027, 2, 2)
    cancelled = replace(STAKE, state="cancelled", due_at_ms=None)
    assert cancelled.earned_until(after) == STAKE.value_date


def test_terms_say_all_that_was_agreed() -> None:
    """No two stakes that pay otherwise have the same words: each of amount, plan, version, days is there."""
    words = "0.00000005 STK in STK-12M version 1 from 2027-01-31 to 2027-02-28, month 1 from 2027-01-31"
    stake = replace(STAKE, amount_minor=5)
    assert stake.terms == words
    others = (
        replace(stake, amount_minor=6),
        replace(stake, plan=replace(stake.plan, id="STK-1M")),
        replace(stake, plan=replace(stake.plan, version=2)),
        replace(stake, plan=replace(stake.plan, asset="GLD")),
        replace(stake, plan=replace(stake.plan, scale=7)),
        replace(stake, value_date=date(2027, 1, 30)),
        replace(stake, maturity_date=date(2027, 2, 27)),
        replace(stake, origin_date=date(2027, 1, 30)),
        replace(stake, origin_months=2),
    )
    assert len({words, *(other.terms for other in others)}) == 1 + len(others)
