"""A stake's dates follow from its id and its plan."""

from datetime import UTC, date, datetime

import pytest

from stakehold.domain.ids import new_id
from stakehold.domain.plans import Plan
from stakehold.domain.stakes import Stake
from tests.support.fakes import ManualClock, SeededEntropy


def moment_ms(year: int, month: int, day: int) -> int:
    return round(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


def stake_made(at_ms: int, months: int) -> Stake:
    plan = Plan(f"STK-{months}M", 1, "STK", 8, months, 120_000, 1)
    return Stake(new_id(ManualClock(at_ms), SeededEntropy(1)), 100_000_000_000, plan)


@pytest.mark.parametrize(
    ("made", "months", "matures"),
    [
        ((2027, 1, 31), 1, (2027, 2, 28)),
        ((2028, 1, 31), 1, (2028, 2, 29)),
        ((2028, 2, 29), 12, (2029, 2, 28)),
        ((2027, 6, 15), 12, (2028, 6, 15)),
        ((2027, 12, 31), 2, (2028, 2, 29)),
    ],
)
@pytest.mark.parametrize("into_the_day_ms", [0, 1, 43_200_000, 86_399_999])
def test_golden_vectors(
    made: tuple[int, int, int], months: int, matures: tuple[int, int, int], into_the_day_ms: int
) -> None:
    """The maturity is that of the day it was made on, whatever the time of day, 23:59:59.999 included."""
    at_ms = moment_ms(*made) + into_the_day_ms
    stake = stake_made(at_ms, months)
    assert stake.created_at_ms == at_ms
    assert stake.value_date == date(*made)
    assert stake.maturity_date == date(*matures)
    assert stake.matures_at_ms == moment_ms(*matures)


def test_a_stake_matures_at_midnight() -> None:
    """Active until the last millisecond before its maturity date, matured from its first on."""
    stake = stake_made(moment_ms(2027, 1, 31), 1)
    midnight_ms = moment_ms(2027, 2, 28)
    assert stake.status_at(stake.created_at_ms) == "active"
    assert stake.status_at(midnight_ms - 1) == "active"
    assert stake.status_at(midnight_ms) == "matured"
    assert stake.status_at(midnight_ms + 10**12) == "matured"
