"""What a process remembers of writes without a fence: bounded, and nothing forgotten silently."""

import pytest

from stakehold.domain.timing import FENCE_TTL_S
from stakehold.gate.passage import Fence
from stakehold.gate.unfenced import UnfencedWrites
from tests.support.fakes import ManualClock


@pytest.fixture
def writes(clock: ManualClock) -> UnfencedWrites:
    return UnfencedWrites(clock, remembered_max=2)


def _fence(number: int, clock: ManualClock, age_s: float = 0.0) -> Fence:
    return Fence(f"u:{number}", ("stakes",), f"nonce-{number}", clock.monotonic_s() - age_s)


def test_beyond_the_bound_the_oldest_write_under_way_counts_as_done(
    writes: UnfencedWrites, clock: ManualClock
) -> None:
    """It gets no mark any more, but what is cached of its user is dropped; the newer ones get theirs."""
    for number in range(3):
        writes.opened(_fence(number, clock))
    repairs = writes.repairs(set())
    marked = [repair.nonce for repair in repairs if repair.life_ms]
    dropped = {(repair.tag, repair.resource) for repair in repairs if not repair.life_ms}
    assert marked == ["nonce-1", "nonce-2"]
    assert dropped == {("u:0", "stakes"), ("u:0", "account")}


def test_writes_whose_time_is_over_make_room_first(writes: UnfencedWrites, clock: ManualClock) -> None:
    """A write that can still commit keeps its place while there are others that cannot."""
    writes.opened(_fence(1, clock))
    writes.opened(_fence(0, clock, age_s=FENCE_TTL_S))
    writes.opened(_fence(2, clock))
    assert [repair.nonce for repair in writes.repairs(set()) if repair.life_ms] == ["nonce-1", "nonce-2"]


def test_a_renewal_does_not_answer_for_users_forgotten_since(
    writes: UnfencedWrites, clock: ManualClock
) -> None:
    """Users who are forgotten while the incarnation is being renewed ask for one more, their own."""
    for number in range(3):
        writes.left(_fence(number, clock))
    first = writes.renewal
    assert first
    for number in range(3, 5):
        writes.left(_fence(number, clock))
    writes.renewed(first)
    second = writes.renewal
    assert second > first
    writes.renewed(second)
    assert not writes.renewal
