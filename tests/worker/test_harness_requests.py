"""Each request has what it opened, and no other: the harness holds a Worker to that as workerd does."""

import asyncio

import pytest

from stakehold.runtime.embedded import EmbeddedPostgres
from tests.worker.conftest import StartSample
from tests.worker.samples import ECHO, HEAD

FOREIGN = (
    HEAD
    + """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = js.URL.new(request.url).pathname
        port = int(self.env.PORT)
        if path == "/open":
            opened["socket"] = await connect("127.0.0.1", port)
            opened["body"] = (await fetch(self.env.FRONT)).js_object
            opened["future"] = asyncio.get_running_loop().create_future()
            opened["request"] = request.js_object
            try:
                await asyncio.wait_for(opened["future"], 5)
            except TimeoutError:
                return Response("nobody came")
            return Response("woken")
        if path == "/is-open":
            return Response("yes" if "request" in opened else "no")
        if path == "/future":
            opened["future"].set_result(None)
            await asyncio.sleep(0.05)
            return Response("set")
        try:
            if path == "/socket":
                opened["socket"][1].write(b"x")
                await asyncio.sleep(0.05)
            if path == "/body":
                await opened["body"].text()
            if path == "/request":
                await opened["request"].text()
        except Exception as error:
            return Response(str(error))
        return Response("used")
"""
)


@pytest.mark.parametrize(
    ("used", "refused"),
    [
        ("socket", "foreign I/O: socket of GET /open used in GET /socket"),
        ("body", "foreign I/O: fetch response of GET /open used in GET /body"),
        ("request", "foreign I/O: request body of GET /open used in POST /request"),
        ("future", "foreign wake: GET /future woke request"),
    ],
)
async def test_what_belongs_to_a_request_is_refused_to_another(
    start_sample: StartSample, postgres: EmbeddedPostgres, used: str, refused: str
) -> None:
    """Sockets and streams of another request throw; that a future of it was settled is noted."""
    other = await start_sample(ECHO)
    settings = {"PORT": str(postgres.port), "FRONT": f"http://127.0.0.1:{other.port}/"}
    service = await start_sample(FOREIGN, settings=settings)
    opening = asyncio.ensure_future(service.client.get("/open"))
    async with asyncio.timeout(5):
        while (await service.client.get("/is-open")).text != "yes":
            await asyncio.sleep(0.005)
    answer = await service.client.request("POST" if used == "request" else "GET", f"/{used}")
    violations = await service.violations()
    assert violations
    assert all(each.startswith(refused) for each in violations), violations
    if used in ("body", "request"):
        assert "different request" in answer.text
    if used == "future":
        assert (await opening).text == "woken"
    await service.abandon(unanswered=True)
    await asyncio.gather(opening, return_exceptions=True)


BACKGROUND = (
    HEAD
    + """
events = []

async def work(self, name):
    events.append(f"{name} begins")
    try:
        await fetch(self.env.SLOW)
        events.append(f"{name} ends")
    finally:
        events.append(f"{name} is cleaned up")

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = js.URL.new(request.url).pathname
        if path == "/events":
            return Response(",".join(events))
        if path == "/wait":
            await work(self, "handler")
        else:
            self.ctx.waitUntil(asyncio.ensure_future(work(self, "background")))
        return Response("answer")
"""
)


class Slow:
    """An HTTP server whose answers wait for `let_go`."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.came = asyncio.Semaphore(0)
        self.url = ""
        self.asked = 0

    async def __aenter__(self) -> "Slow":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/slow"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.let_go.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        self.came.release()
        await self.let_go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


async def test_background_work_goes_on_after_the_answer_and_ends_the_request(
    start_sample: StartSample,
) -> None:
    """The answer does not wait for waitUntil; the request has ended when that has, and says what it did."""
    async with Slow() as slow:
        service = await start_sample(BACKGROUND, settings={"SLOW": slow.url})
        assert (await service.client.get("/")).text == "answer"
        await asyncio.wait_for(slow.came.acquire(), 5)
        await service.until_answered()
        assert [(each["state"], each["background"]) for each in await service.underway()] == [("answered", 1)]
        slow.let_go.set()
        (report,) = await service.reports()
    assert (report.outcome, report.status, report.fetches) == ("ok", 200, ["/slow"])
    assert (report.wait_until, report.answered_first, report.wait_until_cut) == (1, True, False)
    assert report.busy_ms >= report.answer_busy_ms >= report.handler_busy_ms > 0
    assert (await service.client.get("/events")).text == (
        "background begins,background ends,background is cleaned up"
    )


async def test_background_work_that_is_cut_off_never_goes_on(start_sample: StartSample) -> None:
    """What it waited for may come: neither its next line nor its `finally` runs."""
    async with Slow() as slow:
        service = await start_sample(BACKGROUND, settings={"SLOW": slow.url})
        await service.client.get("/")
        await asyncio.wait_for(slow.came.acquire(), 5)
        await service.until_answered()
        assert await service.abandon() == 1
        slow.let_go.set()
        (report,) = await service.reports()
        assert report.wait_until_cut
        await service.host.memory(collect=True)
        assert (await service.client.get("/events")).text == "background begins"


@pytest.mark.parametrize(("path", "goes_on"), [("/wait", False), ("/", True)])
async def test_a_request_whose_client_is_gone_is_let_go(
    start_sample: StartSample, path: str, goes_on: bool
) -> None:
    """Its work stops where it is, but for what was given to waitUntil."""
    async with Slow() as slow:
        service = await start_sample(BACKGROUND, settings={"SLOW": slow.url})
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.wait_for(slow.came.acquire(), 5)
        writer.transport.abort()
        if goes_on:
            slow.let_go.set()
        (report,) = await service.reports()
        slow.let_go.set()
        assert goes_on or report.outcome == "client gone"
        events = (await service.client.get("/events")).text
        assert events.endswith("cleaned up") == goes_on


MANY = (
    HEAD
    + """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        answers = await asyncio.gather(*(fetch(self.env.SLOW) for _ in range(int(self.env.COUNT))))
        return Response(str(len(answers)))
"""
)


@pytest.mark.parametrize("count", [6, 7])
async def test_a_seventh_connection_waits_for_one_of_six(start_sample: StartSample, count: int) -> None:
    """Six fetches are under way at once, a seventh begins when one has been answered."""
    async with Slow() as slow:
        service = await start_sample(MANY, settings={"SLOW": slow.url, "COUNT": str(count)})
        answer = asyncio.ensure_future(service.client.get("/"))
        for _ in range(6):
            await asyncio.wait_for(slow.came.acquire(), 5)
        slow.let_go.set()
        assert (await answer).text == str(count)
        (report,) = await service.reports()
        assert slow.asked == len(report.fetches) == count
        assert (report.connections_most, report.connections_waited) == (6, count - 6)


FAILING = (
    HEAD
    + """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if js.URL.new(request.url).pathname == "/hang":
            await asyncio.get_running_loop().create_future()
        raise ValueError("of the worker")
"""
)


async def test_an_exception_is_answered_as_the_platform_does(start_sample: StartSample) -> None:
    """500 without a word of it, which is in the report and the log."""
    service = await start_sample(FAILING)
    answer = await service.client.get("/")
    assert (answer.status_code, answer.text) == (500, "error code: 1101")
    (report,) = await service.reports()
    assert report.outcome == "exception"
    assert "ValueError: of the worker" in (report.error or "")


async def test_a_request_that_waits_for_nothing_is_found(start_sample: StartSample) -> None:
    """What awaits a future that no I/O and no timer of it will settle is ended, as a violation."""
    service = await start_sample(FAILING)
    assert (await service.client.get("/hang")).status_code == 500
    assert await service.violations() == ["hung: GET /hang waits for what will never come"]
