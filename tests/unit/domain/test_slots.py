"""Slots that are taken or refused at once, and free again by time."""

from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.slots import ExpiringSlots
from tests.support.fakes import ManualClock


def test_a_slot_more_than_there_are_is_refused_until_one_is_given_back() -> None:
    """Two slots: the third is refused at once, and granted when one of the two is free."""
    slots = ExpiringSlots(ManualClock(), 2)
    first, second = slots.take(5), slots.take(5)
    assert first is not None
    assert second is not None
    assert slots.take(5) is None
    slots.give_back(first)
    assert slots.take(5) is not None
    assert slots.take(5) is None


def test_a_slot_whose_holder_is_gone_is_free_when_its_time_is_over() -> None:
    """Never given back, it is refused to others for its life, and not a moment longer."""
    clock = ManualClock()
    slots = ExpiringSlots(clock, 1)
    assert slots.take(5) is not None
    clock.advance(4.9)
    assert slots.take(5) is None
    clock.advance(0.1)
    assert slots.take(5) is not None


def test_who_gives_back_late_takes_nothing_from_the_next_holder() -> None:
    """A slot that ran out belongs to another: its first holder can neither free nor renew it."""
    clock = ManualClock()
    slots = ExpiringSlots(clock, 1)
    late = slots.take(1)
    clock.advance(1)
    assert slots.take(5) is not None
    assert not slots.renew(late, 5)
    slots.give_back(late)
    assert slots.take(5) is None, "the second holder still has it"


def test_a_renewed_slot_lives_on() -> None:
    """`renew` counts from now, and works as long as nobody else needed the place."""
    clock = ManualClock()
    slots = ExpiringSlots(clock, 1)
    slot = slots.take(2)
    for _ in range(3):
        clock.advance(1.5)
        assert slots.renew(slot, 2)
        assert slots.take(2) is None
    clock.advance(10)
    assert slots.renew(slot, 2), "over, but nobody came"
    assert slots.take(2) is None


_STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "give back", "renew"]), st.integers(0, 5), st.floats(0, 3)),
    max_size=60,
)


@given(_STEPS, st.integers(1, 3))
def test_no_more_are_held_than_there_are(steps: list[tuple[str, int, float]], most: int) -> None:
    """Whatever is taken, given back, renewed or left: the unexpired are never more than `most`, nor fewer
    than could be."""
    clock = ManualClock()
    slots = ExpiringSlots(clock, most)
    taken: list[object] = []
    until_s: dict[object, float] = {}
    for action, number, amount_s in steps:
        clock.advance(amount_s / 2)
        now_s = clock.monotonic_s()
        held = [slot for slot in until_s if until_s[slot] > now_s]
        assert len(held) <= most
        if action == "take":
            slot = slots.take(amount_s)
            assert (slot is None) == (len(held) >= most)
            if slot is not None:
                taken.append(slot)
                until_s[slot] = now_s + amount_s
        elif number < len(taken):
            slot = taken[number]
            if action == "give back":
                slots.give_back(slot)
                until_s.pop(slot, None)
            elif slots.renew(slot, amount_s):
                until_s[slot] = now_s + amount_s
            else:
                assert until_s.get(slot, now_s) <= now_s, "only what ran out is lost"
