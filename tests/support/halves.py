"""The two halves of a suite that runs once on each runtime: what came of each test in both, and why not."""

from collections import Counter
from dataclasses import dataclass, field

from tests.support.answers import Answers, differences

NATIVE, WORKER = "native", "worker"
RUNTIMES = (NATIVE, WORKER)


@dataclass
class Halves:
    """What is known of each test, by the name it has without the runtime."""

    exceptions: dict[str, str] = field(default_factory=dict)
    """Tests that run natively alone, and why."""
    outcomes: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in RUNTIMES})
    """By runtime and test: "passed", "failed" or "skipped"."""
    answers: dict[str, dict[str, Answers]] = field(default_factory=lambda: {name: {} for name in RUNTIMES})
    """By runtime and test, of those that passed."""
    unavailable: str | None = None
    """Why there is no Worker here."""

    def ended(self, test: str, runtime: str, outcome: str) -> None:
        """A test, or its set-up or its end, came to this: the worst of all counts."""
        worst = ("failed", "skipped", "passed")
        before = self.outcomes[runtime].get(test, "passed")
        self.outcomes[runtime][test] = min(before, outcome, key=worst.index)

    def passed(self, runtime: str) -> int:
        """How many passed."""
        return Counter(self.outcomes[runtime].values())["passed"]

    def answered(self, test: str, runtime: str, answers: Answers) -> list[str]:
        """What one runtime answered in a test; returns how that differs from the other, when it is known."""
        self.answers[runtime][test] = answers
        if not all(test in self.answers[name] for name in RUNTIMES):
            return []
        native, worker = (self.answers[name].pop(test) for name in RUNTIMES)
        return differences(native, worker, RUNTIMES)

    def unlike(self) -> list[str]:
        """Tests that passed on one runtime and were left out on the other, for no reason that has a name."""
        if self.unavailable is not None:
            return []
        native, worker = (self.outcomes[name] for name in RUNTIMES)
        both = native.keys() & worker.keys()
        return sorted(
            f"{test}: {NATIVE} {native[test]}, {WORKER} {worker[test]}"
            for test in both - self.exceptions.keys()
            if native[test] != worker[test] and "failed" not in (native[test], worker[test])
        )

    def summary(self) -> list[str]:
        """For the end of a run: the counts, and each exception with its reason. Empty when nothing ran."""
        ran = {name: self.passed(name) for name in RUNTIMES if self.outcomes[name]}
        if not ran:
            return []
        named = [test for test in self.exceptions if test in self.outcomes[NATIVE]]
        counts = ", ".join(f"{name} {count} passed" for name, count in ran.items())
        lines = [f"HTTP suite: {counts}, {len(named)} native only{':' if named else ''}"]
        lines += [f"  {test}: {self.exceptions[test]}" for test in named]
        if self.unavailable is not None:
            lines.append(f"  No Worker here: {self.unavailable}")
        lines += [f"  NOT ALIKE {test}" for test in self.unlike()]
        return lines
