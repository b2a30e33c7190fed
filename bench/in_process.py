"""What a cached `GET /api/stake` costs in processor time, without sockets; and what each part of it costs.

    .venv/bin/python -m bench.in_process [--rounds 30] [--parts] [--profile FILE]

Bytes of requests go into the server's own protocol class, over a transport that only takes what is written;
48 connections take turns, each sending its next request when it was answered. What is counted is the time of
the event loop's thread (`time.thread_time`), so that other processes on the machine disturb it little.

- *bare*: the protocol class with an application that answers the same page as a constant;
- *stubbed*: the service, with Redis' replies recorded once and handed out without a trip;
- *Valkey*: the service with its own client and a real Valkey.

`--parts` switches one feature off at a time, here alone, and shows what that saves; `--profile` writes what
cProfile saw of the stubbed service. Rounds are short and interleaved, figures are medians: of the pairs of
rounds with and without a part, what else the machine does falls on both alike.
"""

import argparse
import asyncio
import contextlib
import cProfile
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from bench.parts import PARTS
from bench.stores import Person, Stores, running_stores
from stakehold.redis.port import Argument, Redis, Reply, Script
from stakehold.redis.resp import RespRedis
from stakehold.runtime.container import NativeContainer, build_container, close_container
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.server import ServerProcess, _settle_memory
from stakehold.runtime.settings import Settings, load_settings
from stakehold.telemetry.metrics import Metrics
from stakehold.telemetry.threaded_stream import ThreadedStream

CONNECTIONS = 48
USERS = 400
REQUESTS_A_ROUND = 480


class RecordedRedis:
    """Asks a real Redis while it records; then hands out its last reply to a script with as many keys."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._replies: dict[tuple[str, int], Reply] = {}
        self.recording = True
        self.connection_losses = 0

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self._redis.command(*arguments, timeout_s=timeout_s)

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        if self.recording:
            reply = await self._redis.script(script, keys, arguments, timeout_s)
            self._replies[script.sha, len(keys)] = reply
            return reply
        return self._replies[script.sha, len(keys)]

    async def close(self) -> None:
        await self._redis.close()


class Wire:
    """One connection of a client: a transport that takes answers, and asks again."""

    def __init__(self, ask_next: Callable[["Wire"], None]) -> None:
        self.protocol: Any = None
        self.asked = False
        self.answer = b""
        self._ask_next = ask_next
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if self.asked:
            self.asked = False
            self.answer = data
            self._loop.call_soon(self._ask_next, self)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name in ("peername", "sockname") else default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: Any) -> None: ...

    def close(self) -> None: ...

    abort = close


class Client:
    """Drives a server's protocol class with requests in turn."""

    def __init__(self, config: uvicorn.Config, requests: Sequence[bytes]) -> None:
        config.load()
        self._requests = itertools.cycle(requests)
        self._left = self._answered = self._count = 0
        self._failure = b""
        self._done = asyncio.Event()
        self._wires = [Wire(self._go_on) for _ in range(CONNECTIONS)]
        state = ServerState()
        for wire in self._wires:
            wire.protocol = config.http_protocol_class(config, state, {})  # type: ignore[call-arg]
            wire.protocol.connection_made(wire)

    async def run(self, count: int) -> float:
        """The time of this thread that a request took, in µs."""
        self._count, self._left, self._answered = count, count, 0
        self._done.clear()
        started_s = time.thread_time()
        for wire in self._wires:
            self._ask(wire)
        await asyncio.wait_for(self._done.wait(), 120)
        if self._failure:
            raise RuntimeError(f"refused, or answered in pieces: {self._failure.decode(errors='replace')}")
        return (time.thread_time() - started_s) / count * 1e6

    @property
    def body(self) -> bytes:
        """Of the last answer."""
        return self._wires[0].answer.partition(b"\r\n\r\n")[2]

    def _go_on(self, wire: Wire) -> None:
        whole = wire.protocol.cycle.response_complete
        if not whole or not wire.answer.startswith(b"HTTP/1.1 200 "):
            self._failure = wire.answer
            self._done.set()
            return
        self._answered += 1
        if self._answered == self._count:
            self._done.set()
        self._ask(wire)

    def _ask(self, wire: Wire) -> None:
        if self._left:
            self._left -= 1
            wire.asked = True
            wire.protocol.data_received(next(self._requests))


def request_of(person: Person) -> bytes:
    """What wrk sends."""
    return (
        "GET /api/stake?page=1&limit=10 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"
        f"Authorization: Bearer {person.token}\r\n\r\n"
    ).encode()


def config_of(settings: Settings, container: NativeContainer) -> uvicorn.Config:
    """uvicorn as `stakehold serve` configures it."""
    process = ServerProcess(settings, None, supervisor=0, production=True)  # type: ignore[arg-type]
    config = process._uvicorn_config(container)
    config.loop = "none"
    return config


def bare_config(like: uvicorn.Config, page: bytes) -> uvicorn.Config:
    """The same server with an application that answers `page`."""

    async def answer_page(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    return uvicorn.Config(
        answer_page,
        http=like.http, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, timeout_keep_alive=like.timeout_keep_alive, loop="none",
    )  # fmt: skip


class Bench:
    """The three clients, ready: every page is in the cache, every token known."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.clients = clients

    async def whole_us(self, rounds: int) -> dict[str, float]:
        """µs a request of each client."""
        seen: dict[str, list[float]] = {name: [] for name in self.clients}
        for _ in range(rounds):
            for name, client in self.clients.items():
                seen[name].append(await client.run(REQUESTS_A_ROUND))
        return {name: statistics.median(times) for name, times in seen.items()}

    async def parts_us(self, rounds: int) -> dict[str, list[float]]:
        """What switching a part off saves, in µs a request, stubbed and with Valkey."""
        clients = [self.clients[name] for name in ("stubbed", "Valkey")]
        saved: dict[str, list[list[float]]] = {part.name: [[] for _ in clients] for part in PARTS}
        for _, part, (column, client) in itertools.product(range(rounds), PARTS, enumerate(clients)):
            before_us = await _warm_run(client)
            with part.off():
                without_us = await _warm_run(client)
            whole_us = (before_us + await _warm_run(client)) / 2
            saved[part.name][column].append(whole_us - without_us)
        return {name: [statistics.median(column) for column in columns] for name, columns in saved.items()}


async def _warm_run(client: Client) -> float:
    """A round, after a few requests in which the interpreter gets used to what was patched."""
    await client.run(4 * CONNECTIONS)
    return await client.run(REQUESTS_A_ROUND)


@contextlib.asynccontextmanager
async def prepared(stores: Stores) -> AsyncIterator[Bench]:
    """Containers on the stores, and clients of them, warmed up."""
    people = await stores.enrol(USERS)
    requests = [request_of(person) for person in people]
    settings = load_settings(stores.settings, production=True)
    clock, entropy = SystemClock(), SystemEntropy()
    recorded = RecordedRedis(RespRedis(stores.valkey.url, clock=clock, entropy=entropy, counters=Metrics()))
    clients: dict[str, Client] = {}
    async with contextlib.AsyncExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("wb", buffering=0))  # noqa: SIM115
        for name, redis in (("stubbed", recorded), ("Valkey", None)):
            log = ThreadedStream(nowhere)
            stack.callback(log.close, 1.0)
            container = await build_container(settings, redis=redis, log_stream=log)
            stack.push_async_callback(close_container, container)
            clients[name] = Client(config_of(settings, container), requests)
            await clients[name].run(3 * USERS)  # fills every page, then reads it
        stubbed = clients["stubbed"]
        for part in PARTS:
            with part.off():
                await stubbed.run(CONNECTIONS * 4)
        await stubbed.run(CONNECTIONS * 4)
        recorded.recording = False
        await stubbed.run(CONNECTIONS * 4)
        bare = Client(bare_config(config_of(settings, container), stubbed.body), requests)
        yield Bench({"bare": bare, **clients})


async def measure(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    async with running_stores() as stores, prepared(stores) as bench:
        _settle_memory()
        if arguments.profile:
            with cProfile.Profile() as profile:
                await bench.clients["stubbed"].run(arguments.rounds * REQUESTS_A_ROUND)
            profile.dump_stats(arguments.profile)
            return
        for name, us in (await bench.whole_us(arguments.rounds)).items():
            print(f"{name:12} {us:7.1f} µs")
        if arguments.parts:
            print(f"\n{'what a part costs, µs':64} {'stubbed':>8} {'Valkey':>8}")
            for name, saved in (await bench.parts_us(arguments.rounds)).items():
                print(f"{name:64} {saved[0]:8.1f} {saved[1]:8.1f}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What a cached read costs, in process.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--parts", action="store_true", help="switch features off, one at a time")
    parser.add_argument("--profile", metavar="FILE", help="write a profile of the stubbed service instead")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
