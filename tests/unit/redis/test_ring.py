"""Each user's keys live on one member of the ring, and stay there when others come and go."""

from collections import Counter
from typing import cast

import pytest

from stakehold.redis.port import Redis, RedisUnavailableError
from stakehold.redis.ring import Ring
from tests.unit.redis.conftest import Connect

TAGS = [f"user-{number}" for number in range(6000)]


def ring_of(*names: str) -> tuple[Ring, dict[Redis, str]]:
    """A ring whose members stand for themselves: placing keys sends nothing."""
    members = {cast(Redis, object()): name for name in names}
    return Ring(list(members), list(names)), members


def placement(*names: str) -> dict[str, str]:
    ring, members = ring_of(*names)
    return {tag: members[ring.member_for(tag)] for tag in TAGS}


def test_one_member_has_everything() -> None:
    """A ring of one sends every tag to it."""
    assert set(placement("a").values()) == {"a"}


def test_tags_are_spread_evenly() -> None:
    """Each of three members has a third of the tags, within five percent of all."""
    shares = Counter(placement("a", "b", "c").values())
    assert all(abs(shares[name] / len(TAGS) - 1 / 3) < 0.05 for name in "abc")


def test_the_order_of_members_does_not_matter() -> None:
    """The same names in another order place every tag alike."""
    assert placement("a", "b", "c") == placement("c", "a", "b")


def test_removing_a_member_moves_its_own_tags_only() -> None:
    """What was on the others stays where it was; what was on the removed one is spread over both."""
    before, after = placement("a", "b", "c"), placement("a", "c")
    moved = {tag for tag in TAGS if before[tag] != after[tag]}
    assert moved == {tag for tag in TAGS if before[tag] == "b"}
    assert {after[tag] for tag in moved} == {"a", "c"}


def test_adding_a_member_moves_tags_to_it_only() -> None:
    """No tag changes between the members that were there before."""
    before, after = placement("a", "b", "c"), placement("a", "b", "c", "d")
    moved = {tag for tag in TAGS if before[tag] != after[tag]}
    assert {after[tag] for tag in moved} == {"d"}
    assert abs(len(moved) / len(TAGS) - 1 / 4) < 0.05


def test_placement_is_the_same_in_every_process_and_release() -> None:
    """These places are data: a change of the hash would lose sight of every key in a running ring."""
    placed = placement("a", "b", "c")
    assert [placed[f"user-{number}"] for number in range(12)] == list("ccbcacbcabab")


@pytest.mark.parametrize("names", [(), ("a", "a"), ("a",)])
def test_a_ring_needs_a_name_of_its_own_for_each_member(names: tuple[str, ...]) -> None:
    """No member, two of one name, or a name too few is refused."""
    count = 2 if names else 0
    with pytest.raises(ValueError, match="name"):
        Ring([cast(Redis, object())] * count, names)


async def test_closing_a_ring_closes_its_members(connect: Connect, redis_url: str) -> None:
    """Afterwards every member refuses."""
    ring = Ring([await connect(redis_url), await connect(redis_url)], ["a", "b"])
    assert [await member.command("PING", timeout_s=5.0) for member in ring.members] == [b"PONG"] * 2
    await ring.close()
    for member in ring.members:
        with pytest.raises(RedisUnavailableError, match="closed"):
            await member.command("PING", timeout_s=5.0)
