"""What this process must put right when Redis returns: the writes it let through without a fence."""

from collections.abc import Iterable
from dataclasses import dataclass

from stakehold.cache.script import hash_key, marks_key
from stakehold.domain.ports import Clock
from stakehold.domain.timing import FENCE_TTL_S
from stakehold.gate.passage import Fence

REMEMBERED_MAX = 10_000
BATCH = 100
RESOURCES = ("stakes", "account")


@dataclass(frozen=True, slots=True)
class Repair:
    """Drop what is cached of one resource; with `life_ms`, also open the fence of a write still under way."""

    tag: str
    resource: str
    nonce: str = "-"
    life_ms: int = 0


def fence_keys(key_prefix: str, tag: str, resources: Iterable[str]) -> list[str]:
    """The hash and the marks of each of `resources`, in this order."""
    prefix = f"{key_prefix}{{{tag}}}:"
    return [key(prefix, resource) for resource in resources for key in (hash_key, marks_key)]


class UnfencedWrites:
    """Writes under way without a mark, and users whose writes are done. Both are bounded.

    When there are too many users, they are forgotten together and `overflowed` asks for a new incarnation,
    which drops what is cached of everybody.
    """

    def __init__(self, clock: Clock, remembered_max: int = REMEMBERED_MAX) -> None:
        self._clock = clock
        self._remembered_max = remembered_max
        self._open: dict[str, Fence] = {}
        self._users: dict[str, None] = {}
        self.overflowed = False

    def opened(self, fence: Fence) -> None:
        """A write began without a mark."""
        if len(self._open) >= self._remembered_max:
            self._forget_some()
        self._open[_name(fence)] = fence

    def left(self, fence: Fence) -> None:
        """A write is done, and Redis was not told."""
        self._open.pop(_name(fence), None)
        if len(self._users) >= self._remembered_max:
            self._users.clear()
            self.overflowed = True
        self._users[fence.tag] = None

    def closed(self, fence: Fence) -> None:
        """A write is done, and Redis was told."""
        self._open.pop(_name(fence), None)

    def take(self, reopened: set[str]) -> list[Repair]:
        """The next repairs, for at most a batch of writes under way and a batch of users.

        Users taken are forgotten, so that a write of theirs meanwhile is remembered anew; `put_back` what
        could not be done. Writes under way stay, and are noted in `reopened`, which are not taken again.
        """
        now_s = self._clock.monotonic_s()
        repairs = []
        for name, fence in [item for item in self._open.items() if item[0] not in reopened][:BATCH]:
            reopened.add(name)
            life_ms = max(0, round((fence.opened_at_s + FENCE_TTL_S - now_s) * 1000))
            repairs += [Repair(fence.tag, resource, fence.nonce, life_ms) for resource in fence.resources]
        for tag in list(self._users)[:BATCH]:
            del self._users[tag]
            repairs += [Repair(tag, resource) for resource in RESOURCES]
        return repairs

    def put_back(self, repairs: Iterable[Repair]) -> None:
        """These could not be done: remember their users again."""
        self._users.update(dict.fromkeys(repair.tag for repair in repairs))

    def is_done(self, reopened: set[str]) -> bool:
        """Whether nothing is left to repair, given that `reopened` have had theirs."""
        return not self._users and not self.overflowed and reopened.issuperset(self._open)

    def _forget_some(self) -> None:
        """Forget writes whose statements have long ended; if there are none, the oldest."""
        over_s = self._clock.monotonic_s() - FENCE_TTL_S
        over = [name for name, fence in self._open.items() if fence.opened_at_s <= over_s]
        for name in over or [next(iter(self._open))]:
            self.left(self._open[name])


def _name(fence: Fence) -> str:
    # One nonce may fence several users.
    return f"{fence.nonce} {fence.tag}"
