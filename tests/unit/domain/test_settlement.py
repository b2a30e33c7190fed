"""What becomes of a stake when its time has come, by the terms alone."""

import random
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.calendar import add_months
from stakehold.domain.errors import AlteredRowError
from stakehold.domain.exits import early_exit
from stakehold.domain.ledger import Movement, fold
from stakehold.domain.plans import Band
from stakehold.domain.settlement import Settlement, fault_of_terms, renewal_of, settle
from stakehold.domain.stakes import MaturityInstruction, Stake
from stakehold.domain.timestamps import DAY_MS, midnight_ms, utc_date
from tests.support.fakes import SeededEntropy
from tests.support.plans import make_plan

OLD, NEW, OWNER = UUID(int=1), UUID(int=2), UUID(int=3)
TWELVE_PERCENT = (Band(0, 120_000),)
GOLDEN_MINOR = 100_000_000_000
"""1000 at scale 8, of which the published vectors are."""


def make_stake(
    start: date,
    instruction: MaturityInstruction = "payout",
    *,
    amount_minor: int = GOLDEN_MINOR,
    months: int = 1,
    **terms: Any,
) -> Stake:
    maturity = add_months(start, months)
    return Stake(
        id=OLD,
        user_id=OWNER,
        amount_minor=amount_minor,
        plan=make_plan(period_months=months, **{"bands": TWELVE_PERCENT, **terms}),
        state="active",
        created_at_ms=midnight_ms(start),
        value_date=start,
        maturity_date=maturity,
        origin_date=start,
        origin_months=months,
        maturity_instruction=instruction,
        due_at_ms=midnight_ms(maturity),
    )


def moves(settled: Settlement) -> list[tuple[str, str, str, int]]:
    return [
        (movement.kind, movement.debit_account, movement.credit_account, movement.amount_minor)
        for movement in settled.movements
    ]


@pytest.mark.parametrize(
    ("start", "months", "day_count", "reward_minor"),
    [
        (date(2027, 1, 31), 1, "ACT/365F", 920547945),
        (date(2027, 1, 31), 1, "ACT/ACT", 920547945),
        (date(2028, 1, 31), 1, "ACT/365F", 953424657),
        (date(2028, 1, 31), 1, "ACT/ACT", 950819672),
        (date(2028, 2, 29), 12, "ACT/365F", 12000000000),
        (date(2028, 2, 29), 12, "ACT/ACT", 11972423085),
        (date(2027, 6, 15), 12, "ACT/365F", 12032876712),
        (date(2027, 6, 15), 12, "ACT/ACT", 12017965416),
        (date(2027, 12, 31), 2, "ACT/365F", 1972602739),
        (date(2027, 12, 31), 2, "ACT/ACT", 1967302941),
    ],
)
def test_what_is_paid_at_maturity_is_the_formula(
    start: date, months: int, day_count: str, reward_minor: int
) -> None:
    """The golden vectors, as transfers: the principal from the stake's account, the reward from the house."""
    settled = settle(make_stake(start, months=months, day_count=day_count))
    assert (settled.state, settled.reward_minor, settled.forfeited_minor) == ("paid_out", reward_minor, 0)
    assert moves(settled) == [
        ("principal", f"stake:{OLD}", "available", GOLDEN_MINOR),
        ("reward", "rewards", "available", reward_minor),
    ]
    assert settled.renewal is None


def test_dust_moves_no_reward() -> None:
    """A reward that rounds down to nothing is no transfer."""
    settled = settle(make_stake(date(2027, 1, 31), amount_minor=1))
    assert moves(settled) == [("principal", f"stake:{OLD}", "available", 1)]
    assert settled.reward_minor == 0
    stake = make_stake(date(2027, 1, 31), "renew_all", amount_minor=1)
    renewal = renewal_of(stake, stake.plan, NEW)
    assert moves(settle(stake, renewal)) == [("renewal", f"stake:{OLD}", f"stake:{NEW}", 1)]


def test_the_principal_is_renewed_and_the_reward_paid() -> None:
    stake = make_stake(date(2027, 1, 31), "renew_principal")
    renewal = renewal_of(stake, stake.plan, NEW)
    assert renewal is not None
    settled = settle(stake, renewal)
    assert (settled.state, settled.reward_minor, settled.renewal) == ("renewed", 920547945, renewal)
    assert moves(settled) == [
        ("renewal", f"stake:{OLD}", f"stake:{NEW}", GOLDEN_MINOR),
        ("reward", "rewards", "available", 920547945),
    ]
    assert (renewal.id, renewal.renewed_from, renewal.amount_minor) == (NEW, OLD, GOLDEN_MINOR)


def test_all_is_renewed_to_the_unit() -> None:
    stake = make_stake(date(2027, 1, 31), "renew_all")
    renewal = renewal_of(stake, stake.plan, NEW)
    assert renewal is not None
    assert moves(settle(stake, renewal)) == [
        ("renewal", f"stake:{OLD}", f"stake:{NEW}", GOLDEN_MINOR),
        ("reward", "rewards", f"stake:{NEW}", 920547945),
    ]
    assert renewal.amount_minor == GOLDEN_MINOR + 920547945


def test_renewals_keep_the_day_they_began_on() -> None:
    """31 January by way of 28 February to 31 March, and so on; each begins where the one before ends."""
    stake = make_stake(date(2027, 1, 31), "renew_principal")
    days = [stake.maturity_date]
    for number in range(2, 15):
        renewal = renewal_of(stake, stake.plan, UUID(int=number))
        assert renewal is not None
        assert renewal.value_date == stake.maturity_date
        assert renewal.due_at_ms == midnight_ms(renewal.maturity_date)
        assert renewal.maturity_instruction == "renew_principal"
        assert (renewal.origin_date, renewal.origin_months) == (date(2027, 1, 31), number)
        stake = renewal
        days.append(stake.maturity_date)
    assert [(day.month, day.day) for day in days] == [
        (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31),
        (9, 30), (10, 31), (11, 30), (12, 31), (1, 31), (2, 29), (3, 31),
    ]  # fmt: skip


def test_another_period_counts_from_the_origin_too() -> None:
    """The version on sale may last longer: one month and then three from 31 January end on 31 May."""
    stake = make_stake(date(2027, 1, 31), "renew_principal")
    renewal = renewal_of(stake, make_plan(version=2, period_months=3), NEW)
    assert renewal is not None
    assert (renewal.maturity_date, renewal.origin_months, renewal.plan.version) == (date(2027, 5, 31), 4, 2)


@pytest.mark.parametrize(
    ("terms", "is_renewed"),
    [
        ({"minimum_minor": GOLDEN_MINOR + 920547945}, True),
        ({"minimum_minor": GOLDEN_MINOR + 920547946}, False),
        ({"maximum_minor": GOLDEN_MINOR + 920547945}, True),
        ({"maximum_minor": GOLDEN_MINOR + 920547944}, False),
        ({"step_minor": 5}, True),
        ({"step_minor": 10}, False),
    ],
)
def test_an_amount_outside_the_terms_is_paid_out(terms: dict[str, Any], is_renewed: bool) -> None:
    """The amount that would be renewed, the reward included, has to fit; to the unit."""
    stake = make_stake(date(2027, 1, 31), "renew_all")
    renewal = renewal_of(stake, make_plan(bands=TWELVE_PERCENT, period_months=1, **terms), NEW)
    assert (renewal is not None) == is_renewed


def test_an_amount_of_more_than_38_digits_is_paid_out() -> None:
    largest = 10**38 - 1
    stake = make_stake(date(2027, 1, 31), "renew_all", amount_minor=largest)
    assert renewal_of(stake, stake.plan, NEW) is None
    stake = make_stake(date(2027, 1, 31), "renew_principal", amount_minor=largest)
    assert renewal_of(stake, stake.plan, NEW) is not None


def test_without_a_plan_on_sale_or_an_instruction_it_is_paid_out() -> None:
    stake = make_stake(date(2027, 1, 31), "renew_all")
    assert renewal_of(stake, None, NEW) is None
    stake = make_stake(date(2027, 1, 31), "payout")
    assert renewal_of(stake, stake.plan, NEW) is None


def test_the_calendar_ends_in_9999() -> None:
    stake = make_stake(date(9999, 11, 30), "renew_all")
    assert renewal_of(stake, stake.plan, NEW) is None


NOT_LEFT = {"reward_minor": None, "forfeited_minor": None, "exited_on": None}


def _left(**outcome: Any) -> Stake:
    """A stake whose owner left after three days, by a policy that takes half of what had accrued."""
    stake = make_stake(date(2027, 1, 31), "renew_all")
    plan = replace(stake.plan, early_exit="forfeit_part", early_exit_ppm=500_000)
    day = date(2027, 2, 3)
    paid = early_exit(plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
    terms = {"reward_minor": paid.reward_minor, "forfeited_minor": paid.forfeited_minor, "exited_on": day}
    terms["due_at_ms"] = midnight_ms(day) + DAY_MS // 2
    return replace(stake, **({"plan": plan, "state": "unstaking"} | terms | outcome))


def test_a_stake_that_was_left_is_released_with_what_was_certain() -> None:
    """Whatever its instruction says and whatever is on sale: nothing is renewed, and that is paid."""
    left = _left()
    assert left.reward_minor
    assert renewal_of(left, left.plan, NEW) is None
    settled = settle(left)
    assert (settled.state, settled.reward_minor) == ("closed_early", left.reward_minor)
    assert settled.forfeited_minor == left.forfeited_minor
    assert moves(settled) == [
        ("principal", f"stake:{OLD}", "available", GOLDEN_MINOR),
        ("reward", "rewards", "available", left.reward_minor),
    ]


@pytest.mark.parametrize(
    "outcome",
    [
        {"reward_minor": 10**20},
        {"forfeited_minor": 0},
        {"exited_on": None},
        {"exited_on": date(2027, 2, 4)},
        {"exited_on": date(2028, 1, 1)},
        {"due_at_ms": midnight_ms(date(2027, 2, 3)) - 1},
        {"due_at_ms": midnight_ms(date(2027, 2, 5))},
        {"due_at_ms": midnight_ms(date(2027, 2, 28)) + 1},
        {"state": "active"},
        {"state": "active", **NOT_LEFT, "due_at_ms": midnight_ms(date(2027, 2, 28)) - 1},
    ],
)
def test_nobody_is_paid_by_a_row_that_was_altered(outcome: dict[str, Any]) -> None:
    """What a stake pays, and when, has to be what its terms say."""
    with pytest.raises(AlteredRowError, match=f"stake {OLD}"):
        settle(_left(**outcome))


def test_whoever_leaves_by_the_rules_is_paid(entropy: SeededEntropy) -> None:
    """At any moment, by any policy and cooldown: nothing is amiss, waiting or paid; a day early it is."""
    chance = random.Random(entropy.seed)
    for _ in range(2000):
        policy = chance.choice(["forfeit_all", "forfeit_part", "reduced_rate"])
        cooldown_s = chance.choice([0, 1, 86_400, 40 * 86_400])
        ppm = 0 if policy == "forfeit_all" else 10_000
        terms = {"early_exit": policy, "early_exit_ppm": ppm, "cooldown_s": cooldown_s}
        stake = make_stake(date(2027, 1, 31), months=chance.choice([1, 3]), **terms)
        left_ms = chance.randrange(midnight_ms(stake.value_date), stake.matures_at_ms)
        day = utc_date(left_ms)
        paid = early_exit(stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, day)
        due_ms = min(left_ms + cooldown_s * 1000, stake.matures_at_ms)
        left = replace(
            stake,
            state="unstaking",
            exited_on=day,
            due_at_ms=due_ms,
            reward_minor=paid.reward_minor,
            forfeited_minor=paid.forfeited_minor,
        )
        ended = replace(left, state="closed_early", due_at_ms=None, ended_at_ms=due_ms)
        assert (fault_of_terms(left), fault_of_terms(ended)) == (None, None), left
        too_early = replace(ended, ended_at_ms=due_ms - DAY_MS)
        assert fault_of_terms(too_early) == "ended before it could", left
        # By a quote of the day it may have been left a minute after.
        last_ms = min(midnight_ms(day) + DAY_MS + 60_000 + cooldown_s * 1000, stake.matures_at_ms)
        assert fault_of_terms(replace(left, due_at_ms=last_ms)) is None, left
        too_late = "is due after its " + ("maturity" if last_ms == stake.matures_at_ms else "cooldown")
        assert fault_of_terms(replace(left, due_at_ms=last_ms + 1)) == too_late, left


def test_the_books_balance_whatever_is_settled(entropy: SeededEntropy) -> None:
    """2,000 random lines of renewals: the stakes' accounts end at zero, and all is accounted for."""
    chance = random.Random(entropy.seed)
    for _ in range(2000):
        start = date(2027, 1, 1).fromordinal(chance.randrange(738_000, 745_000))
        instruction: MaturityInstruction = chance.choice(["payout", "renew_principal", "renew_all"])
        amount_minor = chance.choice([1, chance.randrange(1, 10**6), chance.randrange(1, 10**30)])
        stake = make_stake(start, instruction, amount_minor=amount_minor, months=chance.choice([1, 3, 12]))
        movements = [Movement("stake", "custody", f"stake:{OLD}", "STK", amount_minor, OLD)]
        rewards_minor = 0
        for number in range(2, chance.randrange(3, 8)):
            on_sale = stake.plan if chance.random() < 0.8 else None
            renewal = renewal_of(stake, on_sale, UUID(int=number))
            settled = settle(stake, renewal)
            rewards_minor += accrued_minor(
                stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date, date.max
            )
            movements += settled.movements
            if renewal is None:
                break
            stake = renewal
        else:
            settled = settle(stake)
            rewards_minor += settled.reward_minor
            movements += settled.movements
        balances = fold(movements)
        assert sum(balances.values()) == 0
        assert all(movement.amount_minor > 0 for movement in movements)
        assert {account: minor for (_, account), minor in balances.items() if minor} == {
            "custody": -amount_minor,
            "available": amount_minor + rewards_minor,
            **({"rewards": -rewards_minor} if rewards_minor else {}),
        }
