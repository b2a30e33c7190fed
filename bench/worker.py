"""What a request costs a Worker, in the tests' harness: Pyodide under Node, one request after the other.

    .venv/bin/python -m bench.worker [--requests 400] [--starts 3] [--output build]

Writes worker.md and worker.json. What the figures are, and what they are not: docs/performance.md.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.service import Person
from tests.support.worker import WorkerHost, WorkerService, admit_workers, running_worker
from tests.support.worker_reports import RequestReport

from deploy import bundle
from stakehold.database.migrate import migrate
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.outside import SystemClock, SystemEntropy

LIMITS = ",".join(f"{name}=1000/1" for name in ("stake-create", "stake-read", "global"))
"""They do their whole work and refuse nobody; a log holds what was asked in a second."""

STAKES_ON_PAGE = 10
WARM_UP = 50
BATCH = 25
"""Requests whose CPU time is taken together."""

ROUNDS_MAX = 20
TARGETS = {
    "import, ms": 1500.0,
    "bundle, bytes": 5_000_000.0,
    "`GET /api/stake`, cached": 4.0,
    "`POST /api/stake`": 12.0,
}

Ask = Callable[[int], Awaitable[object]]


async def _measure(service: WorkerService, ask: Ask, requests: int) -> dict[str, Any]:
    """Of requests one after the other, so many that met nothing of another."""
    reports: list[RequestReport] = []
    for number in range(-WARM_UP, ROUNDS_MAX * requests):
        await ask(number)
        # This waits for what is done behind the answer: the next request would meet it.
        some = await service.reports()
        reports += [report for report in some if report.alone and number > 0]
        if len(reports) >= requests:
            break
    else:
        raise SystemExit("too few requests were alone")
    del reports[requests:]
    return {
        "requests": requests,
        "handler_ms": [report.handler_busy_ms for report in reports],
        "whole_ms": [report.busy_ms for report in reports],
        "cpu_ms": [report.cpu_ms for report in reports],
        "fetches": statistics.mean(len(report.fetches) for report in reports),
        "connections": statistics.mean(report.sockets_opened for report in reports),
    }


async def _cases(service: WorkerService, person: Person, requests: int) -> dict[str, dict[str, Any]]:
    async def cached(_: int) -> None:
        assert (await person.list_stakes())["fromCache"]

    async def missed(number: int) -> None:
        # A page nobody has asked for: at most 32 are kept.
        page = await person.list_stakes(page=1 + (number + WARM_UP) // 90, limit=11 + number % 90)
        assert not page["fromCache"]

    async def created(_: int) -> None:
        await person.stake()

    async def health(_: int) -> None:
        assert (await service.client.get("/healthz")).status_code == 200

    cases: dict[str, Ask] = {
        "`GET /healthz`": health,
        "`GET /api/stake`, cached": cached,
        "`GET /api/stake`, not cached": missed,
        "`POST /api/stake`": created,
    }
    for _ in range(STAKES_ON_PAGE):
        await person.stake()
    await person.list_stakes()
    await service.reports()
    return {name: await _measure(service, ask, requests) for name, ask in cases.items()}


def _start(directory: Path) -> WorkerHost:
    host = WorkerHost(directory)
    host.start()
    if host.startup.error is not None:
        raise SystemExit(host.startup.error)
    return host


async def _run(arguments: argparse.Namespace, directory: Path) -> dict[str, Any]:
    bundled = directory / "worker"
    size = bundle.make(bundled)
    postgres = EmbeddedPostgres(directory, announce=lambda _: None)
    valkey = EmbeddedValkey(directory)
    postgres.start()
    valkey.start()
    try:
        await admit_workers(postgres, directory)
        url = await _database(postgres)
        imports, heap = [], 0
        for _ in range(arguments.starts):
            host = _start(bundled)
            imports.append(host.startup.ms)
            heap = host.startup.heap_bytes
            if len(imports) < arguments.starts:
                host.stop()
        try:
            settings = {"STAKEHOLD_LIMITS": LIMITS}
            async with running_worker(host, url, valkey.url, settings) as service:
                cases = await _cases(service, await service.enrol(), arguments.requests)
                memory = await host.memory()
        finally:
            host.stop()
    finally:
        valkey.stop()
        postgres.stop()
    return {
        "date": time.strftime("%Y-%m-%d"), "load_average": os.getloadavg()[0], "cores": os.cpu_count(),
        "machine": platform.machine(), "bundle_bytes": size, "import_ms": imports, "heap_bytes": heap,
        "heap_bytes_at_end": memory["heapBytes"], "cases": cases,
    }  # fmt: skip


async def _database(postgres: EmbeddedPostgres) -> str:
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    try:
        await connection.execute("CREATE DATABASE bench")
        await connection.execute("ALTER DATABASE bench SET default_transaction_isolation = 'serializable'")
    finally:
        await connection.close()
    url = postgres.database_url("bench")
    await migrate(url, clock=SystemClock(), entropy=SystemEntropy())
    return url


def _cpu_ms(case: dict[str, Any]) -> float:
    """The median of batches' means: the system may count CPU time by ticks as long as a whole request."""
    times = case["cpu_ms"]
    batches = [times[first : first + BATCH] for first in range(0, len(times), BATCH)]
    return statistics.median(statistics.mean(batch) for batch in batches)


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    cases = figures["cases"]
    lines = [
        f"{figures['date']}, {figures['cores']} cores ({figures['machine']}), load average "
        f"{figures['load_average']:.1f} at the end; lone requests, a page of ten stakes.",
        "",
        "| | figure | target |",
        "| --- | ---: | ---: |",
        f"| bundle, bytes | {figures['bundle_bytes']:,} | {TARGETS['bundle, bytes']:,.0f} |",
        f"| import, cold, ms (median of {len(figures['import_ms'])}) "
        f"| {statistics.median(figures['import_ms']):,.0f} | {TARGETS['import, ms']:,.0f} |",
        f"| WebAssembly's memory after import, MB | {figures['heap_bytes'] / 1e6:.1f} | |",
        f"| the same after all requests, MB | {figures['heap_bytes_at_end'] / 1e6:.1f} | |",
        "",
        "| ms a request | requests | CPU | target | not waiting: until the answer | with all behind it | p95 "
        "| fetches | connections |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, case in cases.items():
        whole = case["whole_ms"]
        target = f"{TARGETS[name]:.0f}" if name in TARGETS else ""
        lines.append(
            f"| {name} | {case['requests']} | {_cpu_ms(case):.2f} | {target} "
            f"| {statistics.median(case['handler_ms']):.2f} | {statistics.median(whole):.2f} "
            f"| {statistics.quantiles(whole, n=20)[-1]:.2f} "
            f"| {case['fetches']:.2f} | {case['connections']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write and print the tables. Status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.worker", description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="of each kind")
    parser.add_argument("--starts", type=int, default=3, help="cold imports")
    parser.add_argument("--output", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stakehold-bench-") as directory:
        figures = asyncio.run(_run(arguments, Path(directory).resolve()))
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = table(figures)
    (arguments.output / "worker.md").write_text(text)
    (arguments.output / "worker.json").write_text(json.dumps(figures))
    sys.stdout.write(text)
    measured = {
        "import, ms": statistics.median(figures["import_ms"]),
        "bundle, bytes": figures["bundle_bytes"],
        **{name: _cpu_ms(case) for name, case in figures["cases"].items()},
    }
    missed = [name for name, most in TARGETS.items() if measured[name] > most]
    for name in missed:
        sys.stdout.write(f"\nOver its target: {name}, {measured[name]:,.2f}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
