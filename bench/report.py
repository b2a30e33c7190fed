"""The report of a run: medians, ratios within the run, as a table and as JSON."""

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.budget import Budget
from bench.load import Result

TITLES = {
    "bare, tiny": "the HTTP server alone, `{\"ok\":true}`",
    "bare, page": "the HTTP server alone, the same page",
    "redis": "the read's script alone, by our client",
    "pipeline": "the read's script alone, 48 to a write",
    "sql": "the creation's statement alone",
    "scrypt": "the password's hash alone",
    "cached": "`GET /api/stake`, cached",
    "miss": "`GET /api/stake`, not cached",
    "create": "`POST /api/stake`",
    "sign-in": "`POST /api/auth`",
    "peer, cached": "the Node peer: the read, cached",
    "peer, create": "the Node peer: the creation",
    "peer, tokens kept, cached": "the Node peer keeping tokens: the read, cached",
    "peer, tokens kept, create": "the Node peer keeping tokens: the creation",
}  # fmt: skip
FLOORS = {
    "cached": ("bare, tiny", "bare, page", "redis", "pipeline", "peer, cached", "peer, tokens kept, cached"),
    "miss": ("bare, page", "redis"),
    "create": ("bare, tiny", "sql", "peer, create", "peer, tokens kept, create"),
    "sign-in": ("scrypt",),
}
"""What each case is compared with."""


@dataclass
class Report:
    """What was measured."""

    seen: Mapping[str, Sequence[Result]]
    budgets: Mapping[str, Budget]
    logs: Mapping[str, Sequence[int]]
    """Sizes of some users' logs after the rounds that fill them, by limit."""
    page_bytes: int
    seconds: int
    without_peer: str = ""
    """Why the peer was not measured; empty when it was."""

    @property
    def errors(self) -> int:
        """Requests of any round that were refused or broken."""
        return sum(result.errors for results in self.seen.values() for result in results)

    def medians(self) -> dict[str, dict[str, float]]:
        """By case, each figure's median over the rounds."""
        return {name: _medians(results) for name, results in self.seen.items()}

    def ratios(self) -> dict[str, dict[str, float]]:
        """Of each case's requests a second to those of each floor: the median of the rounds'."""
        return {
            case: {floor: _ratio(self.seen[case], self.seen[floor]) for floor in floors if floor in self.seen}
            for case, floors in FLOORS.items()
        }

    def markdown(self) -> str:
        """The report for people."""
        return "\n".join([*self._head(), "", *self._rates(), "", *self._costs(), "", *self._ratios(), ""])

    def write(self, directory: Path) -> None:
        """`bench.md` and `bench.json`, with every round."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "bench.md").write_text(self.markdown())
        whole = dataclasses.asdict(self) | {"medians": self.medians(), "ratios": self.ratios()}
        (directory / "bench.json").write_text(json.dumps(whole | {"machine": _machine()}, indent=1) + "\n")

    def _head(self) -> list[str]:
        rounds = len(next(iter(self.seen.values())))
        logs = "; ".join(
            f"{name} {statistics.mean(sizes):.0f} on average, {max(sizes)} at most"
            for name, sizes in self.logs.items()
        )
        return [
            _machine(),
            f"{rounds} interleaved rounds of {self.seconds:g} s, medians; a page of {self.page_bytes} bytes; "
            f"{self.errors} errors.",
            f"Without the peer: {self.without_peer}."
            if self.without_peer
            else "With the peer of bench/peer.",
            f"Charges in a user's log after a round: {logs}.",
        ]

    def _rates(self) -> list[str]:
        lines = ["| | requests/s | p50 ms | p99 ms | p99 / p50 |", "| --- | ---: | ---: | ---: | ---: |"]
        for name, figures in self.medians().items():
            p50, p99 = figures["p50_ms"], figures["p99_ms"]
            lines.append(
                f"| {TITLES[name]} | {figures['rate']:,.0f} | {p50:.2f} | {p99:.2f} | {p99 / p50:.1f} |"
            )
        return lines

    def _costs(self) -> list[str]:
        lines = [
            "| CPU µs a request | server or client | Valkey | PostgreSQL | trips | SQL | behind the answer |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
        for name, figures in self.medians().items():
            process = figures.get("server", figures.get("client"))
            budget = self.budgets.get(name)
            trips = figures.get("trips", budget.trips if budget else None)
            cells = [_cell(process), _cell(figures.get("Valkey")), _cell(figures.get("PostgreSQL"))]
            cells.append("" if trips is None else f"{trips:.2f}")
            cells += ["", ""] if budget is None else [str(budget.statements), _behind(budget)]
            lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
        return lines

    def _ratios(self) -> list[str]:
        lines = ["| requests/s of | to | ratio |", "| --- | --- | ---: |"]
        for case, floors in self.ratios().items():
            lines += [
                f"| {TITLES[case]} | {TITLES[floor]} | {ratio:.2f} |" for floor, ratio in floors.items()
            ]
        return lines


def _medians(results: Sequence[Result]) -> dict[str, float]:
    figures = {
        "rate": [result.rate for result in results],
        "p50_ms": [result.p50_ms for result in results],
        "p99_ms": [result.p99_ms for result in results],
    }
    for name in results[0].cpu_us:
        figures[name] = [result.cpu_us[name] for result in results]
    figures["trips"] = [result.trips for result in results if result.trips is not None]
    return {name: statistics.median(values) for name, values in figures.items() if values}


def _ratio(results: Sequence[Result], floor: Sequence[Result]) -> float:
    return statistics.median(ours.rate / its.rate for ours, its in zip(results, floor, strict=True))


def _cell(us: float | None) -> str:
    return "" if us is None else f"{us:,.1f}"


def _behind(budget: Budget) -> str:
    said = []
    if budget.trips_behind:
        said.append(f"{budget.trips_behind} trip")
    if budget.statements_behind:
        said.append(f"{budget.statements_behind} statement")
    return ", ".join(said)


def _machine() -> str:
    today = datetime.now(UTC).date().isoformat()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{today}, {cores} cores ({_processor()}), Python {platform.python_version()}, {platform.system()}; "
        "load generator and stores on the same cores."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
