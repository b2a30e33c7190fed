"""Rewards over time add up: nothing is counted twice and nothing falls between two ranges."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.exits import early_exit
from stakehold.domain.plans import Plan
from stakehold.domain.rewards import Days, Rewards, rewards_of
from stakehold.domain.settlement import reward_at_maturity
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from tests.support.plans import make_plan
from tests.unit.domain.test_accrual import AMOUNTS, VALUE_DATES
from tests.unit.domain.test_exits import leavable_plans

ALWAYS = Days(date.min, date.max)
THOUSAND = 1000 * 10**8


def make_stake(plan: Plan, amount_minor: int, value_date: date) -> Stake:
    maturity_date = add_months(value_date, plan.period_months)
    return Stake(
        id=UUID(int=1),
        user_id=UUID(int=2),
        amount_minor=amount_minor,
        plan=plan,
        state="active",
        created_at_ms=midnight_ms(value_date),
        value_date=value_date,
        maturity_date=maturity_date,
        origin_date=value_date,
        origin_months=plan.period_months,
        maturity_instruction="payout",
        due_at_ms=midnight_ms(maturity_date),
    )


def paid_out(stake: Stake, late_ms: int = 0) -> Stake:
    return replace(
        stake,
        state="paid_out",
        due_at_ms=None,
        reward_minor=reward_at_maturity(stake),
        forfeited_minor=0,
        ended_at_ms=stake.matures_at_ms + late_ms,
    )


def left_on(stake: Stake, day: date, ended_at_ms: int | None) -> Stake:
    found = early_exit(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
    return replace(
        stake,
        state="unstaking" if ended_at_ms is None else "closed_early",
        due_at_ms=stake.matures_at_ms if ended_at_ms is None else None,
        exited_on=day,
        reward_minor=found.reward_minor,
        forfeited_minor=found.forfeited_minor,
        ended_at_ms=ended_at_ms,
    )


def cancelled_on(stake: Stake, day: date) -> Stake:
    accrued = accrued_minor(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
    return replace(
        left_on(stake, day, midnight_ms(day)), state="cancelled", reward_minor=0, forfeited_minor=accrued
    )


@st.composite
def stakes(draw: st.DrawFn) -> Stake:
    """Stakes in any state, those that are left before maturity by any policy."""
    plan, value_date = draw(leavable_plans()), draw(VALUE_DATES)
    stake = make_stake(plan, draw(AMOUNTS), value_date)
    last = (stake.maturity_date - value_date).days - 1
    day = value_date + timedelta(draw(st.integers(0, last)))
    after_ms = draw(st.integers(0, 40 * DAY_MS))
    return draw(
        st.sampled_from(
            [
                stake,
                paid_out(stake, after_ms),
                left_on(stake, day, None),
                left_on(stake, day, midnight_ms(day) + after_ms),
                cancelled_on(stake, day),
            ]
        )
    )


@given(stakes(), st.lists(st.integers(-50, 800), min_size=2, max_size=12), st.integers(-10, 1000))
def test_ranges_add_up(stake: Stake, cuts: list[int], age: int) -> None:
    """However time is cut, on whatever day it is asked: parts sum to the whole, and none is below 0."""
    today = max(stake.value_date + timedelta(age), stake.exited_on or date.min)
    days = [stake.value_date + timedelta(cut) for cut in sorted(cuts)]
    parts = [rewards_of(stake, Days(*one), today) for one in pairwise(days)]
    whole = rewards_of(stake, Days(days[0], days[-1]), today)
    assert sum(parts, Rewards()) == whole
    for part in parts:
        assert min(part.earned_minor, part.paid_minor, part.forfeited_minor) >= 0


@given(stakes())
def test_what_ended_is_accounted_for(stake: Stake) -> None:
    """Of a stake that has ended: all it earned is paid or forfeited, to the unit; before, nothing is paid."""
    found = rewards_of(stake, ALWAYS, date.max)
    if stake.ended_at_ms is None:
        assert found.paid_minor == 0
    else:
        assert found.earned_minor - found.forfeited_minor == found.paid_minor == stake.reward_minor


@given(stakes(), st.integers(-10, 1000), st.data())
def test_a_day_that_is_over_stays_as_it_was_told(stake: Stake, age: int, data: st.DataObject) -> None:
    """What a range before today has earned is the same on every later day."""
    today = stake.value_date + timedelta(age)
    later = today + timedelta(data.draw(st.integers(0, 1000)))
    days = Days(stake.value_date - timedelta(1), today)
    assert rewards_of(stake, days, today).earned_minor == rewards_of(stake, days, later).earned_minor


def test_the_days_of_a_life() -> None:
    """1000 at 12 %: it earns day by day and not today, is paid when it is paid, and then earns no more."""
    stake = make_stake(make_plan(), THOUSAND, date(2027, 6, 15))
    first = Days(date(2027, 6, 15), date(2027, 6, 16))
    assert rewards_of(stake, first, date(2027, 6, 15)) == Rewards()
    assert rewards_of(stake, first, date(2027, 6, 16)) == Rewards(earned_minor=32_876_712)
    ended = paid_out(stake, 3 * DAY_MS)
    at_maturity = Days(date(2028, 6, 14), date(2028, 6, 18))
    later = Days(date(2028, 6, 18), date(2028, 6, 19))
    today = date(2028, 7, 1)
    assert rewards_of(ended, at_maturity, today) == Rewards(earned_minor=32_876_712)
    assert rewards_of(ended, later, today) == Rewards(paid_minor=12_032_876_712)


def test_what_is_forfeited_counts_on_the_day_of_leaving() -> None:
    """That day earns nothing any more, and where the cooldown ends later the payment is later."""
    plan = make_plan(early_exit="forfeit_part", early_exit_ppm=250_000)
    stake = left_on(
        make_stake(plan, THOUSAND, date(2027, 6, 15)), date(2027, 12, 15), midnight_ms(date(2027, 12, 20))
    )
    today = date(2028, 1, 1)
    assert rewards_of(stake, Days(date.min, date(2027, 12, 15)), today) == Rewards(6_016_438_356, 0, 0)
    day_of_leaving = Days(date(2027, 12, 15), date(2027, 12, 20))
    assert rewards_of(stake, day_of_leaving, today) == Rewards(0, 0, 1_504_109_589)
    assert rewards_of(stake, Days(date(2027, 12, 20), date.max), today) == Rewards(0, 4_512_328_767, 0)


def test_an_empty_range_has_nothing() -> None:
    """Whatever happens on its day."""
    stake = paid_out(make_stake(make_plan(), THOUSAND, date(2027, 6, 15)))
    assert rewards_of(stake, Days(stake.maturity_date, stake.maturity_date), date.max) == Rewards()
