"""Leaving early pays what the policy says, loses nothing on the way, and never pays more than staying."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.exits import EXIT_TABLE_ROWS_MAX, Exit, early_exit, exit_refusal, exit_table
from stakehold.domain.plan_terms import check_terms
from stakehold.domain.plans import Band, EarlyExitPolicy, Plan
from tests.support.plans import make_plan
from tests.unit.domain.test_accrual import AMOUNTS, VALUE_DATES, plans

THOUSAND = 1000 * 10**8
VALUE, MATURITY = date(2027, 6, 15), date(2028, 6, 15)
HALF_WAY = date(2027, 12, 15)
ACCRUED_HALF_WAY = 6_016_438_356
"""183 days at 12 %."""


@st.composite
def leavable_plans(draw: st.DrawFn) -> Plan:
    """Plans of all policies that can be left, with a reduced rate up to that of the lowest band."""
    plan: Plan = draw(plans())
    policies: list[EarlyExitPolicy] = ["forfeit_all", "forfeit_part", "reduced_rate"]
    policy = draw(st.sampled_from(policies))
    lowest_ppm = min(band.rate_ppm for band in plan.bands)
    highest = {"forfeit_all": (0, 0), "forfeit_part": (1, 10**6), "reduced_rate": (0, lowest_ppm)}[policy]
    return replace(plan, early_exit=policy, early_exit_ppm=draw(st.integers(*highest)))


def drawn_day(data: st.DataObject, plan: Plan, value_date: date) -> date:
    last = (add_months(value_date, plan.period_months) - value_date).days - 1
    return value_date + timedelta(data.draw(st.integers(0, last)))


@pytest.mark.parametrize(
    ("terms", "reward_minor"),
    [
        ({"early_exit": "forfeit_all"}, 0),
        ({"early_exit": "forfeit_part", "early_exit_ppm": 250_000}, 4_512_328_767),
        ({"early_exit": "forfeit_part", "early_exit_ppm": 1_000_000}, 0),
        ({"early_exit": "forfeit_part", "early_exit_ppm": 1}, 6_016_432_340),
        ({"early_exit": "reduced_rate", "early_exit_ppm": 20_000}, 1_002_739_726),
        ({"early_exit": "reduced_rate", "early_exit_ppm": 120_000}, ACCRUED_HALF_WAY),
        ({"early_exit": "reduced_rate", "early_exit_ppm": 0}, 0),
    ],
)
def test_what_each_policy_pays(terms: dict[str, object], reward_minor: int) -> None:
    """1000 at 12 %, left after 183 days."""
    plan = make_plan(**terms)
    check_terms(plan)
    found = early_exit(plan, THOUSAND, VALUE, MATURITY, HALF_WAY)
    assert found == Exit(THOUSAND, reward_minor, ACCRUED_HALF_WAY - reward_minor)
    assert found.payout_minor == THOUSAND + reward_minor


def test_an_odd_unit_is_the_owners() -> None:
    """Half of 3 units is forfeited: one, and two are paid."""
    plan = make_plan(early_exit="forfeit_part", early_exit_ppm=500_000)
    found = early_exit(plan, 365 * 25, VALUE, MATURITY, VALUE + timedelta(1))
    assert found == Exit(365 * 25, 2, 1)


def test_a_reduced_rate_above_the_bands_pays_what_accrued() -> None:
    """Terms that say so are refused; were they there, nobody gained by leaving."""
    plan = make_plan(early_exit="reduced_rate", early_exit_ppm=500_000)
    assert early_exit(plan, THOUSAND, VALUE, MATURITY, HALF_WAY) == Exit(THOUSAND, ACCRUED_HALF_WAY, 0)


def test_a_reduced_rate_counts_days_as_the_plan_does() -> None:
    """In a leap year by ACT/ACT: 59 days of 366 at 1 %."""
    plan = make_plan(early_exit="reduced_rate", early_exit_ppm=10_000, day_count="ACT/ACT")
    found = early_exit(plan, 366 * 100, date(2028, 1, 1), date(2029, 1, 1), date(2028, 2, 29))
    assert found == Exit(36_600, 59, 649)


@pytest.mark.parametrize(
    ("policy", "hold_days", "day", "refusal"),
    [
        ("forfeit_all", 0, VALUE, None),
        ("forfeit_all", 0, VALUE - timedelta(1), None),
        ("forfeit_all", 1, VALUE, "minimum_hold"),
        ("forfeit_all", 30, VALUE + timedelta(29), "minimum_hold"),
        ("forfeit_all", 30, VALUE + timedelta(30), None),
        ("forfeit_all", 0, MATURITY - timedelta(1), None),
        ("forfeit_all", 0, MATURITY, "stake_matured"),
        ("forfeit_all", 0, MATURITY + timedelta(1), "stake_matured"),
        ("not_allowed", 0, HALF_WAY, "early_exit_not_allowed"),
        ("not_allowed", 30, VALUE, "early_exit_not_allowed"),
        ("not_allowed", 0, MATURITY, "stake_matured"),
    ],
)
def test_when_a_stake_cannot_be_left(policy: str, hold_days: int, day: date, refusal: str | None) -> None:
    """Not at all, not before the hold is over, and not any more; the outcome is then not to be had."""
    plan = make_plan(early_exit=policy, minimum_hold_days=hold_days)
    assert exit_refusal(plan, VALUE, MATURITY, day) == refusal
    if refusal is None:
        assert early_exit(plan, THOUSAND, VALUE, MATURITY, day).principal_minor == THOUSAND
    else:
        with pytest.raises(ValueError, match=refusal):
            early_exit(plan, THOUSAND, VALUE, MATURITY, day)


@given(leavable_plans(), AMOUNTS, VALUE_DATES, st.data())
def test_nothing_is_lost_and_nothing_gained(
    plan: Plan, amount_minor: int, value_date: date, data: st.DataObject
) -> None:
    """The principal whole; paid and forfeited together are what accrued; never more than at maturity."""
    maturity_date, day = add_months(value_date, plan.period_months), drawn_day(data, plan, value_date)
    found = early_exit(plan, amount_minor, value_date, maturity_date, day)
    accrued = accrued_minor(plan, amount_minor, value_date, maturity_date, day)
    at_maturity = accrued_minor(plan, amount_minor, value_date, maturity_date, maturity_date)
    assert found.principal_minor == amount_minor
    assert min(found.reward_minor, found.forfeited_minor) >= 0
    assert found.reward_minor + found.forfeited_minor == accrued
    assert amount_minor <= found.payout_minor <= amount_minor + at_maturity


@given(leavable_plans(), AMOUNTS, VALUE_DATES, st.data())
def test_who_stays_longer_is_paid_no_less(
    plan: Plan, amount_minor: int, value_date: date, data: st.DataObject
) -> None:
    """And who forfeits a smaller part, or has a better reduced rate, neither."""
    maturity_date = add_months(value_date, plan.period_months)
    earlier, later = sorted((drawn_day(data, plan, value_date), drawn_day(data, plan, value_date)))
    first, second = (
        early_exit(plan, amount_minor, value_date, maturity_date, day).reward_minor
        for day in (earlier, later)
    )
    assert first <= second
    assume(plan.early_exit != "forfeit_all")
    other = replace(plan, early_exit_ppm=data.draw(st.integers(0, plan.early_exit_ppm)))
    reward_minor = early_exit(other, amount_minor, value_date, maturity_date, later).reward_minor
    assert reward_minor >= second if plan.early_exit == "forfeit_part" else reward_minor <= second


def test_the_table_has_each_month_and_the_last_day() -> None:
    """Three months from 30 November: the same day of each month, or its last, and the day before maturity."""
    plan = make_plan(period_months=4, early_exit="reduced_rate", early_exit_ppm=10_000)
    value_date, maturity_date = date(2027, 11, 30), date(2028, 3, 30)
    table = exit_table(plan, THOUSAND, value_date, maturity_date)
    assert [day for day, _ in table] == [
        date(2027, 11, 30),
        date(2027, 12, 30),
        date(2028, 1, 30),
        date(2028, 2, 29),
        date(2028, 3, 29),
    ]
    assert all(row == early_exit(plan, THOUSAND, value_date, maturity_date, day) for day, row in table)
    assert table[0][1] == Exit(THOUSAND, 0, 0)


def test_the_table_begins_when_the_hold_is_over() -> None:
    """Held for 40 days: the first row is the 40th day's, the next the second month's."""
    plan = make_plan(period_months=3, minimum_hold_days=40)
    table = exit_table(plan, THOUSAND, date(2027, 1, 15), date(2027, 4, 15))
    assert [day for day, _ in table] == [date(2027, 2, 24), date(2027, 3, 15), date(2027, 4, 14)]


def test_a_plan_that_cannot_be_left_has_no_table() -> None:
    """Nor has one that is held to the end."""
    assert exit_table(make_plan(early_exit="not_allowed"), THOUSAND, VALUE, MATURITY) == []
    assert exit_table(make_plan(minimum_hold_days=366), THOUSAND, VALUE, MATURITY) == []


@given(leavable_plans(), AMOUNTS, VALUE_DATES, st.integers(0, 27))
def test_a_table_is_short_and_in_order(
    plan: Plan, amount_minor: int, value_date: date, hold_days: int
) -> None:
    """From the first possible day to the last, at most 25 rows, none twice, about evenly apart."""
    plan = replace(plan, minimum_hold_days=hold_days)
    maturity_date = add_months(value_date, plan.period_months)
    days = [day for day, _ in exit_table(plan, amount_minor, value_date, maturity_date)]
    assert days[0] == value_date + timedelta(hold_days)
    assert days[-1] == maturity_date - timedelta(1)
    assert days == sorted(set(days))
    assert len(days) <= EXIT_TABLE_ROWS_MAX
    assert plan.period_months > 23 or len(days) in range(plan.period_months, plan.period_months + 2)
    months = [day.year * 12 + day.month for day in days[1:-1]]
    gaps = {after - before for before, after in pairwise(months)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_a_rate_chart_is_left_at_one_rate() -> None:
    """3 % and 5 % in bands become 1 % on all of it."""
    plan = make_plan(
        bands=(Band(0, 30_000), Band(1000, 50_000)), early_exit="reduced_rate", early_exit_ppm=10_000
    )
    found = early_exit(plan, 2000, date(2027, 3, 1), date(2028, 3, 1), date(2028, 2, 29))
    assert found == Exit(2000, 20, 60)
