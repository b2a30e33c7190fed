"""Several server processes on stores of their own, every wire between them a proxy's."""

import asyncio
import contextlib
import os
import signal
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

import aiohttp
import asyncpg

from stakehold.database.migrate import migrate
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.embedded_server import EmbeddedServerError, free_port
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.e2e.processes import children_of
from tests.faults.server_process import PLANT
from tests.support.native import JWT_SECRET
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.served import clean_environment

START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 20.0
CONNECTIONS_MAX = 40
ROOT = Path(__file__).parents[2]
APPLICATION = "stakehold"


class Stores:
    """A PostgreSQL and a Valkey that may be killed. Used as an async context manager.

    Start and stop them in one event loop: its threads are the parents that the servers die with.
    """

    def __init__(self, directory: Path) -> None:
        self.postgres = EmbeddedPostgres(directory, announce=lambda _: None, max_connections=CONNECTIONS_MAX)
        self.valkey = EmbeddedValkey(directory)

    async def __aenter__(self) -> "Stores":
        await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.valkey.start)
        parts = urlsplit(self.postgres.url)
        await self._run(
            # Recovery syncs all there is first: file by file takes seconds, and it is our processes that
            # die, not the machine.
            "ALTER SYSTEM SET recovery_init_sync_method = 'syncfs'",
            # One round of SCRAM in place of 4096, which hold up whoever connects for 10 ms of Python.
            "SET scram_iterations = 1",
            f"ALTER ROLE {parts.username} PASSWORD '{unquote(parts.password or '')}'",
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.valkey.stop)
        await asyncio.to_thread(self.postgres.stop)

    async def new_database(self, name: str) -> str:
        """Make a migrated database; its address."""
        serializable = f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
        await self._run(f"CREATE DATABASE {name}", serializable)
        url = self.postgres.database_url(name)
        await migrate(url, clock=SystemClock(), entropy=SystemEntropy())
        return url

    async def drop_database(self, name: str) -> None:
        """Make room."""
        await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    async def _run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.postgres.database_url("postgres"), timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close(timeout=10)

    async def kill_postgres(self) -> None:
        """kill -9 of the server and of all its sessions, as if the machine had stopped them at once."""
        process = self.postgres.process
        assert process is not None
        sessions = children_of(process.pid)
        await asyncio.to_thread(self.postgres.kill)
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def start_postgres(self) -> None:
        """Start again after a kill; memory of a dying session may stand in the way for a moment."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                await asyncio.to_thread(self.postgres.start)
                return
            except EmbeddedServerError:
                if time.monotonic() > end_s:
                    raise
                await asyncio.sleep(0.05)


class Server:
    """The place of one server process: a port, proxies and a clock that outlive the process itself."""

    def __init__(self, number: int, directory: Path, settings: Mapping[str, str]) -> None:
        self.number = number
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log_path = directory / f"server-{number}.log"
        self.postgres_proxy = PostgresProxy(settings["DATABASE_URL"])
        self.redis_proxy = RespProxy(settings["REDIS_URL"])
        self.process: asyncio.subprocess.Process | None = None
        self._settings = settings
        self._clock_path = directory / f"clock-{number}"
        self._skew_ms = self._advanced_ms = 0
        self._clock_path.write_bytes(struct.pack("<q", 0))

    def skew_clock(self, skew_ms: int) -> None:
        """Let the process' date be off by this much beside what it has been advanced."""
        self._skew_ms = skew_ms
        self._tell_clock()

    def advance_clock(self, step_ms: int) -> None:
        """Let the process' date jump forward for good."""
        self._advanced_ms += step_ms
        self._tell_clock()

    def _tell_clock(self) -> None:
        # In place: the process has the file mapped.
        with self._clock_path.open("r+b", buffering=0) as file:
            file.write(struct.pack("<q", self._skew_ms + self._advanced_ms))

    async def start(self) -> None:
        """Start a process; it becomes ready by itself."""
        environ = {
            **clean_environment(),
            **self._settings,
            "PORT": str(self.port),
            "DATABASE_URL": self.postgres_proxy.url,
            "REDIS_URL": self.redis_proxy.url,
        }
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.server_process",
                "--port", str(self.port), "--clock", str(self._clock_path),
                cwd=ROOT, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def kill(self) -> None:
        """kill -9, and wait for the end."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)

    async def stop(self) -> None:
        """Stop gracefully; kill what does not."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            await self.kill()
            raise

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, SIGSTOP for example."""
        assert self.process is not None
        self.process.send_signal(number)


class Cluster:
    """`servers` processes on a database and a Redis. Used as an async context manager.

    `settings` are environment variables of the servers; `plant` names a bug to plant in them.
    """

    def __init__(
        self,
        directory: Path,
        database_url: str,
        redis_url: str,
        *,
        servers: int = 3,
        settings: Mapping[str, str] | None = None,
        plant: str = "",
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.settings: Mapping[str, str] = {
            "JWT_SECRET": JWT_SECRET,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STAKEHOLD_PROCESSES": str(servers),
            "STAKEHOLD_DRAIN_S": "0",
            "STAKEHOLD_TRUSTED_PROXIES": "1",
            **({PLANT: plant} if plant else {}),
            **(settings or {}),
        }
        self.servers = [Server(number, directory, self.settings) for number in range(servers)]
        self.http: aiohttp.ClientSession = None  # type: ignore[assignment]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Cluster":
        async with AsyncExitStack() as stack:
            self.http = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60))
            )
            for server in self.servers:
                await stack.enter_async_context(server.postgres_proxy)
                await server.redis_proxy.start()
                stack.push_async_callback(server.redis_proxy.stop)
            for server in self.servers:
                await server.start()
                stack.push_async_callback(server.stop)
            await asyncio.gather(*(self.wait_until_ready(server) for server in self.servers))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def stop_servers(self) -> None:
        """Stop all server processes, and wait until nothing of theirs runs in the database."""
        await asyncio.gather(*(server.stop() for server in self.servers))
        connection = await asyncpg.connect(self.database_url, timeout=10)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND application_name = $1 AND state <> 'idle'",
                    APPLICATION,
                ):
                    await asyncio.sleep(0.05)
        finally:
            await connection.close(timeout=10)

    async def readiness(self, server: Server) -> str:
        """What /readyz says: `ready`, `degraded`, `unready`; empty when there is no answer."""
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with self.http.get(f"{server.address}/readyz", timeout=timeout) as answer:
                return str((await answer.json())["status"])
        except (aiohttp.ClientError, TimeoutError, OSError):
            return ""

    async def wait_until_ready(self, server: Server, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the server says that it reaches both stores. Raises AssertionError."""
        end_s = time.monotonic() + timeout_s
        while (status := await self.readiness(server)) != "ready":
            log = server.log_path.read_text(errors="replace")[-2000:]
            assert time.monotonic() < end_s, f"server {server.number} is still {status!r}; it said: {log}"
            await asyncio.sleep(0.05)
