"""ASGI over the platform's Request and Response: docs/adr/0006-worker-http-adapter.md says why our own.

What crosses from one language to the other costs more than what is done on either side, so headers cross as
one piece of JSON in each direction.
"""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from js import JSON, Array, Error, Response, TransformStream
from pyodide.ffi import JsException, to_js
from starlette.types import Message, Scope

from stakehold.http.container import Container

_ASGI: Final = {"version": "3.0", "spec_version": "2.5"}
_DISCONNECT: Final[Message] = {"type": "http.disconnect"}
_END: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}
_WITHOUT_BODY: Final = (204, 205, 304)

_decode_headers = msgspec.json.Decoder(list[tuple[str, str]]).decode
_encode = msgspec.json.Encoder().encode


class Exchange:
    """One request and its answer: `receive` and `send` of ASGI, and the `response` that comes of it."""

    def __init__(self, request: Any) -> None:
        self.response: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        """A JavaScript Response, once the application has sent it."""
        self._request = request
        self._method: str = request.method
        self._reader: Any = None
        self._ended = False
        self._awaited = -1
        """Bytes of the body that are still to come; below zero where that is not known."""
        self._start: Message | None = None
        self._writer: Any = None
        """Of a body in pieces, from its first piece to its end."""

    def scope(self, container: Container) -> Scope:
        """The request as an ASGI application of the native server sees it, with `container` in its state.

        The platform has resolved "." and ".." in the path by then, and has joined the values of a repeated
        header. Its peer is the client as the platform names it, and unknown where it does not.
        """
        scheme, raw_path, query = _parts(self._request.url)
        headers = [
            (name.encode("latin-1"), _bytes(value))
            for name, value in _decode_headers(JSON.stringify(Array.from_(self._request.headers)))
        ]
        named = dict(headers)
        address = named.get(b"cf-connecting-ip")
        declared = named.get(b"content-length", b"")
        self._awaited = int(declared[:20]) if declared.isdigit() else -1
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "method": self._method,
            "scheme": scheme,
            "path": unquote(raw_path) if "%" in raw_path else raw_path,
            "raw_path": raw_path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "client": (address.decode("latin-1"), 0) if address else None,
            "server": None,
            "state": {"container": container},
        }

    async def receive(self) -> Message:
        """The next piece of the body as it arrives; then, and when the client has gone, `http.disconnect`."""
        if self._ended:
            return _DISCONNECT
        self._ended = True
        try:
            piece = await self._read()
        except JsException:
            return _DISCONNECT
        if piece is None:
            return _END
        self._awaited -= len(piece)
        # As long as was declared: what would come next is the end.
        self._ended = self._awaited == 0
        return {"type": "http.request", "body": piece, "more_body": not self._ended}

    async def _read(self) -> bytes | None:
        if self._reader is None:
            body = self._request.body
            if not body:
                return None
            self._reader = body.getReader()
        piece = await self._reader.read()
        return None if piece.done else bytes(piece.value.to_bytes())

    async def send(self, message: Message) -> None:
        """Take a part of the answer. Its body may come in pieces: each is waited for until it was taken.

        Raises ConnectionResetError when the client has gone in between.
        """
        if message["type"] == "http.response.start":
            self._start = message
            return
        start = self._start
        if start is None:
            raise RuntimeError("An answer has a start.")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._writer is not None:
            await self._write(body, more)
            return
        without = self._method == "HEAD" or start["status"] in _WITHOUT_BODY
        if without or not more:
            self._answer(Response.new(None if without else to_js(body), _init(start)))
            return
        # It holds nothing back but the piece on its way: a write ends when the platform asks for more.
        stream = TransformStream.new()
        self._writer = stream.writable.getWriter()
        self._answer(Response.new(stream.readable, _init(start)))
        await self._write(body, more)

    async def _write(self, body: bytes, more: bool) -> None:
        # Whoever fails these with what is no Error leaves Python waiting: the application has a limit for it.
        try:
            if body:
                await self._writer.write(to_js(body))
            if not more:
                writer, self._writer = self._writer, None
                await writer.close()
        except JsException:
            self._writer = None
            raise ConnectionResetError("the client has gone") from None

    def end(self) -> None:
        """The application is done. Where it has not answered, the client had gone: nobody reads this."""
        if not self.response.done():
            self._answer(Response.new(None, JSON.parse('{"status":499}')))

    def cut(self) -> bool:
        """Break off an answer in pieces, where the client sees it. False: there is none to break off."""
        writer, self._writer = self._writer, None
        if writer is None:
            return False
        # Not awaited: a piece that the client does not take holds it up.
        writer.abort(Error.new("the answer was broken off"))
        return True

    def _answer(self, response: Any) -> None:
        # It is done already when the platform has given up the call, for which nobody waits then.
        if not self.response.done():
            self.response.set_result(response)


def _init(start: Message) -> Any:
    """Status and headers, as a Response is made with them."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return JSON.parse(_encode({"status": start["status"], "headers": headers}).decode())


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, path and query of a request's URL, which the platform has made absolute and normal."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    target = rest[rest.find("/") :] if "/" in rest else "/"
    path, _, query = target.partition("?")
    return scheme, path, query


def _bytes(text: str) -> bytes:
    """A header's bytes: JavaScript has each as a character; workerd decodes them as UTF-8 instead."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
