"""The harness refuses and counts what workerd does: shown by small Workers that do what they must not."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import worker_node
from tests.support.worker import (
    CLIENT_HEADER,
    WorkerHost,
    WorkerStartError,
)
from tests.worker.conftest import NOTHING, StartSample
from tests.worker.samples import ECHO, HEAD

PLANTED_AT_IMPORT = {
    "entropy": ("SEED = os.urandom(16)", "random bytes"),
    "entropy, swallowed": ("try:\n    os.urandom(1)\nexcept OSError:\n    pass", "random bytes"),
    "entropy of JavaScript": ("ID = js.crypto.randomUUID()", "randomUUID"),
    "pseudo-random numbers": ("JITTER = random.random()", "random numbers"),
    "fetch": ("js.fetch('http://127.0.0.1:9/')", "fetch of /"),
    "socket": ("from js import console; import _pyodide_entrypoint_helper as h\n"
               "h.cloudflareSocketsModule.connect('127.0.0.1:9')", "connect to port 9"),
    "timer": ("asyncio.get_event_loop().call_later(1, print)", "timer of 1000 ms"),
    "timer of JavaScript": ("js.setTimeout(create_once_callable(lambda: None), 50)", "timer of 50 ms"),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED_AT_IMPORT)
async def test_import_may_open_nothing_and_draw_nothing(start_sample: StartSample, planted: str) -> None:
    """A Worker that draws, fetches, connects or waits at import does not start, though it hide the error."""
    source, expected = PLANTED_AT_IMPORT[planted]
    with pytest.raises(WorkerStartError, match=expected):
        await start_sample(HEAD + source + NOTHING)


async def test_import_without_any_of_it_is_counted_as_such(sample_host: WorkerHost) -> None:
    """The first import, a cold one, is measured, and so is WebAssembly's memory after it."""
    startup = sample_host.startup
    assert startup.error is None
    assert (startup.fetches, startup.sockets, startup.timers, startup.entropy) == (0, 0, 0, 0)
    assert startup.ms > 0
    assert startup.heap_bytes >= startup.heap_bytes_before > 1_000_000


async def test_a_request_comes_as_from_the_edge(start_sample: StartSample) -> None:
    """Method, address, headers and body; the client's address by CF-Connecting-IP, not the client's own."""
    service = await start_sample(ECHO, settings={"SETTING": "x"})
    answer = await service.client.post(
        "/a//b/%2e%2E/c%2Fd?q=%20&r", content=b"body", headers={"cf-connecting-ip": "9.9.9.9"}
    )
    method, url, body, *headers = answer.text.splitlines()
    assert (method, url, body) == ("POST", "http://stakehold.test/a//c%2Fd?q=%20&r", "body")
    assert "cf-connecting-ip: 127.0.0.1" in headers
    assert answer.headers["x-setting"] == "x"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    other = await service.client.get("/", headers={CLIENT_HEADER: "203.0.113.9"})
    assert "cf-connecting-ip: 203.0.113.9" in other.text
    assert CLIENT_HEADER.lower() not in other.text


@pytest.mark.parametrize("status", [200, 204, 304, 404])
async def test_answers_without_a_body_have_none(start_sample: StartSample, status: int) -> None:
    """And their headers; the next request on the same connection is answered too."""
    service = await start_sample(ECHO)
    for _ in range(2):
        answer = await service.client.get(f"/status/{status}")
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert ("content-length" in answer.headers) == (status in (200, 404))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "TRACE", "PROPFIND"])
async def test_methods_reach_the_worker(start_sample: StartSample, method: str) -> None:
    """Also those that a Request cannot be made with; HEAD keeps its headers and has no body."""
    service = await start_sample(ECHO)
    answer = await service.client.request(method, "/")
    assert answer.status_code == 200
    if method == "HEAD":
        assert (answer.content, answer.headers["content-length"]) == (b"", "123")
    else:
        assert answer.text.startswith(f"{method}\n")


DATABASE = (
    HEAD
    + """
import asyncpg

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        hyperdrive = self.env.HYPERDRIVE
        connection = await asyncpg.connect(
            host=hyperdrive.host, port=hyperdrive.port, user=hyperdrive.user, password=hyperdrive.password,
            database=hyperdrive.database, ssl=False, statement_cache_size=0,
        )
        if js.URL.new(request.url).pathname == "/leave":
            opened["connection"] = connection
            return Response("left open")
        async with connection.transaction():
            await connection.execute("CREATE TABLE of_the_worker (n int)")
            await connection.execute("DELETE FROM plans")
            value = await connection.fetchval("SELECT 1 + $1::int", 2)
        await connection.close()
        return Response(str(value))
"""
)


async def test_a_worker_reaches_postgresql_with_the_rights_of_the_owner(
    start_sample: StartSample, database_url: str, worker_role: None
) -> None:
    """By the Hyperdrive binding, with asyncpg; connections are counted, and closed at the end."""
    service = await start_sample(DATABASE, database_url)
    assert (await service.client.get("/")).text == "3"
    assert (await service.client.get("/leave")).text == "left open"
    closed, left = await service.reports()
    assert (closed.sockets_opened, closed.sockets_open_at_end, closed.connections_most) == (1, 0, 1)
    assert (left.sockets_opened, left.sockets_open_at_end) == (1, 1)
    async with asyncio.timeout(5):
        while await service.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'worker'"):
            await asyncio.sleep(0.01)


LIMITED = (
    HEAD
    + """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        key = js.URL.new(request.url).pathname
        try:
            outcome = await asyncio.wait_for(self.env.LIMIT_READ.limit({"key": key}), 0.05)
        except TimeoutError:
            return Response("late")
        except Exception as error:
            return Response("failed")
        return Response("passed" if outcome["success"] else "refused")
"""
)


async def test_rate_limit_bindings_count_by_key_and_can_fail(start_sample: StartSample) -> None:
    """A fixed window a key; the tests can move their clock on, have them fail, and have them hang."""
    service = await start_sample(LIMITED, limits={"LIMIT_READ": (2, 3600)})

    async def ask(path: str) -> str:
        return (await service.client.get(path)).text

    assert [await ask("/a") for _ in range(3)] == ["passed", "passed", "refused"]
    assert await ask("/b") == "passed"
    await service.later(3600)
    assert await ask("/a") == "passed"
    await service.limit_fault("error")
    assert await ask("/a") == "failed"
    await service.limit_fault("hang")
    assert await ask("/a") == "late"
    await service.limit_fault(None)
    assert await ask("/b") == "passed"
    assert await service.limit_calls() == 8


SCRYPT = (
    HEAD
    + """
from workers import import_from_javascript

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        crypto = import_from_javascript("node:crypto")
        options = {"N": int(self.env.N), "r": 8, "p": 5, "maxmem": 1 << 26}
        options = to_js(options, dict_converter=js.Object.fromEntries)
        try:
            # Python sees no Buffer, which Pyodide does not know, but an array made of it.
            array_from = getattr(js.Array, "from")
            scrypt = crypto.scryptSync.bind(None, "password", "salt", 32, options)
            key = js.Reflect.apply(array_from, None, array_from(to_js([0]), scrypt))
        except Exception as error:
            return Response(f"refused: {error}")
        return Response(key.join(","))
"""
)


async def test_scrypt_of_node_is_there_within_the_platforms_limit(start_sample: StartSample) -> None:
    """N=2^14, r=8, p=5 gives what Python's own scrypt gives; twice N is refused."""
    fits = await start_sample(SCRYPT, settings={"N": str(2**14)})
    answer = (await fits.client.get("/")).text
    expected = hashlib.scrypt(b"password", salt=b"salt", n=2**14, r=8, p=5, dklen=32, maxmem=1 << 26)
    assert bytes(map(int, answer.split(","))) == expected
    over = await start_sample(SCRYPT, settings={"N": str(2**15)})
    assert (await over.client.get("/")).text.startswith("refused")


SEVERAL = (
    HEAD
    + """
import contextvars
print("imported as " + workers.__name__)
count = 0

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        global count
        for _ in range(5):
            await asyncio.sleep(0.001)
            await asyncio.ensure_future(asyncio.sleep(0))
            assert workers.env.NAME == self.env.NAME
        count += 1
        print(f"asked {self.env.NAME}")
        return Response(f"{self.env.NAME} {count}")

    async def scheduled(self, controller, env=None, ctx=None):
        console.log(f"cron {controller.cron} {controller.scheduledTime}")
        self.ctx.waitUntil(asyncio.ensure_future(asyncio.sleep(0.001)))
"""
)


async def test_services_are_isolates_of_their_own(start_sample: StartSample) -> None:
    """Each has its env, its module's state and its log, also while requests of several are under way."""
    first = await start_sample(SEVERAL, settings={"NAME": "first"})
    second = await start_sample(SEVERAL, settings={"NAME": "second"})
    answers = await asyncio.gather(*(each.client.get("/") for each in [first, second] * 4))
    texts = [answer.text for answer in answers]
    assert sorted(texts) == [f"{name} {n}" for name in ("first", "second") for n in range(1, 5)]
    assert sorted(await first.log()) == ["asked first"] * 4 + ["imported as workers"]
    assert len(await second.reports()) == 4


async def test_the_cron_handler_runs_with_its_background_work(start_sample: StartSample) -> None:
    """It is given the cron expression and the time; its report comes when all of it is done."""
    service = await start_sample(SEVERAL, settings={"NAME": "x"})
    report = await service.scheduled("*/5 * * * *", 1_700_000_000_000)
    assert (report.request, report.outcome, report.wait_until) == ("cron */5 * * * *", "ok", 1)
    assert (await service.log())[-1] == "cron */5 * * * * 1700000000000"


OWNER = """
import sys, time
from pathlib import Path
from tests.support.worker import WorkerHost
host = WorkerHost(Path(sys.argv[1]))
host.start()
print(host.pid, flush=True)
time.sleep(60)
"""


def test_node_ends_with_the_process_that_started_it(sample_host: WorkerHost, sample_directory: Path) -> None:
    """Also when that one is killed."""
    command = [sys.executable, "-c", OWNER, str(sample_directory)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        node = int(owner.stdout.readline())
        os.kill(node, 0)
        owner.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{node}").exists() and _state(node) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_node_and_npm_tests_are_skipped_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: type[BaseException]
) -> None:
    """The reason says what is missing."""
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(worker_node, "HARNESS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="needs Node 26 and Pyodide"):
        worker_node.node_program()
