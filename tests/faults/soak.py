"""`make soak`: one campaign after the other until the time is over, or a promise is broken.

    SOAK_MINUTES=30 SEED=1234 make soak

The seed is printed first. Campaign k has the seed SEED + k, so SEED=<its seed> begins with it. Of a campaign
that broke a promise, history and servers' logs are kept in `.soak/`, and the exit status is 1.
"""

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Plan, Result, run_campaign
from tests.faults.cluster import Stores

FAULTS_S = 120.0
KEPT = Path(".soak")


async def soak(seed: int, minutes: float) -> int:
    """Run campaigns; the exit status."""
    operations: Counter[tuple[str, str]] = Counter()
    faults: Counter[str] = Counter()
    violations = 0
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stakehold-soak-") as name:
        directory = Path(name)
        async with Stores(directory) as stores:
            while not violations and (left_s := began_s + minutes * 60 - time.monotonic()) > 0:
                plan = Plan(seed, min(FAULTS_S, left_s))
                result = await run_campaign(plan, stores, directory)
                print(result.summary(), flush=True)
                if result.violations:
                    _keep(result, directory)
                operations.update((one.kind, one.outcome) for one in result.history.operations)
                faults += result.faults
                violations += len(result.violations)
                seed += 1
                for log in directory.glob("server-*.log"):
                    log.unlink()
    minutes_taken = (time.monotonic() - began_s) / 60
    print(f"\n{minutes_taken:.1f} minutes, {operations.total()} operations, {faults.total()} faults")
    _print_counts(operations, faults)
    print(f"violations: {violations}")
    return 1 if violations else 0


def _print_counts(operations: Counter[tuple[str, str]], faults: Counter[str]) -> None:
    for kind in sorted({kind for kind, _ in operations}):
        counted = [f"{operations[kind, outcome]} {outcome}" for outcome in ("ok", "fail", "unknown")]
        print(f"  {kind}: {', '.join(counted)}")
    for fault, count in sorted(faults.items()):
        print(f"  {fault}: {count}")


def _keep(result: Result, directory: Path) -> None:
    kept = KEPT / str(result.plan.seed)
    kept.mkdir(parents=True, exist_ok=True)
    result.history.save(kept / "history.jsonl")
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)
    print(f"  kept in {kept}", flush=True)


def main() -> None:
    """The command."""
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**31))
    minutes = float(os.environ.get("SOAK_MINUTES") or 30)
    print(f"SEED={seed}, {minutes:g} minutes", flush=True)
    sys.exit(asyncio.run(soak(seed, minutes)))


if __name__ == "__main__":
    main()
