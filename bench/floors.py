"""What the service rests on, driven directly, each by one process: the ratio to it is what the service adds.

python -m bench.floors page PORT FILE      the same server, answering the bytes of FILE as JSON
python -m bench.floors FLOOR < task.json   one round, its result as JSON
    sql       the very statement that makes a stake, prepared, by 48 tasks over as many connections
    redis     the very script that lets a cached read in, through our client, by 48 tasks
    pipeline  the same, 48 in one write, by a plain socket: as redis-benchmark -P 48 does
    scrypt    the hash of a password, in as many threads as the service has
"""

import asyncio
import hashlib
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import hiredis
import uvicorn
import uvloop

from bench.load import CONNECTIONS, Result
from bench.stores import PASSWORD
from bench.usage import Usage
from stakehold.database.stake_creation import CREATE_KEYLESS, NewStake, PlanChoice, arguments_of
from stakehold.domain.ids import new_id
from stakehold.redis.port import Argument, Redis, Reply, Script
from stakehold.redis.resp import RespRedis
from stakehold.runtime.http_protocol import BoundedHttpProtocol
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.server import KEEP_ALIVE_S, _settle_memory
from stakehold.runtime.settings import cores
from stakehold.security.passwords import CURRENT, HASH_BYTES, SALT_BYTES
from stakehold.telemetry.metrics import Metrics

AMOUNT_MINOR = 1_250_000_000


@dataclass
class Task:
    """What a floor is told. `people` are pairs of a user's and a session's id."""

    seconds: float
    database_url: str
    redis_url: str
    pool_size: int
    stores: dict[str, int]
    people: list[tuple[str, str]]
    trip: "Trip"


@dataclass
class Trip:
    """A script's call as the gate made it for one user, and where in it the request's id stands."""

    source: str
    keys: list[str]
    arguments: list[str | int]
    request_id_at: list[int]
    person: tuple[str, str]

    def calls(self, people: Sequence[tuple[str, str]]) -> Iterator[tuple[list[str], list[Argument]]]:
        """The same call, for each of `people` in turn, and as a new request each time."""
        entropy = SystemEntropy()
        user_id, session_id = self.person
        made = [
            (
                [key.replace(user_id, user) for key in self.keys],
                [session if argument == session_id else argument for argument in self.arguments],
            )
            for user, session in people
        ]
        for keys, arguments in cycle(made):
            fresh: list[Argument] = list(arguments)
            for position in self.request_id_at:
                fresh[position] = entropy.random_bytes(16).hex()
            yield keys, fresh


class TripRecorder:
    """A Redis that remembers the scripts that were run."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.seen: list[tuple[str, list[str], list[str | int]]] = []

    @property
    def connection_losses(self) -> int:
        return self._redis.connection_losses

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        return await self._redis.command(*arguments, timeout_s=timeout_s)

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        plain = [argument.decode() if isinstance(argument, bytes) else argument for argument in arguments]
        self.seen.append((script.source, list(keys), plain))
        return await self._redis.script(script, keys, arguments, timeout_s)

    async def close(self) -> None:
        await self._redis.close()

    def trip(self, person: tuple[str, str]) -> Trip:
        """The last of two like calls; what differs between their arguments is the request's id."""
        (_, _, before), (source, keys, arguments) = self.seen[-2:]
        differing = [
            position
            for position, pair in enumerate(zip(before, arguments, strict=True))
            if len(set(pair)) == 2
        ]
        return Trip(source, keys, arguments, differing, person)


class Timed:
    """Runs one thing many times at once until the time is up."""

    def __init__(self, task: Task) -> None:
        self._seconds = task.seconds
        self._usage = Usage(task.stores)
        self._took_s: list[float] = []
        self._started_s, self._cpu_s = time.perf_counter(), time.process_time()

    async def run(self, once: Callable[[], Awaitable[object]]) -> None:
        """One of the tasks."""
        end_s = self._started_s + self._seconds
        began_s = time.perf_counter()
        while began_s < end_s:
            await once()
            ended_s = time.perf_counter()
            self._took_s.append(ended_s - began_s)
            began_s = ended_s

    def result(self, operations_each: int = 1) -> Result:
        """What came of it, `operations_each` time."""
        seconds = time.perf_counter() - self._started_s
        took_s, count = sorted(self._took_s), len(self._took_s) * operations_each
        cpu_us = {"client": (time.process_time() - self._cpu_s) / count * 1e6}
        return Result(
            requests=count,
            seconds=seconds,
            p50_ms=took_s[len(took_s) // 2] * 1000,
            p99_ms=took_s[len(took_s) * 99 // 100] * 1000,
            cpu_us=cpu_us | self._usage.us_a_request(count),
        )


async def drive_sql(task: Task) -> Result:
    """Every connection has the statement prepared; who finds none free waits for one."""
    clock, entropy = SystemClock(), SystemEntropy()
    people = cycle([(UUID(user), UUID(session)) for user, session in task.people])
    free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    connections = [await asyncpg.connect(task.database_url) for _ in range(task.pool_size)]
    for connection in connections:
        free.put_nowait(await connection.prepare(CREATE_KEYLESS["external"]))
    timed = Timed(task)

    async def make_stake() -> None:
        user_id, session_id = next(people)
        new = NewStake(user_id, new_id(clock, entropy), session_id, 1, AMOUNT_MINOR, PlanChoice("STK", 8, 12))
        while True:
            statement = await free.get()
            try:
                row = await statement.fetchrow(*arguments_of(new))
            except asyncpg.SerializationError:
                continue
            finally:
                free.put_nowait(statement)
            if row["outcome"] != "created":
                raise AssertionError(row)
            return

    await asyncio.gather(*[timed.run(make_stake) for _ in range(CONNECTIONS)])
    result = timed.result()
    for connection in connections:
        await connection.close()
    return result


async def drive_redis(task: Task) -> Result:
    """Through our client, over its one connection."""
    redis = RespRedis(task.redis_url, clock=SystemClock(), entropy=SystemEntropy(), counters=Metrics())
    script, calls = Script(task.trip.source), task.trip.calls(task.people)
    await redis.script(script, *next(calls), 1.0)
    timed = Timed(task)

    async def enter() -> None:
        keys, arguments = next(calls)
        _check(await redis.script(script, keys, arguments, 5.0))

    await asyncio.gather(*[timed.run(enter) for _ in range(CONNECTIONS)])
    result = timed.result()
    await redis.close()
    return result


async def drive_pipeline(task: Task) -> Result:
    """48 calls in a write, their replies read before the next."""
    address = urlsplit(task.redis_url)
    reader = hiredis.Reader()
    script, calls = Script(task.trip.source), task.trip.calls(task.people)
    with socket.create_connection((address.hostname, address.port), 5) as connection:

        def ask(commands: Sequence[Sequence[Argument]]) -> list[Any]:
            connection.sendall(b"".join([hiredis.pack_command(tuple(command)) for command in commands]))  # type: ignore[arg-type]
            replies: list[Any] = []
            while len(replies) < len(commands):
                reader.feed(connection.recv(1 << 20))
                while (reply := reader.gets()) is not False:
                    replies.append(reply)
            return replies

        ask([("AUTH", address.password or ""), ("SCRIPT", "LOAD", script.source)])
        timed = Timed(task)

        async def enter_all() -> None:
            batch = [next(calls) for _ in range(CONNECTIONS)]
            commands = [("EVALSHA", script.sha, len(keys), *keys, *arguments) for keys, arguments in batch]
            for reply in ask(commands):
                _check(reply)

        await timed.run(enter_all)
        return timed.result(CONNECTIONS)


async def drive_scrypt(task: Task) -> Result:
    """As signing in hashes."""
    threads = cores()
    with ThreadPoolExecutor(threads) as pool:
        loop, timed = asyncio.get_running_loop(), Timed(task)

        def derive() -> None:
            hashlib.scrypt(
                PASSWORD.encode(), salt=bytes(SALT_BYTES), n=2**CURRENT.log_n, r=CURRENT.r, p=CURRENT.p,
                maxmem=64 * 1024 * 1024, dklen=HASH_BYTES,
            )  # fmt: skip

        async def once() -> None:
            await loop.run_in_executor(pool, derive)

        await asyncio.gather(*[timed.run(once) for _ in range(threads)])
        return timed.result()


def _check(reply: Any) -> None:
    """Let in, with the page from the cache: anything else would be another measurement."""
    if not isinstance(reply, list) or reply[0] != b"ok" or b"fresh" not in reply[6:]:
        raise AssertionError(reply)


def serve_page(port: int, page: bytes) -> None:
    """uvicorn as the service runs it, with an application that answers `page`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, http=BoundedHttpProtocol, ws="none", lifespan="off",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip
    _settle_memory()
    uvloop.run(uvicorn.Server(config).serve())


FLOORS = {"sql": drive_sql, "redis": drive_redis, "pipeline": drive_pipeline, "scrypt": drive_scrypt}


def main(arguments: Sequence[str]) -> None:
    """The command."""
    if arguments[0] == "page":
        serve_page(int(arguments[1]), Path(arguments[2]).read_bytes())
        return
    told = json.load(sys.stdin)
    task = Task(**{**told, "trip": Trip(**told["trip"])})
    _settle_memory()
    print(json.dumps(asdict(uvloop.run(FLOORS[arguments[0]](task)))))


if __name__ == "__main__":
    main(sys.argv[1:])
