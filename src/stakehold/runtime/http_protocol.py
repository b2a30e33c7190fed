"""uvicorn's HTTP/1.1 protocol with what it lacks: bounds on slow and endless heads, problems as errors.

An answer that is complete leaves as one piece, checked as one: by uvicorn itself, which looks at every header
with two regular expressions, that was a quarter of the time a cached read took (docs/performance.md).
"""

import asyncio
import secrets
import socket
import struct
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from stakehold.domain.errors import MalformedRequestError
from stakehold.http.app import SECURITY_HEADERS
from stakehold.http.call import AnswerCutError
from stakehold.http.problems import HttpError, kind_of, problem_body, problem_headers

HEAD_TIMEOUT_S: Final = 10.0
"""A head must be complete this long after the connection was made, or after the head's first byte."""

HEAD_BYTES_MAX: Final = 64 * 1024
"""The application refuses far shorter heads (http/reading.py), politely; this bounds what it is shown."""

FRAMING_BYTES_MAX: Final = 128 * 1024
"""Of a chunked body, what is not its content: sizes, extensions and trailers, which nobody here reads.

Enough for the largest body the application takes, in chunks of one byte.
"""

PIPELINED_MAX: Final = 64
"""Requests of one connection that wait for the one before; these are answered, and no more of it is read."""

WRITE_TIMEOUT_S: Final = 10.0
"""Answers that a client does not take are kept for so long."""

CONNECTIONS_MAX: Final = 4096
"""Of one process."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: the end of the connection is a reset, which no client takes for the end of an answer."""

_CONTROLS: Final = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
"""What no header may hold, beside the ends of lines, which are counted."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. While no request is under way, whatever arrives must soon become one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._reading_head = True
        self._head_has_begun = False
        self._content_bytes = 0
        self._framing_bytes = 0
        self._in_one_body = False
        self._running: RequestResponseCycle | None = None
        self._ending = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        if self._is_under_way():
            # uvicorn tells the request that came last, which may still be waiting.
            self._running.disconnected = True  # type: ignore[union-attr]
            self._running.message_event.set()  # type: ignore[union-attr]
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._content_bytes = 0
        self._in_one_body = began_in_body = not self._reading_head
        super().data_received(data)
        if self.parser is None or self.transport.is_closing():
            return
        if self._in_one_body:
            self._framing_bytes += len(data) - self._content_bytes
            if self._framing_bytes > FRAMING_BYTES_MAX:
                self.transport.abort()
                return
        if self.cycle is not None and not self.cycle.response_complete:
            if self._reading_head and self._head_has_begun:
                # The rest of this head can wait for the answer; then it is bounded like any other.
                self.flow.pause_reading()
            return
        if began_in_body and self._reading_head and not self._head_has_begun:
            # The end of a body that was answered before its end: the connection is idle from here on.
            self._stop_timer()
            self._keep_alive()
            return
        # Part of a head, or of such a body.
        self._start_timer()
        if self._reading_head and not began_in_body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(
                    HttpError("header_fields_too_large", f"A head may have {HEAD_BYTES_MAX} bytes in all.")
                )

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer is no header (RFC 9110, section 6.5.1): what a proxy in front has set, or has checked,
        # must not be added to after it.
        if self._reading_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._reading_head = self._head_has_begun = False
        self._head_bytes = self._framing_bytes = 0
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("a version of HTTP that is not spoken here")
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            # The parser reads no body here, and would take it for the next request.
            raise ValueError("a body with an offer to upgrade")
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False
        if len(self.pipeline) > PIPELINED_MAX:
            self._end_after_answers(without_the_last=True)
            raise ValueError("too many requests at once")

    def on_body(self, body: bytes) -> None:
        self._content_bytes += len(body)
        super().on_body(body)

    def on_message_begin(self) -> None:
        self._head_has_begun = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._reading_head = True
        self._in_one_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_write_timer()
            return
        if self.pipeline:
            # uvicorn reads on after each answer, and would queue what comes faster than it is answered.
            self.flow.pause_reading()
        if self._head_has_begun or not self._reading_head:
            self._start_timer()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, _Answering(cycle, app))  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequestError("This is not HTTP/1.1 as it can be read here."))

    def timeout_keep_alive_handler(self) -> None:
        # Not `close`, which would wait for a client that does not read its answer.
        self.transport.abort()

    def _start_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _keep_alive(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _is_under_way(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _end_after_answers(self, *, without_the_last: bool) -> None:
        """Read no more, answer what was asked, and close: with the last answer, which says so."""
        self._ending = True
        if without_the_last:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._running
        assert last is not None
        last.keep_alive = False
        self.cycle = last

    def _refuse(self, error: MalformedRequestError | HttpError) -> None:
        """Answer what never became a request, and end the connection.

        Requests before it that are still under way are answered instead: whoever reads a refusal first would
        take it for the answer of one that may have had its effect.
        """
        if self._ending:
            return
        if self._is_under_way() and (self.cycle is not self._running or not self.cycle.more_body):
            self._end_after_answers(without_the_last=self.cycle is not self._running and self.cycle.more_body)
            return
        request_id = secrets.token_hex(16)
        body = problem_body(error, instance="/", request_id=request_id)
        headers = [
            *problem_headers(error),
            *SECURITY_HEADERS,
            (b"x-request-id", request_id.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[kind_of(error).status], *lines, b"\r\n", body]))
        self.transport.close()
        self._start_write_timer()


class _Answering:
    """The application with one request's answer in view: sent by us when it is plain, else by uvicorn."""

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._cycle = cycle
        self._app = app
        self._start: Message | None = None

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        try:
            await self._app(scope, receive, self._send)
        except AnswerCutError:
            self._cut()

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._start is None:
            self._start = message
            return
        start, cycle = self._start, self._cycle
        if cycle.transport.is_closing():
            cycle.disconnected = True
        if start is not None and not cycle.response_started:
            if self._is_sent(start, message):
                return
            if message.get("more_body") and _ends_with_connection(cycle):
                cycle.chunked_encoding = False  # It knows no chunks: the end of the connection ends the body.
            await cycle.send(start)  # type: ignore[arg-type]
        if message.get("more_body"):
            await self._send_piece(message)
        else:
            await cycle.send(message)  # type: ignore[arg-type]

    async def _send_piece(self, piece: Message) -> None:
        """Send a piece of a body, and wait until the client takes more. Raises OSError when it has gone."""
        cycle = self._cycle
        if _ends_with_connection(cycle):
            cycle.expected_content_length = len(piece["body"])
        await cycle.send(piece)  # type: ignore[arg-type]
        await cycle.flow.drain()
        if cycle.disconnected:
            raise ConnectionResetError("the client has gone")

    def _cut(self) -> None:
        """End the connection without the end of the answer, by which a client can tell."""
        cycle = self._cycle
        if cycle.response_complete or cycle.disconnected:
            return
        if _ends_with_connection(cycle):
            connection = cycle.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            cycle.transport.abort()
            return
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.transport.close()
        cycle.on_response()

    def _is_sent(self, start: Message, end: Message) -> bool:
        """Send a whole answer on a connection that stays open. False: it is not one, and nothing was sent."""
        cycle, body = self._cycle, end.get("body", b"")
        if end["type"] != "http.response.body" or end.get("more_body"):
            return False
        if not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused:
            return False
        piece = [STATUS_LINE[start["status"]]]
        framed = cycle.scope["method"] == "HEAD" or start["status"] in (204, 304)
        if framed and body:
            return False
        headers = cycle.default_headers + start["headers"]
        for name, value in headers:
            if name == b"content-length":
                framed = framed or value == b"%d" % len(body)
            elif name == b"connection" or name == b"transfer-encoding":
                return False
            piece += (name, b": ", value, b"\r\n")
        head = b"".join(piece)
        lines = len(headers) + 1
        if not framed or head.count(b"\r") != lines or head.count(b"\n") != lines:
            return False
        if len(head.translate(None, _CONTROLS)) != len(head):
            return False  # uvicorn says what is wrong with it
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"".join((head, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True


def _ends_with_connection(cycle: RequestResponseCycle) -> bool:
    """Whether a body without a length ends where the connection does: HTTP/1.0 has no chunks."""
    return cycle.scope["http_version"] == "1.0"
