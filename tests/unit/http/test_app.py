"""What the application says to its server: what an HTTP client in between would hide."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from stakehold.gate import Policies
from stakehold.http import app
from stakehold.http.app import create_app
from stakehold.telemetry.logs import JsonLog
from tests.support.fakes import ManualClock, SeededEntropy

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Server:
    """Calls the application as a server does, for requests that reach no store."""

    def __init__(self, clock: ManualClock, entropy: SeededEntropy) -> None:
        self.log = BytesIO()
        self.container = SimpleNamespace(
            services=SimpleNamespace(clock=clock, entropy=entropy, gate=SimpleNamespace(policies=Policies())),
            log=JsonLog(self.log, clock),
            client_address=lambda scope: "192.0.2.1",
            cors_origins=frozenset(),
            hsts=False,
            draining=lambda: False,
        )
        self.received = 0

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        messages: list[Message] | None = None,
        http_version: str = "1.0",
        send: Send | None = None,
    ) -> list[Message]:
        """What the application sends, unless to `send`; it receives `messages`, counted in `received`."""
        sent: list[Message] = []
        waiting = list(messages or [{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            self.received += 1
            return waiting.pop(0)

        async def collect(message: Message) -> None:
            sent.append(message)

        fields = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http", "method": method, "path": path, "root_path": "", "query_string": b"",
            "headers": fields, "http_version": http_version, "state": {"container": self.container},
        }  # fmt: skip
        await create_app()(scope, receive, send or collect)  # type: ignore[arg-type]
        return sent

    def log_lines(self) -> list[Message]:
        self.container.log.close()
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture
def server(clock: ManualClock, entropy: SeededEntropy) -> Server:
    return Server(clock, entropy)


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/docs", "/nothing"])
async def test_head_sends_no_body(server: Server, path: str) -> None:
    """HEAD sends the header of GET, its Content-Length too, and an empty body."""
    get, head = await server.ask("GET", path), await server.ask("HEAD", path)
    assert head[0]["status"] == get[0]["status"]
    lengths = [dict(answer[0]["headers"])[b"content-length"] for answer in (get, head)]
    assert lengths[0] == lengths[1] == str(len(get[1]["body"])).encode()
    assert head[1:] == [{"type": "http.response.body", "body": b""}]


async def test_whoever_has_gone_is_not_answered(server: Server) -> None:
    """A client that disconnects in the middle of its body gets no answer, and leaves one line in the log."""
    sent = await server.ask(
        "POST",
        "/api/auth",
        headers={"Content-Type": "application/json"},
        messages=[
            {"type": "http.request", "body": b'{"username":', "more_body": True},
            {"type": "http.disconnect"},
        ],
    )
    assert sent == []
    [line] = server.log_lines()
    assert (line["event"], line["gone"], line["route"]) == ("request", True, "/api/auth")


async def test_another_protocol_is_refused(server: Server) -> None:
    """There are no WebSockets here."""
    scope = {"type": "websocket", "path": "/api/stake", "root_path": "", "headers": [], "state": {}}
    with pytest.raises(RuntimeError):
        await create_app()(scope, _nothing, _nothing)


async def _nothing(*_: Any) -> Any:
    raise AssertionError("Nothing is received or sent.")


@pytest.mark.parametrize("headers", [{}, {"Host": "a", "host": "b"}], ids=["none", "two"])
async def test_a_request_has_one_host(server: Server, headers: dict[str, str]) -> None:
    """Without a Host, or with two, a request is malformed: caches and proxies would read it differently."""
    sent = await server.ask("GET", "/healthz", headers=headers, http_version="1.1")
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "malformed_request"
    sent = await server.ask("GET", "/healthz", headers={"Host": "a"}, http_version="1.1")
    assert sent[0]["status"] == 200


async def test_no_other_transfer_coding_is_read(server: Server) -> None:
    """A body in a coding that we would not decode is refused: another server may see its end elsewhere."""
    sent = await server.ask("POST", "/api/auth", headers={"Transfer-Encoding": "gzip, chunked"})
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "malformed_request"
    assert server.received == 0


async def test_on_its_way_out_every_answer_is_the_connections_last(server: Server) -> None:
    """While the process drains, clients are told to go elsewhere, with errors too; before it, not."""
    closing = (b"connection", b"close")
    for draining in (False, True):
        server.container.draining = lambda told=draining: told
        for path in ("/healthz", "/nothing"):
            sent = await server.ask("GET", path)
            assert (closing in sent[0]["headers"]) is draining


async def test_the_instance_is_a_uri_reference(server: Server) -> None:
    """What a decoded path may hold is written as a URI writes it, and not at any length."""
    sent = await server.ask("GET", "/a b\x00\u00e9" + "x" * 1000)
    instance = json.loads(sent[1]["body"])["instance"]
    assert instance.startswith("/a%20b%00%C3%A9xxx")
    assert len(instance) < 300


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/api/plans", "overloaded"), ("POST", "/api/auth", "outcome_unknown")],
)
async def test_an_answer_that_takes_too_long_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, method: str, path: str, code: str
) -> None:
    """503 with Retry-After, not a hang. A write may have been made, and the code says so; a read was not."""

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(app, "_ANSWER_TIMEOUT_S", 0.05)
    server.container.services.gate.enter = hang
    body = {"type": "http.request", "body": b'{"username": "a", "password": "b"}', "more_body": False}
    sent = await server.ask(method, path, headers={"Content-Type": "application/json"}, messages=[body])
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == code
