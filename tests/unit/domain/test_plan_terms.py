"""Terms that make no sense are refused, all at once and in words; amounts are taken as the terms say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.plan_terms import check_amount, check_terms
from stakehold.domain.plans import Band
from tests.support.plans import make_plan


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"id": "A", "asset": "USD.T_2-X", "scale": 0},
        {"id": "X" * 32, "scale": 18, "version": 7},
        {"bands": (Band(0, 0),)},
        {"bands": (Band(0, 10**9), Band(1, 0)), "maximum_minor": 10**34},
        {"period_months": 1200, "maximum_minor": 10**36},
        {"period_months": 1, "minimum_hold_days": 27},
        {"period_months": 12, "minimum_hold_days": 364},
        {"minimum_minor": 100, "maximum_minor": 100, "step_minor": 50, "user_cap_minor": 100},
        {"minimum_minor": 100, "maximum_minor": 1000, "capacity_minor": 130, "user_cap_minor": 101},
        {"early_exit": "not_allowed"},
        {"early_exit": "forfeit_part", "early_exit_ppm": 1},
        {"early_exit": "forfeit_part", "early_exit_ppm": 1_000_000},
        {"early_exit": "reduced_rate", "early_exit_ppm": 0},
        {"early_exit": "reduced_rate", "early_exit_ppm": 120_000},
        {"cooldown_s": 90 * 86_400, "grace_s": 30 * 86_400},
        {"grace_s": 0, "on_sale_from_ms": 1, "on_sale_until_ms": 2, "day_count": "ACT/ACT"},
    ],
)
def test_terms_at_their_bounds_are_taken(terms: dict[str, Any]) -> None:
    """Each bound is inside."""
    check_terms(make_plan(**terms))


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"id": ""}, "A plan's name has"),
        ({"id": "X" * 33}, "A plan's name has"),
        ({"id": "stk-12m"}, "A plan's name has"),
        ({"id": "STK\n"}, "A plan's name has"),
        ({"asset": "=STK"}, "A plan's asset has"),
        ({"asset": "STK|"}, "A plan's asset has"),
        ({"asset": "ЅТК"}, "A plan's asset has"),
        ({"version": 0}, "Versions count from 1"),
        ({"scale": -1}, "0 to 18 decimal places"),
        ({"scale": 19}, "0 to 18 decimal places"),
        ({"day_count": "30/360"}, "one of ACT/365F, ACT/ACT"),
        ({"bands": ()}, "The first band begins at 0"),
        ({"bands": (Band(1, 5),)}, "The first band begins at 0"),
        ({"bands": (Band(0, 5), Band(0, 6))}, "Each band begins above"),
        ({"bands": (Band(0, 5), Band(9, 6), Band(8, 6))}, "Each band begins above"),
        ({"bands": (Band(0, 5), Band(10**38, 6))}, "A band begins at an amount of at most 38 digits"),
        ({"bands": (Band(0, -1),)}, "A rate is from 0 to 1000000000"),
        ({"bands": (Band(0, 5), Band(1, 10**9 + 1))}, "A rate is from 0 to 1000000000"),
        ({"minimum_minor": 0}, "The minimum is at least one"),
        ({"step_minor": 0}, "The step is at least one"),
        ({"minimum_minor": 10, "maximum_minor": 9}, "The maximum is not below the minimum"),
        ({"minimum_minor": 10, "user_cap_minor": 9}, "The cap for a user is not below the minimum"),
        ({"minimum_minor": 10, "capacity_minor": 9}, "The capacity is not below the minimum"),
        ({"minimum_minor": 15, "step_minor": 10}, "The minimum is a multiple of the step"),
        (
            {"minimum_minor": 10, "maximum_minor": 25, "step_minor": 10},
            "The maximum is a multiple of the step",
        ),
        ({"maximum_minor": 10**38}, "The maximum has at most 38 digits"),
        ({"minimum_minor": 10**38}, "The minimum has at most 38 digits"),
        ({"capacity_minor": 10**38}, "The capacity has at most 38 digits"),
        ({"user_cap_minor": 10**38}, "The cap for a user has at most 38 digits"),
        ({"minimum_minor": 10**38, "step_minor": 10**38}, "The step has at most 38 digits"),
        ({"period_months": 0}, "A period has 1 to 1200 months"),
        ({"period_months": 1201}, "A period has 1 to 1200 months"),
        ({"period_months": 1, "minimum_hold_days": 28}, "The minimum hold has fewer days"),
        ({"period_months": 12, "minimum_hold_days": 365}, "The minimum hold has fewer days"),
        ({"minimum_hold_days": -1}, "The minimum hold is not negative"),
        ({"cooldown_s": -1}, "The cooldown is from 0"),
        ({"cooldown_s": 90 * 86_400 + 1}, "The cooldown is from 0"),
        ({"grace_s": -1}, "The grace period is from 0"),
        ({"grace_s": 30 * 86_400 + 1}, "The grace period is from 0"),
        ({"on_sale_from_ms": 5, "on_sale_until_ms": 5}, "The sale ends after it begins"),
        ({"early_exit": "whenever"}, "An early exit is one of"),
        ({"early_exit": "not_allowed", "early_exit_ppm": 1}, "With not_allowed"),
        ({"early_exit": "forfeit_all", "early_exit_ppm": 1}, "With forfeit_all"),
        ({"early_exit": "forfeit_part", "early_exit_ppm": 0}, "The share that is forfeited"),
        ({"early_exit": "forfeit_part", "early_exit_ppm": 1_000_001}, "The share that is forfeited"),
        ({"early_exit": "reduced_rate", "early_exit_ppm": -1}, "The reduced rate is not"),
        ({"early_exit": "reduced_rate", "early_exit_ppm": 120_001}, "The reduced rate is not"),
        (
            {"bands": (Band(0, 9), Band(5, 3)), "early_exit": "reduced_rate", "early_exit_ppm": 4},
            "The reduced rate is not",
        ),
        ({"bands": (Band(0, 10**9),)}, "The reward on the largest amount"),
        (
            {"bands": (Band(0, 5), Band(1, 10**9)), "maximum_minor": 10**36},
            "The reward on the largest amount",
        ),
        ({"period_months": 1200}, "The reward on the largest amount"),
    ],
)
def test_each_term_is_checked(terms: dict[str, Any], problem: str) -> None:
    """One thing wrong, or what follows from it: it is named."""
    with pytest.raises(ValueError, match=problem):
        check_terms(make_plan(**terms))


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Who writes terms does not have to try again for each mistake."""
    with pytest.raises(ValueError, match="name") as caught:
        check_terms(make_plan(id="?", scale=99, bands=(), step_minor=0, period_months=0, early_exit_ppm=5))
    said = str(caught.value)
    for words in ("name", "decimal places", "first band", "step", "period", "forfeit_all"):
        assert words in said


@pytest.mark.parametrize(
    ("amount_minor", "refusal"),
    [
        (99, "below_minimum"),
        (100, None),
        (101, "off_step"),
        (125, None),
        (1000, None),
        (1001, "above_maximum"),
        (1025, "above_maximum"),
    ],
)
def test_amounts_are_taken_as_the_terms_say(amount_minor: int, refusal: str | None) -> None:
    """From 100 to 1000 in steps of 25."""
    assert (
        check_amount(make_plan(minimum_minor=100, maximum_minor=1000, step_minor=25), amount_minor) == refusal
    )


def test_no_amount_has_more_than_38_digits() -> None:
    """Without a maximum too: principal and reward of one that is renewed may come to more."""
    assert check_amount(make_plan(), 10**38 - 1) is None
    assert check_amount(make_plan(), 10**38) == "above_maximum"


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 20), st.integers(-10, 2000))
def test_what_is_taken_is_within_the_bounds_and_a_multiple(
    minimum_steps: int, more_steps: int, step_minor: int, amount_minor: int
) -> None:
    """Exactly the multiples of the step from the minimum to the maximum."""
    minimum_minor, maximum_minor = minimum_steps * step_minor, (minimum_steps + more_steps) * step_minor
    plan = make_plan(minimum_minor=minimum_minor, maximum_minor=maximum_minor, step_minor=step_minor)
    taken = amount_minor in range(minimum_minor, maximum_minor + 1, step_minor)
    assert (check_amount(plan, amount_minor) is None) == taken
