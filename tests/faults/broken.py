"""A good run, to be broken: what a breach works on."""

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.checker import check
from tests.faults.history import History, Operation, classify
from tests.faults.imagined import RULES, Imagined

OPERATIONS = 120

Breach = Callable[["Broken"], bool]
"""Breaks one promise in a good run; False when this run has no occasion for it."""

_RUNS_TRIED_MAX = 200


class Broken:
    """A good run, to be broken."""

    def __init__(self, seed: int) -> None:
        imagined = Imagined(seed).run(OPERATIONS)
        self.random = random.Random(seed)
        self.operations = imagined.history.operations
        self.final = imagined.final_state

    @classmethod
    def by(cls, breach: Breach, seed: int) -> "Broken":
        """The first run from `seed` on that gives occasion for this breach, broken by it."""
        for tried in range(_RUNS_TRIED_MAX):
            run = cls(seed + tried)
            if breach(run):
                return run
        raise AssertionError(f"no run from seed {seed} on gives occasion for it")

    def one(self, kind: str, condition: Callable[[Operation], bool] = lambda _: True) -> Operation | None:
        """Any operation of this kind that was done."""
        found = [
            one for one in self.operations if one.kind == kind and one.outcome == "ok" and condition(one)
        ]
        return self.random.choice(found) if found else None

    def replace(self, operation: Operation, **changes: Any) -> bool:
        """Put a changed operation in the place of this one."""
        index = self.operations.index(operation)
        self.operations[index] = dataclasses.replace(operation, **changes)
        return True

    def answer(self, operation: Operation, **members: Any) -> bool:
        """Change members of an answer; None takes one away."""
        answer = {**operation.answer, **{name.replace("_", "-"): value for name, value in members.items()}}
        return self.replace(
            operation, answer={name: value for name, value in answer.items() if value is not None}
        )

    def add(self, kind: str, like: Operation, status: int = 200, **request: Any) -> bool:
        """One more operation, done after all others by a client of its own."""
        start_s = max(operation.ended_s for operation in self.operations) + 1.0
        number = len(self.operations) + 1000
        self.operations.append(
            Operation(
                number, number, 0, like.user, kind, start_s, start_s + 0.1, status, classify(kind, status),
                {**like.request, **request}, {"x-request-id": "added", "items": [], "hasMore": False},
            )
        )  # fmt: skip
        return True

    def rows(self, kind: str, rows: Iterable[Any]) -> bool:
        """Other rows of this kind at the end."""
        self.final = dataclasses.replace(self.final, **{kind: list(rows)})
        return True

    def found(self) -> set[str]:
        """The promises that the checker says were broken."""
        return {violation.promise for violation in check(History(self.operations), self.final, RULES)}
