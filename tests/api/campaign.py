"""One run of the `schemathesis` command against a running service, and what came of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.service import Service

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_ANSWER_TIME_MAX_S = 9
"""docs/api.md: a request is answered within 9 s."""


@dataclass(frozen=True)
class Tried:
    """How often a method of a path was sent data of one kind, with or without a token, and answered so."""

    method: str
    path: str
    positive: bool
    has_token: bool
    status: int
    count: int


@dataclass(frozen=True)
class Result:
    """What a run found, and what it tried."""

    status: int
    output: str
    tried: list[Tried]
    found: set[tuple[str, str]]
    """What was found, by Schemathesis' name for it, and the operation it was found at."""

    def of(self, method: str, path: str) -> list[Tried]:
        """What was tried of one operation."""
        return [one for one in self.tried if (one.method, one.path) == (method, path)]


def run_campaign(
    service: Service,
    directory: Path,
    document: dict[str, Any],
    *,
    url: str | None = None,
    seed: int,
    examples: int,
    signed_in: bool = True,
    phases: str = "examples,coverage,fuzzing,stateful",
    timeout_s: float = 240,
) -> Result:
    """Every check over every operation of `document`, at `url` unless the client knows where."""
    print(f"STAKEHOLD_TEST_SEED={seed}")
    where, tally, report = (directory / f"{name}.json" for name in ("openapi", "tally", "report"))
    where.write_text(json.dumps(document))
    command = [
        sys.executable, "-m", "schemathesis.cli",
        "--no-color", "--config-file", str(_HERE / "schemathesis.toml"),
        "run", str(where), "--url", url or str(service.client.base_url),
        "--checks", "all", "--phases", phases, "--seed", str(seed), "--max-examples", str(examples),
        "--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all",
        "--max-response-time", str(_ANSWER_TIME_MAX_S), "--request-timeout", str(_ANSWER_TIME_MAX_S + 3),
        "--report", "json", "--report-json-path", str(report),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "SCHEMATHESIS_HOOKS": str(_HERE / "hooks.py"),
        "DATABASE_URL": service.database_url,
        "JWT_SECRET": service.settings["JWT_SECRET"],
        "STAKEHOLD_API_SIGNED_IN": "yes" if signed_in else "no",
        "STAKEHOLD_API_TALLY": str(tally),
    }
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Result(done.returncode, done.stdout + done.stderr, _read_tally(tally), _read_report(report))


def _read_tally(path: Path) -> list[Tried]:
    counts: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    tried = []
    for key, count in counts.items():
        method, where, mode, token, status = key.split(" ")
        tried.append(Tried(method, where, mode == "positive", token == "token", int(status), count))
    return tried


def _read_report(path: Path) -> set[tuple[str, str]]:
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"failures": []}
    assert not report.get("errors"), report["errors"]
    return {(failure["type"], where) for failure in report["failures"] for where in failure["operations"]}
