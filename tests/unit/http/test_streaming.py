"""Answers in pieces, as the application makes them. On the wire: tests/unit/runtime and tests/worker."""

import asyncio
import json
from typing import Any

import pytest

from stakehold.http import app
from stakehold.http.call import AnswerCutError
from tests.support import streaming
from tests.support.fakes import ManualClock, SeededEntropy
from tests.unit.http.test_app import Message, Server

PATH = "/streamed/3/2"


class Sent(list[Message]):
    """What was sent, also when the answer was cut."""

    cut = False

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self[1:])

    @property
    def is_whole(self) -> bool:
        return len(self) > 1 and not self[-1].get("more_body", False)


@pytest.fixture
def server(clock: ManualClock, entropy: SeededEntropy, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(app, "OPERATIONS", app.OPERATIONS)
    streaming.add_operations()
    vars(streaming.state).update(made=0, begun=0, closed=0, released=False)
    return Server(clock, entropy)


async def ask(server: Server, method: str = "GET", path: str = PATH, **headers: Any) -> Sent:
    """What is sent; `taking` is called with each message that is."""
    sent = Sent()
    taking = headers.pop("taking", None)

    async def send(message: Message) -> None:
        if taking is not None:
            await taking(message)
        sent.append(message)

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        await server.ask(method, path, headers=named, send=send)
    except AnswerCutError:
        sent.cut = True
    return sent


async def test_a_body_is_sent_in_its_pieces(server: Server) -> None:
    """With the headers of every answer, but without a length; each piece is a message; then comes the end."""
    sent = await ask(server)
    assert [message.get("body") for message in sent] == [None, b"\0\0", b"\1\1", b"\2\2", b""]
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 200
    assert b"content-length" not in headers
    assert headers[b"content-type"] == b"application/octet-stream"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-request-id"]
    assert sent.is_whole
    assert not sent.cut
    [line] = server.log_lines()
    assert (line["status"], line["level"], line["code"]) == (200, "info", None)


async def test_a_piece_is_made_when_the_one_before_was_taken(server: Server) -> None:
    """However long that takes: nothing is made ahead."""
    made: list[int] = []

    async def take(message: Message) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        if message.get("body"):
            made.append(streaming.state.made)

    await ask(server, taking=take)
    assert made == [1, 2, 3]


async def test_a_body_without_pieces_is_empty(server: Server) -> None:
    """200, and the end."""
    sent = await ask(server, path="/streamed/0/1")
    assert [message.get("body") for message in sent] == [None, b""]


async def test_head_makes_nothing(server: Server) -> None:
    """The headers of GET; not one line of the generator runs."""
    sent = await ask(server, "HEAD")
    get = await ask(server)
    assert sent.body == b""
    assert sent.is_whole
    names = [[name for name, _ in answer[0]["headers"]] for answer in (sent, get)]
    assert names[0] == names[1]
    assert streaming.state.begun == 1


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("database", 503, "database_unavailable"),
        ("fault", 500, "internal_error"),
        ("slowly", 503, "overloaded"),
    ],
)
async def test_what_fails_before_the_first_piece_is_a_problem(
    server: Server, monkeypatch: pytest.MonkeyPatch, how: str, status: int, code: str
) -> None:
    """Nothing was sent by then: the client is told what is wrong, as of any other answer."""
    monkeypatch.setattr(app, "_ANSWER_TIMEOUT_S", 0.05)
    sent = await ask(server, x_fail_after="0", x_fail_how=how)
    assert sent[0]["status"] == status
    assert json.loads(sent.body)["code"] == code
    assert streaming.state.closed == 1
    assert not sent.cut


@pytest.mark.parametrize("after", ["1", "2"])
@pytest.mark.parametrize(
    ("how", "code"),
    [("database", "database_unavailable"), ("fault", "internal_error"), ("slowly", "overloaded")],
)
async def test_what_fails_later_cuts_the_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch, how: str, code: str, after: str
) -> None:
    """The body's end is never sent, and the server is told to break off; the log says why."""
    monkeypatch.setattr(app, "_PIECE_TIMEOUT_S", 0.05)
    sent = await ask(server, x_fail_after=after, x_fail_how=how)
    assert sent[0]["status"] == 200
    assert len(sent) == 1 + int(after)
    assert not sent.is_whole
    assert sent.cut
    assert streaming.state.closed == 1
    line = server.log_lines()[-1]
    assert (line["event"], line["level"], line["cut"], line["code"]) == ("request", "error", True, code)


async def test_the_whole_has_its_time_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that each come in time do not go on for ever."""
    monkeypatch.setattr(app, "_STREAM_TIMEOUT_S", 30.0)
    clock = server.container.services.clock

    async def take(message: Message) -> None:
        clock.advance(20)

    sent = await ask(server, path="/streamed/100/1", taking=take)
    assert sent.cut
    assert not sent.is_whole
    assert 1 <= streaming.state.made < 5
    assert streaming.state.closed == 1


@pytest.mark.parametrize("how", ["goes", "does not take"])
async def test_a_client_that_leaves_ends_the_making(
    server: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The generator is closed, with what it holds; one line says that nobody was there."""
    monkeypatch.setattr(app, "_PIECE_TIMEOUT_S", 0.05)

    async def take(message: Message) -> None:
        if message.get("body") == b"\1\1":
            if how == "goes":
                raise ConnectionResetError("the client has gone")
            await asyncio.Event().wait()

    sent = await ask(server, taking=take)
    assert sent.cut
    assert (streaming.state.made, streaming.state.closed) == (2, 1)
    [line] = server.log_lines()
    assert (line["gone"], line["level"], "cut" in line) == (True, "info", False)
