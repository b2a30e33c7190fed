"""How much a process remembers of limits, whoever comes and however often."""

import random

import pytest

from stakehold.limits.fallback import LocalLog
from stakehold.limits.policies import Policy
from tests.support.fakes import ManualClock, SeededEntropy

ONE, MANY = Policy("auth", 1), Policy("global", 1_000_000)


def test_the_log_keeps_no_more_charges_than_its_bound() -> None:
    """One subject with a quota without end cannot fill the memory; it is forgotten and begins anew."""
    local = LocalLog(ManualClock(), processes=1, charges_max=10)
    remaining = []
    for number in range(25):
        decision = local.admit("u:1", (MANY,), str(number))
        assert not decision.violated
        remaining.append(MANY.quota - decision.limits[0].remaining)
    assert max(remaining) == 10
    assert local.charges <= 10


def test_those_not_seen_for_longest_are_forgotten_first() -> None:
    """Beyond the bound, who was seen lately keeps what it was charged."""
    local = LocalLog(ManualClock(), processes=1, charges_max=4)
    for subject in ("a", "b", "c", "d"):
        local.record(subject, (ONE,), f"first of {subject}")
    assert local.admit("a", (ONE,), "second").violated
    local.record("e", (ONE,), "first of e")
    assert local.admit("a", (ONE,), "third").violated
    assert not local.admit("b", (ONE,), "second of b").violated


@pytest.mark.parametrize("charges_max", [5, 40, 10**9])
def test_charges_are_counted_right_whatever_happens(charges_max: int, entropy: SeededEntropy) -> None:
    """Recorded, admitted, refused, taken back, out of their window or forgotten: in the end none is left."""
    clock, draw = ManualClock(), random.Random(entropy.seed)
    policies = (Policy("auth", 3, 10), Policy("global", 5, 30))
    local = LocalLog(clock, processes=1, subjects_max=4, charges_max=charges_max)
    for _ in range(3000):
        clock.advance(draw.random() * 4)
        subject, request = f"u:{draw.randrange(6)}", str(draw.randrange(40))
        some = policies[: draw.randint(1, 2)]
        act = draw.choice([local.record, local.admit, local.take_back])
        act(subject, some, request)
        assert 0 <= local.charges < charges_max + len(policies)
    clock.advance(31)
    for number in range(6):
        local.record(f"u:{number}", policies, "last")
        local.take_back(f"u:{number}", policies, "last")
    assert local.charges == 0
