"""The HTTP adapter of Workers: what the application sees of a request, and what becomes of its answer."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.worker_platform import Body, JsException, Request, worker_module, worker_platform

START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1"), (b"x-b", b"2")]}


@pytest.fixture
def asgi() -> Iterator[Any]:
    with worker_platform():
        yield worker_module("worker_asgi")


async def scope_of(asgi: Any, **request: Any) -> dict[str, Any]:
    scope: dict[str, Any] = asgi.Exchange(Request(**request)).scope(SimpleNamespace())
    return scope


@pytest.mark.parametrize(
    ("url", "path", "raw_path", "query"),
    [
        ("https://stakehold.test/", "/", b"/", b""),
        ("https://stakehold.test/api/stake?page=2&limit=1", "/api/stake", b"/api/stake", b"page=2&limit=1"),
        ("http://stakehold.test:8080/a%2Fb%20c%C3%A9?q=%C3%A9", "/a/b cé", b"/a%2Fb%20c%C3%A9", b"q=%C3%A9"),
        ("https://stakehold.test//api?a?b", "//api", b"//api", b"a?b"),
        ("https://stakehold.test/a#b?c", "/a", b"/a", b""),
    ],
)
async def test_paths_are_as_the_native_server_gives_them(
    asgi: Any, url: str, path: str, raw_path: bytes, query: bytes
) -> None:
    """The path is decoded once, as UTF-8; as it was sent it is there too; the query stays as it was sent."""
    scope = await scope_of(asgi, url=url)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)
    assert scope["scheme"] == url.partition(":")[0]


async def test_headers_are_bytes(asgi: Any) -> None:
    """Each character of JavaScript's is a byte; what workerd made of UTF-8 becomes UTF-8 again."""
    headers = [("host", "stakehold.test"), ("x-latin", "é"), ("x-utf", "€")]
    scope = await scope_of(asgi, headers=headers)
    assert scope["headers"] == [(b"host", b"stakehold.test"), (b"x-latin", b"\xe9"), (b"x-utf", "€".encode())]


async def test_the_client_is_who_the_platform_says(asgi: Any) -> None:
    """CF-Connecting-IP and nothing else: what a client writes into other headers names nobody."""
    forged = [("x-forwarded-for", "198.51.100.1"), ("x-real-ip", "198.51.100.1"), ("forwarded", "for=x")]
    assert (await scope_of(asgi, headers=forged))["client"] is None
    named = [*forged, ("cf-connecting-ip", "203.0.113.9")]
    assert (await scope_of(asgi, headers=named))["client"] == ("203.0.113.9", 0)


async def test_a_body_is_read_as_it_is_asked_for(asgi: Any) -> None:
    """Nothing is read before the application asks, and no more than it asks for."""
    body = Body(b"one", b"two", b"three")
    exchange = asgi.Exchange(Request(method="POST", body=body))
    exchange.scope(SimpleNamespace())
    assert body.reads == 0
    assert await exchange.receive() == {"type": "http.request", "body": b"one", "more_body": True}
    assert body.reads == 1
    assert [(await exchange.receive())["body"] for _ in range(2)] == [b"two", b"three"]
    assert await exchange.receive() == {"type": "http.request", "body": b"", "more_body": False}
    assert await exchange.receive() == {"type": "http.disconnect"}


async def test_a_declared_body_needs_no_further_read(asgi: Any) -> None:
    """What is as long as was declared is complete: to be told so would take one more turn."""
    body = Body(b"one", b"two")
    exchange = asgi.Exchange(Request(method="POST", body=body, headers=[("content-length", "6")]))
    exchange.scope(SimpleNamespace())
    assert (await exchange.receive())["more_body"]
    assert await exchange.receive() == {"type": "http.request", "body": b"two", "more_body": False}
    assert body.reads == 2


async def test_no_body_is_an_empty_one(asgi: Any) -> None:
    """A request without a body ends at once."""
    exchange = asgi.Exchange(Request(method="POST"))
    assert await exchange.receive() == {"type": "http.request", "body": b"", "more_body": False}


async def test_a_client_that_leaves_is_a_disconnect(asgi: Any) -> None:
    """The platform fails the read of a body whose sender is gone; so the application hears of it."""
    body = Body(b"{", JsException("Error", "Network connection lost."))
    exchange = asgi.Exchange(Request(method="POST", body=body))
    assert (await exchange.receive())["body"] == b"{"
    assert await exchange.receive() == {"type": "http.disconnect"}
    assert await exchange.receive() == {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("GET", 200, b"text"),
        ("HEAD", 200, None),
        ("GET", 204, None),
        ("GET", 304, None),
        ("GET", 404, b"text"),
    ],
)
async def test_an_answer_becomes_one_response(
    asgi: Any, method: str, status: int, body: bytes | None
) -> None:
    """Status, every header and the body; without one where HTTP has none, which the platform insists on."""
    exchange = asgi.Exchange(Request(method=method))
    await exchange.send({**START, "status": status})
    assert not exchange.response.done()
    await exchange.send({"type": "http.response.body", "body": b"text"})
    response = exchange.response.result()
    assert (response.status, response.body) == (status, body)
    assert response.init["headers"] == [["x-a", "1"], ["x-b", "2"]]


async def test_an_answer_without_a_start_is_refused(asgi: Any) -> None:
    """There would be no status."""
    exchange = asgi.Exchange(Request())
    with pytest.raises(RuntimeError):
        await exchange.send({"type": "http.response.body", "body": b""})


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_a_stream(asgi: Any) -> None:
    """The response is there with the first piece; each send ends when its piece was taken, and no sooner."""
    exchange = asgi.Exchange(Request())
    await exchange.send(START)
    sending = asyncio.ensure_future(exchange.send(piece(b"one")))
    response = await asyncio.wait_for(exchange.response, 5)
    await asyncio.sleep(0)
    assert not sending.done()
    assert await response.body.take() == b"one"
    await asyncio.wait_for(sending, 5)
    await exchange.send(piece(b""))
    sending = asyncio.ensure_future(exchange.send(piece(b"two", more=False)))
    assert [await response.body.take() for _ in range(2)] == [b"two", None]
    await asyncio.wait_for(sending, 5)
    assert not exchange.cut()


async def test_an_answer_that_is_cut_is_no_whole_one(asgi: Any) -> None:
    """The stream fails, so that the platform ends the connection and not the body."""
    exchange = asgi.Exchange(Request())
    assert not exchange.cut()
    await exchange.send(START)
    sending = asyncio.ensure_future(exchange.send(piece(b"one")))
    response = await asyncio.wait_for(exchange.response, 5)
    assert await response.body.take() == b"one"
    await sending
    assert exchange.cut()
    with pytest.raises(JsException):
        await response.body.take()


async def test_a_client_that_leaves_fails_the_next_piece(asgi: Any) -> None:
    """So the application hears of it, as natively."""
    exchange = asgi.Exchange(Request())
    await exchange.send(START)
    sending = asyncio.ensure_future(exchange.send(piece(b"one")))
    response = await asyncio.wait_for(exchange.response, 5)
    response.body.leave()
    with pytest.raises(ConnectionResetError):
        await sending
    assert not exchange.cut()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
async def test_pieces_where_there_is_no_body_are_dropped(asgi: Any, method: str, status: int) -> None:
    """Nobody would take them."""
    exchange = asgi.Exchange(Request(method=method))
    await exchange.send({**START, "status": status})
    await exchange.send(piece(b"one"))
    await exchange.send(piece(b"two", more=False))
    assert exchange.response.result().body is None


async def test_an_end_without_an_answer_ends_the_call(asgi: Any) -> None:
    """When the client had gone there is no answer; whoever waits for one goes on all the same."""
    exchange = asgi.Exchange(Request())
    exchange.end()
    assert exchange.response.result().status == 499
    answered = asgi.Exchange(Request())
    await answered.send(START)
    await answered.send({"type": "http.response.body", "body": b""})
    answered.end()
    assert answered.response.result().status == 200


async def test_an_answer_for_a_call_that_was_given_up_is_dropped(asgi: Any) -> None:
    """The platform may have cancelled the call: the request's work ends in peace."""
    exchange = asgi.Exchange(Request())
    exchange.response.cancel()
    await exchange.send(START)
    await exchange.send({"type": "http.response.body", "body": b""})
    assert exchange.response.cancelled()
