"""kill -9 of the server, of PostgreSQL and of Valkey under load, ten times each, with `stakehold serve`."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from stakehold.limits.policies import DEFAULTS
from stakehold.runtime.embedded_server import free_port
from tests.e2e.processes import children_of
from tests.faults.checker import Rules, check
from tests.faults.cluster import Stores
from tests.faults.final_state import FinalState, read_final_state
from tests.faults.history import ANY_SERVER, Fault, FaultKind, History, Operation
from tests.faults.recorder import Recorder
from tests.faults.workload import Client, enrolled
from tests.support.native import JWT_SECRET
from tests.support.served import clean_environment, program

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

KILLS = 10
PROCESSES = 2
STAKES_BETWEEN = 5
"""Acknowledged between one kill and the next, so that each meets the service at work."""

RECOVERY_S = 20.0
ANSWER_S = 10.0
PAUSE_S = 0.005
PAUSE_WITHOUT_S = 0.05
ROOMY = {policy.name: (1_000_000, 60) for policy in DEFAULTS}


class Serving:
    """`stakehold serve` on stores that may be killed."""

    def __init__(self, directory: Path, stores: Stores, database_url: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.database_url = database_url
        self.redis_url = stores.valkey.url
        self.settings: Mapping[str, str] = {
            "JWT_SECRET": JWT_SECRET,
            "DATABASE_URL": database_url,
            "REDIS_URL": stores.valkey.url,
            "PORT": str(port),
            "STAKEHOLD_PROCESSES": str(PROCESSES),
            "STAKEHOLD_DRAIN_S": "0",
            "STAKEHOLD_LIMITS": ",".join(f"{name}={quota}" for name, (quota, _) in ROOMY.items()),
        }
        self.servers = [self]  # At ANY_SERVER: the kernel chooses the process.
        self.http: aiohttp.ClientSession = None  # type: ignore[assignment]
        self.process: asyncio.subprocess.Process = None  # type: ignore[assignment]
        self.stores = stores
        self._log_path = directory / "serve.log"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside, and stop then, so that every statement has ended."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self.http:
            await self.start()
            try:
                await self.ready()
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    self.process.terminate()
                await asyncio.wait_for(self.process.wait(), 20)

    async def start(self) -> None:
        with self._log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program(), "serve", env={**clean_environment(), **self.settings}, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        """Wait until it reaches both stores."""
        timeout = aiohttp.ClientTimeout(total=5)
        async with asyncio.timeout(RECOVERY_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with self.http.get(f"{self.address}/readyz", timeout=timeout) as answer:
                        if (await answer.json())["status"] == "ready":
                            return
                await asyncio.sleep(0.02)

    async def kill_all(self) -> None:
        """kill -9 of the supervisor and of every server process, and a new start."""
        pids = [self.process.pid, *children_of(self.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(self.process.wait(), RECOVERY_S)
        await self.start()

    async def kill_one(self) -> None:
        """kill -9 of one server process, which the supervisor replaces."""
        os.kill(min(children_of(self.process.pid)), signal.SIGKILL)

    async def kill_postgres(self) -> None:
        """kill -9 of every process of PostgreSQL, and a new start."""
        await self.stores.kill_postgres()
        await self.stores.start_postgres()

    async def kill_valkey(self) -> None:
        """kill -9 of Valkey, and a new start."""
        await asyncio.to_thread(self.stores.valkey.kill)
        await asyncio.to_thread(self.stores.valkey.start)


Kill = Callable[[Serving], Awaitable[None]]

WAYS: dict[str, tuple[FaultKind, Sequence[Kill]]] = {
    "server": ("server_killed", (Serving.kill_all, Serving.kill_one)),
    "postgres": ("database_away", (Serving.kill_postgres,)),
    "valkey": ("redis_away", (Serving.kill_valkey,)),
}


@pytest.mark.parametrize("which", WAYS)
async def test_ten_kills_lose_nothing_and_double_nothing(tmp_path: Path, which: str) -> None:
    """Every acknowledged stake is there once, every other at most once, and the key of each says the same.

    Answers meanwhile are 2xx, 429, or a 503 problem with Retry-After, none after 10 s; only a server that was
    killed gives none.
    """
    async with Stores(tmp_path) as stores:
        serving = Serving(tmp_path, stores, await stores.new_database("kills"))
        history = History()
        async with serving.running():
            await _kill_under_load(serving, history, which)
        final = await read_final_state(serving.database_url)
    _assert_kept(history, final)
    _assert_answered(history, unanswered_allowed=which == "server")
    assert check(history, final, Rules(ROOMY, PROCESSES)) == []


async def _kill_under_load(serving: Serving, history: History, which: str) -> None:
    kind, kills = WAYS[which]
    recorder, intentions, over = Recorder(serving, history), itertools.count(1), asyncio.Event()
    clients = [
        client
        for number in range(3)
        for client in await enrolled(
            recorder, 2 * number, f"user-{number}", random.Random(number), intentions
        )
    ]
    async with asyncio.TaskGroup() as load:
        try:
            for client in clients:
                load.create_task(_make_and_read(client, over))
            for kill in itertools.islice(itertools.cycle(kills), KILLS):
                await _progress(history)
                began_s = time.monotonic()
                await kill(serving)
                await serving.ready()
                history.note_fault(Fault(kind, ANY_SERVER, began_s, time.monotonic(), kill.__name__))
            await _progress(history)
        finally:
            over.set()


async def _make_and_read(client: Client, over: asyncio.Event) -> None:
    """Make stakes and read them back; what was not confirmed is asked for again, with its key."""
    if client.tokens is None:
        await client.sign_in(ANY_SERVER)
    while not over.is_set() and client.tokens is not None:
        unsettled = client.user.unsettled
        done = await client.create(ANY_SERVER, unsettled.pop(0) if unsettled else client.new_stake())
        if done.outcome == "ok":
            done = await client.list(ANY_SERVER)
        await asyncio.sleep(PAUSE_S if done.outcome == "ok" else PAUSE_WITHOUT_S)


async def _progress(history: History) -> None:
    """Wait until some more stakes have been acknowledged."""
    begun = len(history.operations)
    async with asyncio.timeout(RECOVERY_S):
        while sum(map(_is_acknowledged, history.operations[begun:])) < STAKES_BETWEEN:
            await asyncio.sleep(0.01)


def _is_acknowledged(operation: Operation) -> bool:
    return operation.kind == "create" and operation.status == 201


def _assert_kept(history: History, final: FinalState) -> None:
    ids = Counter(row.id for row in final.stakes)
    acknowledged = {str(one.answer["stakeId"]) for one in history.operations if _is_acknowledged(one)}
    assert len(acknowledged) >= KILLS * STAKES_BETWEEN
    assert [stake_id for stake_id in acknowledged if ids[stake_id] != 1] == []
    made = Counter(row.amount for row in final.stakes)
    assert [amount for amount, count in made.items() if count > 1] == []
    asked = {str(one.request["amount"]) for one in history.operations if one.kind == "create"}
    assert set(made) <= asked


def _assert_answered(history: History, *, unanswered_allowed: bool) -> None:
    for operation in history.operations:
        assert operation.ended_s - operation.started_s <= ANSWER_S, operation
        if operation.status is None:
            assert unanswered_allowed, operation
        elif operation.status == 503:
            assert operation.answer["status"] == 503
            assert int(str(operation.answer["retry-after"])) >= 1
        else:
            assert operation.status in (200, 201, 304, 429), operation
