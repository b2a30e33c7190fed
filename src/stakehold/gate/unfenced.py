"""What this process must put right when Redis returns: the writes it let through without a fence."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from stakehold.cache.script import hash_key, marks_key
from stakehold.domain.ports import Clock
from stakehold.domain.timing import FENCE_TTL_S
from stakehold.gate.passage import Fence

REMEMBERED_MAX = 10_000
BATCH = 100
RESOURCES = ("stakes", "account")


@dataclass(frozen=True, slots=True)
class Repair:
    """Drop what is cached of one resource; with `life_ms`, also open the fence of a write still under way.

    `write` is the number of the user's last write that is done, 0 for a write under way.
    """

    tag: str
    resource: str
    nonce: str = "-"
    life_ms: int = 0
    write: int = 0


def fence_keys(key_prefix: str, tag: str, resources: Iterable[str]) -> list[str]:
    """The hash and the marks of each of `resources`, in this order."""
    prefix = f"{key_prefix}{{{tag}}}:"
    return [key(prefix, resource) for resource in resources for key in (hash_key, marks_key)]


class UnfencedWrites:
    """Writes under way without a mark, and users whose writes are done. Both are bounded.

    When there are too many users, they are forgotten together and `renewal` asks for a new incarnation,
    which drops what is cached of everybody.

    Nothing leaves before it is known to be put right: a request that sees to it may be killed at any moment,
    and no word comes of it then.
    """

    def __init__(self, clock: Clock, remembered_max: int = REMEMBERED_MAX) -> None:
        self._clock = clock
        self._remembered_max = remembered_max
        self._open: dict[str, Fence] = {}
        self._users: dict[str, int] = {}
        self._writes = 0
        self._overflowed_at = 0

    @property
    def renewal(self) -> int:
        """A number for `renewed` if the incarnation must be renewed, since users were forgotten; else 0."""
        return self._overflowed_at

    def opened(self, fence: Fence) -> None:
        """A write began without a mark."""
        if len(self._open) >= self._remembered_max and not self._end_those_over():
            self.left(next(iter(self._open.values())))
        self._open[_name(fence)] = fence

    def left(self, fence: Fence) -> None:
        """A write is done, and Redis was not told."""
        self._open.pop(_name(fence), None)
        self._writes += 1
        if len(self._users) >= self._remembered_max:
            self._users.clear()
            self._overflowed_at = self._writes
        self._users[fence.tag] = self._writes

    def closed(self, fence: Fence) -> None:
        """A write is done, and Redis was told."""
        self._open.pop(_name(fence), None)

    def repairs(self, reopened: set[str]) -> list[Repair]:
        """The next repairs, for at most a batch of writes under way and a batch of users.

        They are due until they are `done`. Writes under way are noted in `reopened`, and not named again to
        who gives it again.
        """
        self._end_those_over()
        now_s = self._clock.monotonic_s()
        repairs = []
        for name, fence in [item for item in self._open.items() if item[0] not in reopened][:BATCH]:
            reopened.add(name)
            life_ms = max(0, round((fence.opened_at_s + FENCE_TTL_S - now_s) * 1000))
            repairs += [Repair(fence.tag, resource, fence.nonce, life_ms) for resource in fence.resources]
        for tag, write in islice(self._users.items(), BATCH):
            repairs += [Repair(tag, resource, write=write) for resource in RESOURCES]
        return repairs

    def done(self, repairs: Iterable[Repair]) -> None:
        """These were put right: forget their users, but for those who have written since."""
        for repair in repairs:
            if repair.write and self._users.get(repair.tag) == repair.write:
                del self._users[repair.tag]

    def renewed(self, renewal: int) -> None:
        """The incarnation was renewed for `renewal`: done, unless users were forgotten since."""
        if self._overflowed_at == renewal:
            self._overflowed_at = 0

    def is_done(self, reopened: set[str]) -> bool:
        """Whether nothing is left to repair, given that `reopened` have had theirs."""
        return not self._users and not self._overflowed_at and reopened.issuperset(self._open)

    def _end_those_over(self) -> bool:
        """Take writes whose statements cannot run any more as done, whoever left or did not."""
        over_s = self._clock.monotonic_s() - FENCE_TTL_S
        over = [fence for fence in self._open.values() if fence.opened_at_s <= over_s]
        for fence in over:
            self.left(fence)
        return bool(over)


def _name(fence: Fence) -> str:
    # One nonce may fence several users.
    return f"{fence.nonce} {fence.tag}"
