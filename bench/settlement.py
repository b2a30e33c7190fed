"""How fast what is due is settled by four processes, and whether it is settled once: `make bench-settlement`.

    .venv/bin/python -m bench.settlement [--stakes 10000 100000] [--rounds 3] [--processes 4] [--kills 5]

For each number of stakes that have matured, ten to a user, runs of their own on stores of their own, in turn;
then the largest again, with processes killed (SIGKILL) on the way and started anew. After each run every
stake is counted and all books are checked. What the figures are: docs/performance.md. Writes settlement.json.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
from tests.support.books import check_books

from bench.ledgers import Made, write_stakes
from bench.stores import Stores, running_stores
from stakehold.domain.calendar import add_months
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.domain.stakes import MaturityInstruction
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.settings import load_settings
from stakehold.services.settlement import settle_due
from stakehold.services.upkeep import BATCH_TIME_S

STAKES_A_USER: Final = 10
INSTRUCTIONS: Final[Sequence[MaturityInstruction]] = (
    "payout", "payout", "payout", "renew_principal", "renew_all",
)  # fmt: skip
GROWTH_MOST: Final = 1.2
"""What one stake may cost with ten times as many, beside what it costs with fewer."""

RUN_S: Final = 900.0
LOOK_S: Final = 0.1

_LEFT = "SELECT count(*) FROM stakes WHERE due_at <= now()"
# Each that was due has ended, and its principal has left its account once: to its owner or to a renewal.
_WRONG = """
SELECT count(*) FROM stakes s
 WHERE s.renewed_from IS NULL
   AND (s.due_at IS NOT NULL OR s.reward_minor IS NULL
        OR (SELECT count(*) FROM transfers t
             WHERE t.user_id = s.user_id AND t.stake_id = s.id AND t.kind IN ('principal', 'renewal')
               AND t.amount_minor = s.amount_minor) <> 1
        OR (SELECT COALESCE(sum(t.amount_minor), 0) FROM transfers t
             WHERE t.user_id = s.user_id AND t.stake_id = s.id AND t.kind = 'reward') <> s.reward_minor)
"""


@dataclass
class Run:
    """What a run came to."""

    stakes: int
    kills: int
    seconds: float
    load_average: float
    by_process: list[int]
    conflicts: int = 0

    @property
    def each_second(self) -> float:
        """Stakes settled a second, by all processes together."""
        return self.stakes / self.seconds


class Settlers:
    """Processes that settle until nothing is due."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.processes: list[asyncio.subprocess.Process] = []
        self.counts: list[int] = []
        self.conflicts = 0

    async def start(self) -> asyncio.subprocess.Process:
        """Start one, which waits until it is told to begin."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.settlement", "--settle",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._stores.settings},
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout
        await process.stdout.readline()
        return process

    def begin(self, process: asyncio.subprocess.Process) -> None:
        """Tell it to."""
        assert process.stdin
        process.stdin.write(b"\n")

    async def kill_one(self) -> None:
        """Kill one in the middle of what it does, and start another in its place."""
        process = self.processes.pop(0)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self.begin(await self.start())

    async def end(self) -> None:
        """Wait until all have found nothing due any more."""
        for process in self.processes:
            printed, _ = await process.communicate()
            if process.returncode != 0:
                raise RuntimeError("a process that settles has failed")
            settled, conflicts = json.loads(printed)
            self.counts.append(settled)
            self.conflicts += conflicts


async def settle(limit_s: float) -> None:
    """What a process does: `stakehold settle`, from when it is told to."""
    container = await build_container(
        load_settings(os.environ, production=True), log_stream=sys.stderr.buffer
    )
    services = container.services
    try:
        await services.database.ping(Deadline.after(services.clock, BATCH_TIME_S))
        await services.gate.ping()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        settled = 0
        async with asyncio.timeout(limit_s):
            while count := await settle_due(services, Deadline.after(services.clock, BATCH_TIME_S)):
                settled += count
        print(json.dumps([settled, container.metrics.counted().get("sql_conflicts", 0)]))
    finally:
        await close_container(container)


async def make_due(stores: Stores, count: int) -> None:
    """Stakes that matured some days ago, ten to a user, with the ledger that they were made with."""
    clock, entropy = SystemClock(), SystemEntropy()
    start = add_months(datetime.now(UTC).date(), -1) - timedelta(days=4)
    chance = random.Random(count)
    users = [new_id(clock, entropy) for _ in range(count // STAKES_A_USER)]
    await write_stakes(
        stores.postgres.url,
        (
            Made(user, chance.randrange(1, 10**13), "STK-1M", start, 1, chance.choice(INSTRUCTIONS))
            for user in users
            for _ in range(STAKES_A_USER)
        ),
    )


@contextlib.asynccontextmanager
async def looking(stores: Stores) -> AsyncIterator[asyncpg.Connection]:  # type: ignore[type-arg]
    """A connection to look at the database with."""
    connection = await asyncpg.connect(stores.postgres.url)
    try:
        yield connection
    finally:
        await connection.close()


async def run(count: int, processes: int, kills: int) -> Run:
    """One run, checked."""
    async with running_stores() as stores, looking(stores) as database:
        await make_due(stores, count)
        settlers = Settlers(stores)
        started = await asyncio.gather(*(settlers.start() for _ in range(processes)))
        load_average, began_s = os.getloadavg()[0], time.monotonic()
        for process in started:
            settlers.begin(process)
        for number in range(kills):
            while await database.fetchval(_LEFT) > count * (kills - number) / (kills + 1):
                await asyncio.sleep(LOOK_S)
            await settlers.kill_one()
        await settlers.end()
        seconds = time.monotonic() - began_s
        if left := await database.fetchval(_LEFT):
            raise RuntimeError(f"{left} stakes are still due")
        if wrong := await database.fetchval(_WRONG):
            raise RuntimeError(f"{wrong} stakes were not paid exactly once")
        await check_books(stores.postgres.url)
        return Run(count, kills, seconds, load_average, settlers.counts, settlers.conflicts)


async def measure(sizes: Sequence[int], rounds: int, processes: int, kills: int) -> list[Run]:
    """All runs, one after the other."""
    plan = [(size, 0) for _ in range(rounds) for size in sizes] + [(max(sizes), kills)]
    runs = []
    for size, killed in plan:
        print(f"{size} stakes, {processes} processes, {killed} killed ...", file=sys.stderr, flush=True)
        async with asyncio.timeout(RUN_S):
            runs.append(await run(size, processes, killed))
    return runs


def medians(runs: Sequence[Run]) -> list[Run]:
    """Of the runs of each kind the one with the median time, the smallest first, killed ones last."""
    kinds = sorted({(one.kills, one.stakes) for one in runs})
    of_kinds = [
        sorted((one for one in runs if (one.kills, one.stakes) == kind), key=lambda one: one.seconds)
        for kind in kinds
    ]
    return [of_kind[len(of_kind) // 2] for of_kind in of_kinds]


def growth(runs: Sequence[Run]) -> float:
    """What a stake costs in the largest run, over what it costs in the smallest, without kills."""
    quiet = [one for one in medians(runs) if not one.kills]
    return quiet[0].each_second / quiet[-1].each_second


def report(runs: Sequence[Run]) -> str:
    """The table: medians, and of the rates all there are."""
    lines = [
        "| stakes | killed | seconds | stakes a second | of all runs | run again | load average before |",
        "| ---: | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    for one in medians(runs):
        rates = ", ".join(
            f"{other.each_second:,.0f}"
            for other in runs
            if (other.stakes, other.kills) == (one.stakes, one.kills)
        )
        lines.append(
            f"| {one.stakes:,} | {one.kills} | {one.seconds:.1f} | {one.each_second:,.0f} | {rates} "
            f"| {one.conflicts} | {one.load_average:.1f} |"
        )
    lines += ["", f"A stake costs {growth(runs):.2f} times as much in the largest run as in the smallest."]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write; status 1 when the cost of a stake grows with their number."""
    parser = argparse.ArgumentParser(prog="python -m bench.settlement")
    parser.add_argument("--stakes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--settle", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.settle:
        asyncio.run(settle(RUN_S))
        return
    runs = asyncio.run(measure(options.stakes, options.rounds, options.processes, options.kills))
    print(report(runs))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    found = {"machine": machine, "growth": growth(runs), "runs": [dataclasses.asdict(one) for one in runs]}
    options.output.mkdir(exist_ok=True)
    (options.output / "settlement.json").write_text(json.dumps(found, indent=2) + "\n")
    if len(options.stakes) > 1 and growth(runs) > GROWTH_MOST:
        sys.exit(f"A stake costs more than {GROWTH_MOST} times as much with more of them.")


if __name__ == "__main__":
    main()
