"""What accrues follows the published formula to the unit, however time and amounts are cut."""

from calendar import isleap
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stakehold.domain.accrual import Trace, accrued_minor, trace, yearly_weight
from stakehold.domain.calendar import add_months
from stakehold.domain.plans import Band, DayCount, Plan
from tests.support.plans import make_plan

AMOUNTS = st.integers(1, 10**6) | st.integers(1, 10**38 - 1)
RATES_PPM = st.integers(0, 300_000) | st.integers(0, 10**9)
VALUE_DATES = st.dates(date(1999, 1, 1), date(2210, 12, 31))
DAY_COUNTS: tuple[DayCount, ...] = ("ACT/365F", "ACT/ACT")


@st.composite
def bands(draw: st.DrawFn) -> tuple[Band, ...]:
    """A single rate, or a chart of up to five bands."""
    edges = sorted(draw(st.sets(AMOUNTS, max_size=4)))
    return tuple(Band(edge, draw(RATES_PPM)) for edge in [0, *edges])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    months = draw(st.integers(1, 24) | st.integers(1, 1200))
    return make_plan(period_months=months, bands=draw(bands()), day_count=draw(st.sampled_from(DAY_COUNTS)))


def flat(rate_ppm: int, day_count: DayCount = "ACT/365F", months: int = 12) -> Plan:
    return make_plan(bands=(Band(0, rate_ppm),), day_count=day_count, period_months=months)


def accrued_after(plan: Plan, amount_minor: int, value_date: date, days: int) -> int:
    """What has accrued `days` after the value date."""
    maturity_date = add_months(value_date, plan.period_months)
    return accrued_minor(plan, amount_minor, value_date, maturity_date, value_date + timedelta(days))


def reward(plan: Plan, amount_minor: int, value_date: date) -> int:
    maturity_date = add_months(value_date, plan.period_months)
    return accrued_minor(plan, amount_minor, value_date, maturity_date, maturity_date)


def exact_day_by_day(plan: Plan, amount_minor: int, value_date: date, days: int) -> Fraction:
    """The same interest, unrounded, by another way: a rate is what each band adds to the one below, and each
    day adds its own part of its own year."""
    yearly, below_ppm = Fraction(0), 0
    for band in plan.bands:
        yearly += max(0, amount_minor - band.from_minor) * Fraction(band.rate_ppm - below_ppm, 10**6)
        below_ppm = band.rate_ppm
    years = Fraction(0)
    for number in range(days):
        year = (value_date + timedelta(number)).year
        years += Fraction(1, 366 if plan.day_count == "ACT/ACT" and isleap(year) else 365)
    return yearly * years


@pytest.mark.parametrize(
    ("value_date", "months", "days", "act_365f", "act_act"),
    [
        (date(2027, 1, 31), 1, 28, 920_547_945, 920_547_945),
        (date(2028, 1, 31), 1, 29, 953_424_657, 950_819_672),
        (date(2028, 2, 29), 12, 365, 12_000_000_000, 11_972_423_085),
        (date(2027, 6, 15), 12, 366, 12_032_876_712, 12_017_965_416),
        (date(2027, 12, 31), 2, 60, 1_972_602_739, 1_967_302_941),
    ],
)
def test_golden_vectors(value_date: date, months: int, days: int, act_365f: int, act_act: int) -> None:
    """1000 at 12 % and scale 8, by both day counts."""
    maturity_date = add_months(value_date, months)
    assert (maturity_date - value_date).days == days
    assert reward(flat(120_000, "ACT/365F", months), 1000 * 10**8, value_date) == act_365f
    assert reward(flat(120_000, "ACT/ACT", months), 1000 * 10**8, value_date) == act_act


def test_rounding_each_day_by_itself_would_lose_117_units() -> None:
    """123456789 units at 3.5 % for 365 days earn 4320987; 365 days rounded down one by one are 4320870."""
    value_date = date(2027, 3, 1)
    a_day = accrued_after(flat(35_000), 123_456_789, value_date, 1)
    assert a_day * 365 == 4_320_870
    assert accrued_after(flat(35_000), 123_456_789, value_date, 365) == 4_320_987


def test_dust_earns_what_its_days_come_to() -> None:
    """At 12 %, below 3042 units one day earns nothing; days together do."""
    value_date = date(2027, 3, 1)
    assert accrued_after(flat(120_000), 3041, value_date, 1) == 0
    assert accrued_after(flat(120_000), 3042, value_date, 1) == 1
    assert accrued_after(flat(120_000), 3041, value_date, 2) == 1
    assert accrued_after(flat(120_000), 3041, value_date, 365) == 364
    assert accrued_after(flat(120_000), 8, value_date, 365) == 0
    assert accrued_after(flat(120_000), 9, value_date, 365) == 1


def test_bands_are_marginal() -> None:
    """3 % on the first 1000, 5 % from there to 5000, 2 % above: 30 on 1000, 230 on 5000, 330 on 10000."""
    plan = make_plan(bands=(Band(0, 30_000), Band(1000, 50_000), Band(5000, 20_000)))
    value_date = date(2027, 3, 1)
    for amount_minor, earned in ((1, 0), (1000, 30), (1020, 31), (5000, 230), (10_000, 330)):
        assert accrued_after(plan, amount_minor, value_date, 365) == earned
    assert yearly_weight(plan, 999) == 999 * 30_000
    assert yearly_weight(plan, 1001) == 1000 * 30_000 + 50_000


def test_the_trace_is_what_one_computes_by_hand() -> None:
    """Two months over New Year 2028: one day in 2027, 59 in 2028, of 366 days each."""
    value_date, maturity_date = date(2027, 12, 31), date(2028, 2, 29)
    plan, amount_minor = flat(120_000, "ACT/ACT", 2), 1000 * 10**8
    assert trace(plan, amount_minor, value_date, maturity_date, date(2028, 2, 29)) == Trace(
        days=60,
        days_in_common_years=1,
        days_in_leap_years=59,
        yearly_weight=12_000_000_000_000_000,
        numerator=12_000_000_000_000_000 * (1 * 366 + 59 * 365),
        denominator=1_000_000 * 365 * 366,
        accrued_minor=1_967_302_941,
    )
    by_365 = trace(flat(120_000, "ACT/365F", 2), amount_minor, value_date, maturity_date, date(2028, 2, 29))
    assert (by_365.days_in_common_years, by_365.days_in_leap_years) == (1, 59)
    assert (by_365.numerator, by_365.denominator) == (12_000_000_000_000_000 * 60, 365_000_000)


@given(plans(), AMOUNTS, VALUE_DATES)
def test_nothing_accrues_outside_of_the_term(plan: Plan, amount_minor: int, value_date: date) -> None:
    """Nothing up to the value date, the whole reward from the maturity date on, whenever one looks."""
    maturity_date = add_months(value_date, plan.period_months)
    for day in (date.min, value_date - timedelta(1), value_date):
        assert accrued_minor(plan, amount_minor, value_date, maturity_date, day) == 0
    whole = accrued_minor(plan, amount_minor, value_date, maturity_date, maturity_date)
    for day in (maturity_date + timedelta(1), date.max):
        assert accrued_minor(plan, amount_minor, value_date, maturity_date, day) == whole


@given(plans(), AMOUNTS, VALUE_DATES, st.integers(0, 800))
def test_it_is_the_exact_interest_rounded_down_once(
    plan: Plan, amount_minor: int, value_date: date, days: int
) -> None:
    """Never more than the exact fraction, and less than one unit below it; the trace says the fraction."""
    maturity_date = add_months(value_date, plan.period_months)
    days = min(days, (maturity_date - value_date).days)
    exact = exact_day_by_day(plan, amount_minor, value_date, days)
    found = trace(plan, amount_minor, value_date, maturity_date, value_date + timedelta(days))
    assert found.accrued_minor <= exact < found.accrued_minor + 1
    assert Fraction(found.numerator, found.denominator) == exact
    assert found.days == days == found.days_in_common_years + found.days_in_leap_years


@given(plans(), AMOUNTS, VALUE_DATES, st.data())
def test_it_grows_with_days(plan: Plan, amount_minor: int, value_date: date, data: st.DataObject) -> None:
    """A later day never has less."""
    last = (add_months(value_date, plan.period_months) - value_date).days
    fewer, more = sorted(data.draw(st.tuples(st.integers(0, last), st.integers(0, last))))
    assert accrued_after(plan, amount_minor, value_date, fewer) <= accrued_after(
        plan, amount_minor, value_date, more
    )


@given(plans(), AMOUNTS, AMOUNTS, VALUE_DATES, st.integers(0, 40_000))
def test_it_grows_with_the_amount(plan: Plan, one: int, other: int, value_date: date, days: int) -> None:
    """More never earns less, whatever the bands' rates."""
    less, more = sorted((one, other))
    assert accrued_after(plan, less, value_date, days) <= accrued_after(plan, more, value_date, days)


@given(plans(), AMOUNTS, VALUE_DATES, st.integers(0, 40_000), st.integers(0, 4), st.integers(0, 10**9))
def test_it_grows_with_the_rate(
    plan: Plan, amount_minor: int, value_date: date, days: int, index: int, more_ppm: int
) -> None:
    """A higher rate in any band never earns less."""
    assume(index < len(plan.bands))
    raised = list(plan.bands)
    raised[index] = replace(raised[index], rate_ppm=raised[index].rate_ppm + more_ppm)
    higher = replace(plan, bands=tuple(raised))
    assert accrued_after(plan, amount_minor, value_date, days) <= accrued_after(
        higher, amount_minor, value_date, days
    )


@given(plans(), AMOUNTS, VALUE_DATES, st.lists(st.integers(-5, 40_000), max_size=12))
def test_the_parts_sum_to_the_whole(plan: Plan, amount_minor: int, value_date: date, cuts: list[int]) -> None:
    """However the term is cut into stretches, empty ones and ones past maturity among them."""
    days = [0, *sorted(max(0, cut) for cut in cuts), 40_000]
    so_far = [accrued_after(plan, amount_minor, value_date, day) for day in days]
    parts = [after - before for before, after in pairwise(so_far)]
    assert all(part >= 0 for part in parts)
    assert sum(parts) == reward(plan, amount_minor, value_date)


@given(plans(), VALUE_DATES, st.data())
def test_a_band_begins_where_the_one_before_ends(plan: Plan, value_date: date, data: st.DataObject) -> None:
    """Across an edge there is no jump: a unit more earns what a unit earns in its band, in a year."""
    band = data.draw(st.sampled_from(plan.bands))
    at_edge = yearly_weight(plan, band.from_minor)
    assert yearly_weight(plan, band.from_minor + 1) - at_edge == band.rate_ppm
    if band.from_minor:
        below = max(b.rate_ppm for b in plan.bands if b.from_minor < band.from_minor)
        assert 0 <= at_edge - yearly_weight(plan, band.from_minor - 1) <= below


@given(plans(), AMOUNTS, AMOUNTS, VALUE_DATES, st.integers(0, 40_000))
def test_a_band_cut_in_two_changes_nothing(
    plan: Plan, edge_minor: int, amount_minor: int, value_date: date, days: int
) -> None:
    """Two bands of one rate, side by side, are one band."""
    assume(all(band.from_minor != edge_minor for band in plan.bands))
    below = max((band for band in plan.bands if band.from_minor < edge_minor), key=lambda b: b.from_minor)
    cut = sorted([*plan.bands, Band(edge_minor, below.rate_ppm)], key=lambda band: band.from_minor)
    assert accrued_after(plan, amount_minor, value_date, days) == accrued_after(
        replace(plan, bands=tuple(cut)), amount_minor, value_date, days
    )


@given(AMOUNTS, RATES_PPM, VALUE_DATES, st.integers(1, 1200))
def test_the_day_counts_agree_without_leap_years(
    amount_minor: int, rate_ppm: int, value_date: date, months: int
) -> None:
    """ACT/ACT never earns more than ACT/365F, and as much while no day lies in a leap year."""
    by_365, by_year = flat(rate_ppm, "ACT/365F", months), flat(rate_ppm, "ACT/ACT", months)
    days = (add_months(value_date, months) - value_date).days
    common = next((n for n in range(days) if isleap((value_date + timedelta(n)).year)), days)
    assert accrued_after(by_year, amount_minor, value_date, common) == accrued_after(
        by_365, amount_minor, value_date, common
    )
    assert reward(by_year, amount_minor, value_date) <= reward(by_365, amount_minor, value_date)
