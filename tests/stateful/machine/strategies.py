"""What the machine draws: people, amounts and how they are written, moments, and faults."""

from typing import Final

from hypothesis import strategies as st

from tests.stateful.machine.faults import CALM, KILLS, Faults, StatementFault, TripFault
from tests.stateful.machine.model import RATES, SCALE, Asked, canonical_amount

DAY_MS: Final = 24 * 3600 * 1000

PICK = st.integers(0, 63)
"""Which of several: modulo how many there are."""

AT = st.integers(0, 1)
NAMES = st.sampled_from(["ada", "grace", "zoë"])
PASSWORDS = st.sampled_from(["correct horse battery", "a long walk on a cold day", "staple the stapler"])

BEGINNINGS = st.sampled_from(
    [
        1_801_439_999_000,  # 2027-01-31T23:59:59Z: a month later there is no such day
        1_835_395_200_123,  # 2028-02-29
        1_827_619_200_000,  # 2027-11-30: three months later is the 29th
        1_811_764_799_999,  # one millisecond before midnight
    ]
) | st.integers(1_800_000_000_000, 1_900_000_000_000)

_AMOUNTS_MINOR = st.sampled_from(
    [1, SCALE, 10 * SCALE + 1, 1000 * SCALE + SCALE // 10, 10**38 - 1]
) | st.integers(1, 10**38 - 1)
ASKED = st.builds(Asked, _AMOUNTS_MINOR, st.sampled_from(sorted(RATES)))
KEYS = st.sampled_from(["first", "second"])
SPELLINGS = st.integers(0, 4)
LIMITS = st.sampled_from([1, 2, 3, 10, 100])


def spell(amount_minor: int, spelling: int) -> str:
    """One of the ways to write an amount in JSON."""
    canonical = canonical_amount(amount_minor)
    padded = f"{canonical}0" if "." in canonical else f"{canonical}.0"
    return (
        canonical,
        f'"{canonical}"',
        padded,
        f"{amount_minor}e-8",
        f'"{amount_minor}E-08"',
    )[spelling]


_MENDED = [fault for fault in StatementFault if fault not in KILLS]
_BROKEN_STATEMENTS = st.builds(
    Faults,
    st.lists(st.none() | st.sampled_from(_MENDED), min_size=1, max_size=3).map(tuple),
    st.booleans(),
    st.just(()),
)
_KILLS = st.builds(
    lambda calm, kill: Faults((None,) * calm + (kill,)), st.integers(0, 2), st.sampled_from(KILLS)
)
_BROKEN_TRIPS = st.builds(
    Faults,
    st.lists(st.none() | st.sampled_from(_MENDED), max_size=2).map(tuple),
    st.booleans(),
    st.lists(st.none() | st.sampled_from(list(TripFault)), min_size=1, max_size=4).map(tuple),
)
FAULTS = st.one_of(st.just(CALM), st.just(CALM), _BROKEN_STATEMENTS, _KILLS, _BROKEN_TRIPS)
READ_FAULTS = st.one_of(st.just(CALM), st.just(CALM), st.just(CALM), _BROKEN_STATEMENTS, _BROKEN_TRIPS)

PASSING_MS = st.sampled_from(
    [
        0,
        1,
        1000,
        14_999,  # a fence's life, almost
        15_001,
        299_999,  # fresh
        300_001,  # stale
        600_001,  # gone
        1_200_000,
        3_600_000,
        DAY_MS,
        28 * DAY_MS,
    ]
)
"""How long nothing happens."""

AGES_MS = st.sampled_from([1000, 150_000, 299_000, 301_000, 400_000, 599_999])
"""How old a page gets: it is fresh for 5 minutes, and stale for 5 more."""

EDGES = st.sampled_from(["token", "refresh", "key", "maturity", "maturity"])
