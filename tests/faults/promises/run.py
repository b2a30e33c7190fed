"""A run as the promises look at it: operations by user, rows by what they belong to, faults by reach."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from stakehold.limits.policies import DEFAULTS
from tests.faults.final_state import FinalState, StakeRow, UserRow
from tests.faults.history import ANY_SERVER, Fault, History, Operation

Intention = tuple[str, str]
"""A stake that was to be made: its user and its amount."""

SETTLE_S = 3.0
"""After Redis answers a process again: until that process has repaired what it wrote without it."""
FENCE_LIFE_S = 15.0
PAGE_AGE_MAX_S = 600.0
ENTRY_AGE_MAX_S = 1200.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, how, and by which operations (their numbers)."""

    promise: str
    detail: str
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the servers were set to. `limits` are quota and window in seconds by name."""

    limits: Mapping[str, tuple[int, float]] = field(
        default_factory=lambda: {policy.name: (policy.quota, policy.window_s) for policy in DEFAULTS}
    )
    processes: int = 1
    answer_s: float = 10.0


class Run:
    """A history with the state it led to, indexed."""

    def __init__(self, history: History, final: FinalState, rules: Rules) -> None:
        self.operations = sorted(history.operations, key=lambda operation: operation.started_s)
        self.faults = sorted(history.faults, key=lambda fault: fault.began_s)
        self.final = final
        self.rules = rules
        self.by_user: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            self.by_user[operation.user].append(operation)
        self.users: dict[str, UserRow] = {row.username: row for row in final.users}
        self.names: dict[str, str] = {row.id: row.username for row in final.users}

    def of_kind(self, *kinds: str) -> Iterator[Operation]:
        """Operations of these kinds, in the order of starting."""
        return (operation for operation in self.operations if operation.kind in kinds)

    @cached_property
    def rows_by_id(self) -> dict[str, list[StakeRow]]:
        """Rows of stakes; more than one of an id only when different users have it."""
        rows = defaultdict(list)
        for row in self.final.stakes:
            rows[row.id].append(row)
        return dict(rows)

    @cached_property
    def rows_by_intention(self) -> dict[Intention, list[StakeRow]]:
        """Rows of stakes by what was asked for."""
        rows = defaultdict(list)
        for row in self.final.stakes:
            rows[self.names.get(row.user_id, row.user_id), row.amount].append(row)
        return dict(rows)

    @cached_property
    def creates(self) -> dict[Intention, list[Operation]]:
        """Requests to make a stake, by what they asked for."""
        creates = defaultdict(list)
        for operation in self.of_kind("create"):
            creates[operation.user, str(operation.request["amount"])].append(operation)
        return dict(creates)

    def hits(self, kinds: Iterable[str], server: int | None, began_s: float, ended_s: float) -> list[Fault]:
        """Faults of these kinds that touched this server, or any if None, in this time, ends included."""
        return [
            fault
            for kind in kinds
            for fault in self._faults[kind].within(began_s, ended_s)
            if server in (None, ANY_SERVER) or fault.server in (ANY_SERVER, server)
        ]

    @cached_property
    def _faults(self) -> dict[str, "_Timeline"]:
        timelines: dict[str, _Timeline] = defaultdict(_Timeline)
        for fault in self.faults:
            timelines[fault.kind].add(fault)
        return timelines

    def unfenced_until_s(self, write: Operation, age_max_s: float) -> float | None:
        """Until when other processes may serve what they kept from before `write`; None when never.

        The documented exception: the process that wrote may have been without Redis, and puts that right when
        it reaches Redis again. If it is killed before, what others keep has to age.
        """
        cut_off = self.hits(_CUTS_OFF, write.server, write.started_s - SETTLE_S, write.ended_s)
        until_s = None
        while cut_off:
            until_s = max(fault.ended_s for fault in cut_off) + SETTLE_S
            longer = self.hits(_CUTS_OFF, write.server, write.started_s, until_s)
            cut_off = [fault for fault in longer if fault.ended_s + SETTLE_S > until_s]
        if until_s is None or not self.hits(("server_killed",), write.server, write.started_s, until_s):
            return until_s
        return max(until_s, write.ended_s + age_max_s)


_CUTS_OFF = ("redis_away", "server_stopped")


class _Timeline:
    """Faults of one kind, added in the order of their beginning, found by when they were."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._longest_s = 0.0

    def add(self, fault: Fault) -> None:
        """One that began no earlier than those before."""
        self._faults.append(fault)
        self._longest_s = max(self._longest_s, fault.ended_s - fault.began_s)

    def within(self, began_s: float, ended_s: float) -> list[Fault]:
        """Those that overlap [began_s, ended_s]."""
        first = bisect.bisect_left(self._faults, began_s - self._longest_s, key=_began_s)
        last = bisect.bisect_right(self._faults, ended_s, key=_began_s)
        return [fault for fault in self._faults[first:last] if fault.ended_s >= began_s]


def _began_s(fault: Fault) -> float:
    return fault.began_s


def text_of(members: Mapping[str, object], name: str) -> str | None:
    """A member that is a string, or None."""
    value = members.get(name)
    return None if value is None else str(value)
