"""One whole comparison in one run: the service, and what it rests on driven directly. `make bench`.

    .venv/bin/python -m bench [--seconds 4] [--rounds 3] [--output build]

One server process, as `stakehold serve` starts it, and wrk with 48 keep-alive connections; load generator,
PostgreSQL (fsync on) and Valkey share the machine with it. The rounds of all cases are interleaved, and
figures are medians. What is compared, and how to read it: docs/performance.md. Needs wrk, and Linux.
"""

import argparse
import asyncio
import dataclasses
import io
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
import uvloop
from tests.support.served import ServedService, served

from bench import load, node_peer
from bench.budget import count_budgets
from bench.floors import Task, Trip, TripRecorder
from bench.in_process import Client, config_of, request_of
from bench.load import Result
from bench.report import Report
from bench.stores import Person, Stores, running_stores
from bench.usage import Usage
from stakehold.redis.resp import RespRedis
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.embedded_server import free_port
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.settings import CONNECTIONS_PER_CORE, cores, load_settings
from stakehold.telemetry.metrics import Metrics

USERS = 400
"""Of each kind: readers whose pages are cached, readers who miss, writers. Their tokens fit the table of
verified ones together."""

SIGN_IN_CONNECTIONS = 4
COUNTED_REQUESTS_MIN = 500
"""In fewer, those which wrk leaves unanswered at its end, and does not count, are too large a part."""

TINY = b'{"ok":true}'
PEERS = {"peer": False, "peer, tokens kept": True}
"""By name, whether it keeps verified tokens."""

_EVALS = ("evalsha", "eval", "evalsha_ro", "fcall", "fcall_ro")

Round = Callable[[], Awaitable[Result]]


class Bench:
    """The running service, the stores, and the people who use it."""

    def __init__(
        self, stores: Stores, service: ServedService, seconds: int, people: Sequence[Sequence[Person]]
    ) -> None:
        self.stores = stores
        self.base = str(service.client.base_url)
        self.seconds = seconds
        self.readers, self.missers, self.writers = people
        self.log_sizes: dict[str, list[int]] = {}
        self._redis = RespRedis(
            stores.valkey.url, clock=SystemClock(), entropy=SystemEntropy(), counters=Metrics()
        )
        assert stores.valkey.process
        assert stores.postgres.process
        self._stores = {"Valkey": stores.valkey.process.pid, "PostgreSQL": stores.postgres.process.pid}
        self._roots = {"server": service.process.pid, **self._stores}

    async def close(self) -> None:
        await self._redis.close()

    async def command(self, *words: str) -> bytes:
        reply = await self._redis.command(*words, timeout_s=10.0)
        return reply if isinstance(reply, bytes) else b""

    async def trips(self) -> int:
        """Scripts that Valkey has run: a trip each."""
        lines = (await self.command("INFO", "commandstats")).decode().splitlines()
        calls = dict(line.removeprefix("cmdstat_").split(":calls=") for line in lines if ":calls=" in line)
        return sum(int(calls[name].partition(",")[0]) for name in _EVALS if name in calls)

    async def drop_pages(self, people: Sequence[Person]) -> None:
        """So that the next read of each is a miss."""
        await self.command("UNLINK", *[f"sh0:{{u:{person.id}}}:stakes" for person in people])

    async def note_log_sizes(self, people: Sequence[Person], policy: str) -> None:
        """Remember how many charges the logs of some of them hold."""
        for person in people[:: len(people) // 50]:
            key = f"sh0:{{u:{person.id}}}:limit:{policy}"
            size = await self._redis.command("ZCARD", key, timeout_s=10.0)
            self.log_sizes.setdefault(policy, []).append(size if isinstance(size, int) else 0)

    async def visit(self, people: Sequence[Person]) -> None:
        """Everybody asks once: then their user entries and pages are cached and fresh, their tokens known."""
        waiting = iter(people)
        async with httpx.AsyncClient(base_url=self.base, timeout=10) as client:

            async def visit_some() -> None:
                for person in waiting:
                    headers = {"Authorization": f"Bearer {person.token}"}
                    (await client.get("/api/stake?page=1&limit=10", headers=headers)).raise_for_status()

            await asyncio.gather(*[visit_some() for _ in range(load.CONNECTIONS)])

    async def wrk(self, script: Path, *, connections: int = load.CONNECTIONS) -> Result:
        """A round against the service."""
        before = await self.trips()
        usage = Usage(self._roots)
        result = await load.wrk(self.base, script, self.seconds, usage, connections=connections)
        if result.requests >= COUNTED_REQUESTS_MIN:
            result.trips = (await self.trips() - before) / result.requests
        return result

    async def other(self, script: Path, port: int, process: int) -> Result:
        """A round against another server: one that answers a constant, or the peer."""
        usage = Usage({"server": process, **self._stores})
        return await load.wrk(f"http://127.0.0.1:{port}", script, self.seconds, usage)

    async def floor(self, name: str, trip: Trip, people: Sequence[Person]) -> Result:
        """A round of one of `bench.floors`, in a process of its own."""
        told = Task(
            seconds=self.seconds,
            database_url=self.stores.postgres.url,
            redis_url=self.stores.valkey.url,
            pool_size=CONNECTIONS_PER_CORE * cores(),
            stores=self._stores,
            people=[(str(person.id), str(person.session_id)) for person in people],
            trip=trip,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.floors", name,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        answer = process.communicate(json.dumps(dataclasses.asdict(told)).encode())
        printed, _ = await asyncio.wait_for(answer, self.seconds + 60)
        if process.returncode != 0:
            raise RuntimeError(f"the floor {name} failed")
        return Result(**json.loads(printed))


async def recorded_trip(stores: Stores, person: Person) -> tuple[Trip, bytes]:
    """The script's call that lets a cached read in, as the service makes it; and the page it answers."""
    settings = load_settings(stores.settings, production=True)
    recorder = TripRecorder(
        RespRedis(stores.valkey.url, clock=SystemClock(), entropy=SystemEntropy(), counters=Metrics())
    )
    container = await build_container(settings, redis=recorder, log_stream=io.BytesIO())
    try:
        client = Client(config_of(settings, container), [request_of(person)])
        for _ in range(6):  # the first fill the cache; the last two are alike
            await client.run(1)
        return recorder.trip((str(person.id), str(person.session_id))), client.body
    finally:
        await close_container(container)


def rounds_of(bench: Bench, trip: Trip, ports: dict[str, tuple[int, int]]) -> dict[str, Round]:
    """Every case by name, each of which is one round."""
    directory = bench.stores.directory
    cached = load.cached_reads(directory / "cached.lua", bench.readers)
    missing = load.missing_reads(directory / "missing.lua", bench.missers)
    creations = load.creations(directory / "creations.lua", bench.writers)
    sign_ins = load.sign_ins(directory / "sign-ins.lua", bench.writers)

    async def read() -> Result:
        result = await bench.wrk(cached)
        await bench.note_log_sizes(bench.readers, "stake-read")
        return result

    async def create() -> Result:
        result = await bench.wrk(creations)
        await bench.note_log_sizes(bench.writers, "stake-create")
        return result

    async def miss() -> Result:
        await bench.drop_pages(bench.missers)
        return await bench.wrk(missing)

    peer: dict[str, Round] = {}
    for name in PEERS:
        if name in ports:
            peer[f"{name}, cached"] = partial(bench.other, cached, *ports[name])
            peer[f"{name}, create"] = partial(bench.other, creations, *ports[name])
    return {
        "bare, tiny": lambda: bench.other(cached, *ports["tiny"]),
        "bare, page": lambda: bench.other(cached, *ports["page"]),
        **peer,
        "cached": read,
        "redis": lambda: bench.floor("redis", trip, bench.readers),
        "pipeline": lambda: bench.floor("pipeline", trip, bench.readers),
        "miss": miss,
        "create": create,
        "sql": lambda: bench.floor("sql", trip, bench.writers),
        "sign-in": lambda: bench.wrk(sign_ins, connections=SIGN_IN_CONNECTIONS),
        "scrypt": lambda: bench.floor("scrypt", trip, bench.writers),
    }


async def bare_server(stack: AsyncExitStack, directory: Path, name: str, page: bytes) -> tuple[int, int]:
    """Start the same server with a constant answer: its port and process."""
    path, port = directory / f"{name}.json", free_port()
    path.write_bytes(page)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.floors", "page", str(port), str(path)
    )
    stack.callback(process.terminate)
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                (await client.get(f"http://127.0.0.1:{port}/")).raise_for_status()
                return port, process.pid
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def start_peers(stack: AsyncExitStack, stores: Stores) -> tuple[dict[str, tuple[int, int]], str]:
    """Ports and processes of the peers by name, or why there are none."""
    try:
        await node_peer.install()
    except node_peer.NoPeerError as error:
        return {}, str(error)
    return {name: await node_peer.start(stack, stores, tokens_kept=kept) for name, kept in PEERS.items()}, ""


async def measured(
    rounds: dict[str, Round], count: int, warm_up: Callable[[], Awaitable[None]]
) -> dict[str, list[Result]]:
    """All rounds, interleaved."""
    seen: dict[str, list[Result]] = {name: [] for name in rounds}
    for number in range(count):
        await warm_up()
        for name, run in rounds.items():
            print(f"\rround {number + 1} of {count}: {name:28}", end="", file=sys.stderr, flush=True)
            seen[name].append(await run())
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return seen


async def compare(seconds: int, rounds: int) -> Report:
    """Start everything, measure, stop everything."""
    load.require_wrk()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(running_stores())
        everybody = await stores.enrol(3 * USERS)
        people = [everybody[start : start + USERS] for start in range(0, len(everybody), USERS)]
        budgets = await count_budgets(stores, everybody[0])
        trip, page = await recorded_trip(stores, everybody[0])
        ports = {
            name: await bare_server(stack, stores.directory, name, body)
            for name, body in (("tiny", TINY), ("page", page))
        }
        peer_ports, without_peer = await start_peers(stack, stores)
        ports |= peer_ports
        service = await stack.enter_async_context(
            served(stores.directory, stores.postgres.url, stores.settings, processes=1)
        )
        bench = Bench(stores, service, seconds, people)
        stack.push_async_callback(bench.close)
        cases = rounds_of(bench, trip, ports)

        async def warm_up() -> None:
            """The readers' pages are made anew before each turn: none gets old enough to be stale."""
            await bench.drop_pages(bench.readers)
            await bench.visit(bench.readers)

        await bench.visit([*bench.missers, *bench.writers])
        for name in cases:
            if name.startswith("peer"):
                await cases[name]()  # not counted: fills its pages, and Node compiles what runs often
        seen = await measured(cases, rounds, warm_up)
        return Report(seen, budgets, bench.log_sizes, len(page), seconds, without_peer)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="One whole comparison in one run.")
    parser.add_argument("--seconds", type=int, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each case")
    parser.add_argument("--output", type=Path, default=Path("build"), help="where the report is written")
    arguments = parser.parse_args()
    try:
        report = uvloop.run(compare(arguments.seconds, arguments.rounds))
    except load.NoLoadGeneratorError as error:
        sys.exit(str(error))
    print(report.markdown())
    report.write(arguments.output)
    if report.errors:
        sys.exit(f"{report.errors} requests failed: these figures mean nothing.")


if __name__ == "__main__":
    main()
