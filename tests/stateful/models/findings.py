"""What an exploration found."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, where, and by what happening in which order."""

    rule: str
    scenario: str
    detail: str
    history: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}\n  in: {self.scenario}\n  after: {self.history}"


@dataclass
class Findings:
    """How much was run, how often each thing worth counting was seen, and what was wrong."""

    ran: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    outcomes: set[frozenset[str]] = field(default_factory=set)
    """What the actors of a run were shown, of all runs."""
    violations: list[Violation] = field(default_factory=list)

    @property
    def rules(self) -> set[str]:
        """The rules that were broken."""
        return {violation.rule for violation in self.violations}

    def report(self) -> str:
        """For a person to read."""
        lines = [f"{count:7} {name}" for name, count in self.ran.items()]
        lines.append(f"{self.ran.total():7} in total")
        lines += [f"{count:7} times {name}" for name, count in sorted(self.seen.items())]
        lines += [str(violation) for violation in self.violations[:10]]
        return "\n".join(lines)
