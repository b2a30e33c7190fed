"""Ids are UUIDv7: they carry their time, sort by it, and do not collide."""

from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.ids import created_at_ms, new_id
from tests.support.fakes import ManualClock, SeededEntropy

MOMENTS_MS = st.integers(0, 2**48 - 1)


class FixedEntropy:
    """Gives the same bytes always."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def random_bytes(self, count: int) -> bytes:
        assert count == len(self.content)
        return self.content


@given(MOMENTS_MS, st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_that_carries_its_time(moment_ms: int, drawn: bytes) -> None:
    """Version and variant are those of RFC 9562, and the time is read back to the millisecond."""
    identifier = new_id(ManualClock(moment_ms), FixedEntropy(drawn))
    assert identifier.version == 7
    assert identifier.variant == RFC_4122
    assert created_at_ms(identifier) == moment_ms


@given(st.binary(min_size=10, max_size=10))
def test_all_other_bits_are_random(drawn: bytes) -> None:
    """The 74 bits that are neither time, version nor variant come from the entropy."""
    identifier = new_id(ManualClock(0), FixedEntropy(drawn))
    mask = int.from_bytes(b"\x0f\xff\x3f" + b"\xff" * 7, "big")
    assert identifier.int & mask == int.from_bytes(drawn, "big") & mask


@given(MOMENTS_MS, MOMENTS_MS, st.integers(0, 2**32))
def test_ids_sort_by_time(one_ms: int, other_ms: int, seed: int) -> None:
    """As UUIDs, as bytes and as text, what was made earlier comes first."""
    earlier_ms, later_ms = sorted((one_ms, other_ms))
    if earlier_ms == later_ms:
        return
    entropy = SeededEntropy(seed)
    earlier, later = new_id(ManualClock(earlier_ms), entropy), new_id(ManualClock(later_ms), entropy)
    assert earlier < later
    assert earlier.bytes < later.bytes
    assert str(earlier) < str(later)


def test_ids_of_one_millisecond_differ(clock: ManualClock, entropy: SeededEntropy) -> None:
    """A thousand ids made at once are a thousand ids."""
    assert len({new_id(clock, entropy) for _ in range(1000)}) == 1000


def test_the_example_of_the_standard() -> None:
    """RFC 9562, appendix A.6: made on 2022-02-22 at 19:22:22 UTC."""
    assert created_at_ms(UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")) == 1_645_557_742_000
