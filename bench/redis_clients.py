"""Redis clients side by side: one EVALSHA that returns a 3 KB value, many callers at once.

    python bench/redis_clients.py [--rounds 15] [--concurrent 32] [--loop uvloop|asyncio]

Compares ours with redis-py and valkey-glide where they are installed, in an environment of their own
(`pip install 'redis[hiredis]' valkey-glide`): the service needs neither. Rounds are interleaved, so that
whatever else the machine does falls on all alike. Figures are medians; CPU is that of all our threads.
"""

import argparse
import asyncio
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stakehold.redis.port import Script
from stakehold.redis.resp import RespRedis
from stakehold.runtime.embedded import EmbeddedValkey

CALLS_A_ROUND = 6400
VALUE = b"x" * 3000
SOURCE = "return redis.call('GET', KEYS[1])"
KEY = "{bench}page"

Call = Callable[[], Awaitable[object]]


class MachineClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class MachineEntropy:
    """The machine's randomness."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


class NoCounters:
    """Counts nothing."""

    def count(self, name: str, amount: int = 1) -> None:
        pass


async def ours(url: str) -> Call:
    redis = RespRedis(url, clock=MachineClock(), entropy=MachineEntropy(), counters=NoCounters())
    await redis.command("SET", KEY, VALUE, timeout_s=1.0)
    script = Script(SOURCE)
    return lambda: redis.script(script, [KEY], [], 1.0)


async def redis_py(url: str) -> Call:
    import redis.asyncio

    client: Any = redis.asyncio.Redis.from_url(url, socket_timeout=1.0)
    sha = await client.script_load(SOURCE)
    return lambda: client.evalsha(sha, 1, KEY)


async def valkey_glide(url: str) -> Call:
    import glide

    parts = urlsplit(url)
    configuration = glide.GlideClientConfiguration(
        [glide.NodeAddress(parts.hostname, parts.port)],
        credentials=glide.ServerCredentials(parts.password),
        request_timeout=1000,
    )
    client = await glide.GlideClient.create(configuration)
    script = glide.Script(SOURCE)
    return lambda: client.invoke_script(script, keys=[KEY])


CLIENTS = {
    "ours": (ours, "hiredis"),
    "redis-py": (redis_py, "redis"),
    "valkey-glide": (valkey_glide, "glide"),
}


async def measure(call: Call, concurrent: int) -> tuple[float, float]:
    """Calls a second, and CPU microseconds a call."""

    async def caller() -> None:
        for _ in range(CALLS_A_ROUND // concurrent):
            await call()

    calls = CALLS_A_ROUND // concurrent * concurrent
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(concurrent)))
    return calls / (time.perf_counter() - wall_s), (time.process_time() - cpu_s) / calls * 1e6


async def compare(url: str, rounds: int, concurrent: int) -> None:
    calls = {
        name: await connect(url)
        for name, (connect, module) in CLIENTS.items()
        if importlib.util.find_spec(module)
    }
    for name, call in calls.items():
        assert await call() == VALUE, name
        await measure(call, concurrent)  # a round to warm up, not counted
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            figures[name].append(await measure(call, concurrent))
    fastest = statistics.median(rate for rate, _ in figures["ours"])
    print(f"{'client':14} {'calls/s':>9} {'of ours':>8} {'lowest':>9} {'highest':>9} {'CPU us a call':>14}")
    for name, rounds_of in figures.items():
        rates = [rate for rate, _ in rounds_of]
        rate, cpu_us = statistics.median(rates), statistics.median(cpu for _, cpu in rounds_of)
        print(
            f"{name:14} {rate:9.0f} {rate / fastest:8.2f} {min(rates):9.0f} {max(rates):9.0f} {cpu_us:14.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Redis clients side by side.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--concurrent", type=int, default=32)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedValkey(Path(directory))
        server.start()
        try:
            comparison = compare(server.url, arguments.rounds, arguments.concurrent)
            if arguments.loop == "uvloop":
                import uvloop

                uvloop.run(comparison)
            else:
                asyncio.run(comparison)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
