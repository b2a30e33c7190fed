"""The service as a Cloudflare Worker: real WebAssembly, in a harness that refuses what workerd refuses.

One `WorkerHost` (a Node process with one Pyodide in it) runs all services of a test session; a service is a
fresh isolate of the Worker with an `env` and a port on loopback of its own, and takes some milliseconds::

    async def test_it(worker_host: WorkerHost, database_url: str, redis_url: str) -> None:
        async with running_worker(worker_host, database_url, redis_url, {"JWT_SECRET": "…"}) as service:
            answer = await service.client.get("/api/plans")  # a Service of tests/support/service.py …
            (report,) = await service.reports()              # … and what the request did
            assert report.fetches == ["/pipeline"] and report.sockets_opened == 0

What a service can be asked, beside what `Service` has:

- `await service.reports()`: waits until no request is under way, background work included, and returns a
  `RequestReport` for each one that ended since the last call, in the order of their ends.
- `await service.violations()`: what was refused (I/O at import or of another request, a future settled by
  another request, a request that hung). Those not asked for fail the test when the service stops.
- `await service.abandon()`: end background work where it is, as the platform may: nothing of it runs on.
- `await service.scheduled()`: run the cron handler; returns its report when its background work is done.
- `await service.log()`: what the Worker wrote to standard output, standard error and `console`.
- `await service.underway()`: the requests that have not ended, and what background work each waits for.
- `await service.limit_fault("hang" | "error" | None)`, `limit_calls()`, `later(seconds)`: the rate-limit
  bindings.
- `service.front`: the Upstash front (faults, how many requests) where `redis_url` was given.

A request with the header `X-Harness-Client: 203.0.113.9` comes from there (CF-Connecting-IP); else from
127.0.0.1. `host.startup` is what the first, cold import took and did; `await host.memory()` is memory now.

Node and Pyodide come from npm by tests/worker/harness/package-lock.json, and are installed when they are
missing; where that does not work the tests are skipped, but fail where CI=true.
"""

import asyncio
import json
import os
import select
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import httpx

from deploy import bundle
from stakehold.runtime.embedded import EmbeddedPostgres
from tests.support import early_answers
from tests.support.native import JWT_SECRET
from tests.support.service import Service
from tests.support.upstash_front import UpstashFront
from tests.support.worker_node import HARNESS, node_program
from tests.support.worker_reports import RequestReport, Startup

ISOLATE_MODULES = ("stakehold.runtime.worker",)
"""With what is below, and with what begins with this name: imported anew for every isolate."""

POSTGRES_ROLE = "worker"
POSTGRES_PASSWORD = "of-the-workers-in-tests"
CLIENT_HEADER = "X-Harness-Client"

_START_TIMEOUT_S = 60
_CONTROL_TIMEOUT_S = 60


class WorkerStartError(Exception):
    """The Worker could not be imported, or the harness did not start."""


class WorkerHost:
    """The Node process that runs the Workers of one bundle. It ends with this process, however that ends."""

    def __init__(self, bundle: Path, isolate_modules: Sequence[str] = ISOLATE_MODULES) -> None:
        self._bundle = bundle
        self._isolate_modules = isolate_modules
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self.boot_ms = 0.0
        self.startup: Startup

    @property
    def pid(self) -> int:
        """Of the Node process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start Node and Pyodide, and import the Worker, whether that works or not: see `startup`."""
        self._process = subprocess.Popen(
            [
                node_program(), "--disable-warning=ExperimentalWarning", "--no-warnings",
                str(HARNESS / "main.mjs"), str(self._bundle), *self._isolate_modules,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={"HARNESS_PARENT": str(os.getpid())},
        )  # fmt: skip
        assert self._process.stdout is not None
        try:
            up = json.loads(_line(self._process.stdout))
        except ValueError:
            self.stop()
            raise WorkerStartError("the harness did not start: see its standard error") from None
        self._url = f"http://127.0.0.1:{up['port']}"
        self.boot_ms = up["bootMs"]
        self.startup = Startup.of(up["import"])

    def stop(self) -> None:
        """Kill it: it keeps nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    async def tell(self, command: str, **options: object) -> dict[str, Any]:
        """Have the harness do something, and return its answer."""
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(verify=False)) as client:
            answer = await client.post(f"{self._url}/{command}", json=options, timeout=_CONTROL_TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def memory(self, *, collect: bool = True) -> dict[str, int]:
        """`heapBytes` of WebAssembly, `rss`, `cpuMs` so far, and `pythonObjects`, garbage left out."""
        return await self.tell("memory", collect=collect)

    async def modules(self) -> list[str]:
        """The names of the Python modules that are imported."""
        names: list[str] = (await self.tell("modules"))["modules"]
        return names


@dataclass
class WorkerService(Service):
    """A service in the harness; what can be asked of it, the module's documentation says."""

    host: WorkerHost = None  # type: ignore[assignment]
    name: str = ""
    port: int = 0
    front: UpstashFront | None = None
    startup: Startup = None  # type: ignore[assignment]
    """What the import for this isolate took: not a cold one."""

    async def reports(self) -> list[RequestReport]:
        """Wait until nothing is under way; what each request did that ended since the last call."""
        await self.host.tell("idle", name=self.name)
        return [
            RequestReport.of(each) for each in (await self.host.tell("reports", name=self.name))["reports"]
        ]

    async def violations(self) -> list[str]:
        """What was refused since the last call."""
        violations: list[str] = (await self.host.tell("violations", name=self.name))["violations"]
        return violations

    async def abandon(self, *, unanswered: bool = False) -> int:
        """Cut off background work, and with `unanswered` every request; returns of how many requests."""
        cut: int = (await self.host.tell("abandon", name=self.name, unanswered=unanswered))["cut"]
        return cut

    async def underway(self) -> list[dict[str, Any]]:
        """`request`, `state` ("running" or "answered") and `background` (unsettled promises) of each."""
        requests: list[dict[str, Any]] = (await self.host.tell("underway", name=self.name))["requests"]
        return requests

    async def until_answered(self, timeout_s: float = 10) -> None:
        """Wait until every request that is under way has been answered."""
        async with asyncio.timeout(timeout_s):
            while any(each["state"] == "running" for each in await self.underway()):
                await asyncio.sleep(0.005)

    async def scheduled(self, cron: str = "* * * * *", time_ms: int = 0) -> RequestReport:
        """Run the cron handler, and its background work."""
        told = await self.host.tell("scheduled", name=self.name, cron=cron, timeMs=time_ms)
        return RequestReport.of(told["report"])

    async def log(self) -> list[str]:
        """Wait until nothing is under way; the lines written since the last call."""
        await self.host.tell("idle", name=self.name)
        return [line["text"] for line in (await self.host.tell("log", name=self.name))["lines"]]

    async def limit_fault(self, fault: str | None) -> None:
        """Let the rate-limit bindings "hang", fail with an "error", or work again."""
        await self.host.tell("rates", name=self.name, fault=fault)

    async def limit_calls(self) -> int:
        """How often the rate-limit bindings were asked."""
        calls: int = (await self.host.tell("rates", name=self.name))["calls"]
        return calls

    async def later(self, seconds: float) -> None:
        """Move the rate-limit bindings' clock on."""
        await self.host.tell("rates", name=self.name, shiftMs=int(seconds * 1000))


@asynccontextmanager
async def running_worker(
    host: WorkerHost,
    database_url: str | None,
    redis_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    limits: Mapping[str, tuple[int, int]] | None = None,
    hyperdrive: bool = True,
) -> AsyncIterator[WorkerService]:
    """Start a service in a fresh isolate; stop it at the end, and fail if something was refused meanwhile.

    `database_url` is as the tests have it: the Worker comes to it as `POSTGRES_ROLE`, through the binding
    HYPERDRIVE, or by DATABASE_URL where `hyperdrive` is off. `redis_url` is put behind an Upstash front of
    its own, unless `settings` say where Upstash is. `limits` are the rate-limit bindings: by name the calls
    allowed and the period in seconds.
    """
    native = {"JWT_SECRET": JWT_SECRET, **(settings or {})}
    env = dict(native)
    async with AsyncExitStack() as stack:
        front = None
        if redis_url is not None:
            native["REDIS_URL"] = redis_url
            if "UPSTASH_REDIS_REST_URL" not in env:
                front = UpstashFront(redis_url)
                await front.start()
                stack.push_async_callback(front.stop)
                env |= {"UPSTASH_REDIS_REST_URL": front.url, "UPSTASH_REDIS_REST_TOKEN": front.token}
        reached = None
        if database_url is not None:
            native["DATABASE_URL"] = database_url
            reached = as_worker(database_url)
            if not hyperdrive:
                env["DATABASE_URL"] = reached
        rates = {
            name: {"limit": limit, "periodS": period} for name, (limit, period) in (limits or {}).items()
        }
        told = await host.tell(
            "start", settings=env, limits=rates, hyperdrive=reached if hyperdrive else None
        )
        if "error" in told:
            raise WorkerStartError("\n".join([told["error"], *told["violations"]]))
        client = await stack.enter_async_context(_client(told["port"]))
        service = WorkerService(
            client, database_url or "", redis_url or "", native,
            host=host, name=told["name"], port=told["port"], front=front, startup=Startup.of(told["load"]),
        )  # fmt: skip
        try:
            yield service
        finally:
            stopped = await host.tell("stop", name=service.name)
        assert not stopped["violations"], "\n".join(stopped["violations"])


class _ToPort(httpx.AsyncHTTPTransport):
    """Connects to a port of this machine, whatever host a request is for."""

    def __init__(self, port: int) -> None:
        super().__init__(verify=False)
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "transfer-encoding" in request.headers:
            return await early_answers.exchange(self._port, request)
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await super().handle_async_request(
            httpx.Request(
                request.method,
                url,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )


def _client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_ToPort(port), base_url="http://stakehold.test", timeout=30)


def as_worker(database_url: str) -> str:
    """The address with the role that `admit_workers` made."""
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{POSTGRES_ROLE}:{quote(POSTGRES_PASSWORD)}@{place}"))


async def admit_workers(postgres: EmbeddedPostgres, directory: Path) -> None:
    """Make the role that Workers come as, with the rights of the databases' owner.

    It sends its password as it is: WebAssembly's Python has no PBKDF2, which SCRAM needs, and through
    Hyperdrive there is none. `directory` is what the server was made with.
    """
    rules = directory / "postgres" / "pg_hba.conf"
    rule = f"host all {POSTGRES_ROLE} 127.0.0.1/32 password\n"
    text = rules.read_text()
    if not text.startswith(rule):
        rules.write_text(rule + text)
    owner = urlsplit(postgres.url).username
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    try:
        await connection.execute("SET scram_iterations = 1")  # Else each connection takes 10 ms more.
        await connection.execute(
            f"CREATE ROLE {POSTGRES_ROLE} LOGIN PASSWORD '{POSTGRES_PASSWORD}' IN ROLE {owner}"
        )
        # As docs/deploy.md has it: Hyperdrive passes on no timeouts of ours.
        await connection.execute(f"ALTER ROLE {POSTGRES_ROLE} SET statement_timeout = '3s'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def make_sample(directory: Path, entry: str) -> Path:
    """A bundle of one module and the packages that the Worker has. Returns its directory."""
    vendored = directory / "python_modules"
    for wheel in bundle.wheels(bundle.PROJECT):
        bundle.unpack(wheel, vendored)
    (vendored / "pyvenv.cfg").touch()
    (directory / "entry.py").write_text(entry)
    return directory


def _line(stream: IO[bytes]) -> bytes:
    """A line, or what there is when it does not come."""
    if not select.select([stream], [], [], _START_TIMEOUT_S)[0]:
        return b""
    return stream.readline()
