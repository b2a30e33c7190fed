"""Random stakes by the thousand: what a quote says is what settlement pays, and its parts sum to it.

STAKEHOLD_MILLION=1 makes it a million. The seed is printed with a failure; STAKEHOLD_TEST_SEED repeats it.
"""

import os
from calendar import isleap
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from random import Random

from stakehold.domain.accrual import accrued_minor, trace
from stakehold.domain.calendar import add_months
from stakehold.domain.exits import early_exit
from stakehold.domain.plans import Band, Plan
from tests.support.fakes import SeededEntropy
from tests.support.plans import make_plan

STAKES = 1_000_000 if os.environ.get("STAKEHOLD_MILLION") == "1" else 20_000
LOOKED_AT_DAY_BY_DAY = 0.005
FIRST_VALUE_DATE = date(2020, 1, 1)


def random_plan(random: Random) -> Plan:
    edges = sorted(
        {random.randrange(1, 10 ** random.randint(1, 38)) for _ in range(random.choice((0, 0, 1, 3)))}
    )
    rates = [random.randrange(10 ** random.randint(1, 7)) for _ in range(len(edges) + 1)]
    policy = random.choice(("forfeit_all", "forfeit_part", "reduced_rate"))
    highest_ppm = {"forfeit_all": 0, "forfeit_part": 10**6, "reduced_rate": min(rates)}[policy]
    return make_plan(
        period_months=random.choice((1, 3, 6, 12, random.randint(1, 60))),
        bands=tuple(Band(edge, rate) for edge, rate in zip([0, *edges], rates, strict=True)),
        day_count=random.choice(("ACT/365F", "ACT/ACT")),
        early_exit=policy,
        early_exit_ppm=random.randint(0, highest_ppm),
    )


def exact_reward(plan: Plan, amount_minor: int, value_date: date, maturity_date: date) -> Fraction:
    """By fractions, a day at a time, each band's part by itself."""
    total = Fraction(0)
    edges = [*(band.from_minor for band in plan.bands), 10**38]
    day = value_date
    while day < maturity_date:
        year_days = 366 if plan.day_count == "ACT/ACT" and isleap(day.year) else 365
        for band, end_minor in zip(plan.bands, edges[1:], strict=True):
            if amount_minor > band.from_minor:
                part_minor = min(amount_minor, end_minor) - band.from_minor
                total += Fraction(part_minor * band.rate_ppm, 10**6 * year_days)
        day += timedelta(1)
    return total


def test_a_million_stakes_are_paid_as_quoted(entropy: SeededEntropy) -> None:
    """Settled on whatever days, late and twice among them; left early, for no more than that."""
    random = Random(entropy.seed)
    looked_at = 0
    for number in range(STAKES):
        plan, amount_minor = random_plan(random), random.randrange(1, 10 ** random.randint(1, 38))
        value_date = FIRST_VALUE_DATE + timedelta(random.randrange(365 * 200))
        maturity_date = add_months(value_date, plan.period_months)
        term_days = (maturity_date - value_date).days
        quoted = trace(plan, amount_minor, value_date, maturity_date, maturity_date).accrued_minor

        settled_on = sorted(value_date + timedelta(random.randint(0, term_days + 30)) for _ in range(4))
        last = maturity_date + timedelta(random.randint(0, 400))
        accrued = [
            accrued_minor(plan, amount_minor, value_date, maturity_date, day)
            for day in (value_date, *settled_on, last, last)
        ]
        parts = [after - before for before, after in pairwise(accrued)]
        stake = f"stake {number}: {amount_minor} from {value_date}, {plan}"
        assert accrued[0] == 0, stake
        assert min(parts) >= 0, stake
        assert sum(parts) == quoted, stake

        day = value_date + timedelta(random.randrange(term_days))
        left = early_exit(plan, amount_minor, value_date, maturity_date, day)
        had_accrued = accrued_minor(plan, amount_minor, value_date, maturity_date, day)
        assert left.reward_minor + left.forfeited_minor == had_accrued, stake
        assert 0 <= left.reward_minor <= had_accrued <= quoted, stake

        if random.random() < LOOKED_AT_DAY_BY_DAY:
            looked_at += 1
            exact = exact_reward(plan, amount_minor, value_date, maturity_date)
            assert quoted <= exact < quoted + 1, stake
    print(f"{STAKES} stakes, {looked_at} of them computed day by day as well.")
    assert looked_at > 0
