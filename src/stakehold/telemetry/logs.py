"""The log: one JSON object a line, with nothing in it that a reader of logs may not see.

Lines are collected and written together, because a system call a line would cost more than the rest of a
fast request. Whoever stops the process calls `close`; kill -9 loses at most the last 50 ms of lines. Where a
timer ends with the request that set it, on Workers, each line is written as it comes.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal, Protocol

import msgspec

from stakehold.domain.ports import Clock
from stakehold.domain.timestamps import rfc3339

Level = Literal["info", "warning", "error"]

FLUSH_INTERVAL_S: Final = 0.05
"""How long a line may wait to be written; errors do not wait."""

WRITE_BYTES_MAX: Final = 4096
"""Linux' PIPE_BUF: what several processes write to one pipe in pieces of this size is not interleaved."""

PENDING_BYTES_MAX: Final = 64 * 1024
"""Lines are written at once when this much has been collected."""

STRING_LENGTH_MAX: Final = 500
ITEMS_MAX: Final = 100
DEPTH_MAX: Final = 4

_REDACTED: Final = "[redacted]"
_SECRET_KEY: Final = re.compile("password|token|secret|authorization|cookie", re.IGNORECASE)
# JSON escapes ASCII's control characters itself. These others move a terminal's cursor or end a line in
# some viewers, or cannot be encoded at all.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_encode = msgspec.json.Encoder().encode


class RequestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The line of one request. Its texts are ours, or were checked when they were read; see `JsonLog`.

    `method` is one that the HTTP parser knows, `route` the path as the route table has it.
    """

    time: str = ""
    level: Level
    event: Literal["request"]
    request_id: str
    method: str
    route: str | None
    status: int
    duration_ms: float
    user_id: str | None
    code: str | None
    client_address: str | None = None
    """Where nobody is signed in: as the limits count it, so IPv6 by its /64."""
    gone: bool = False
    """The client closed the connection before its request or its answer was complete, or took none of it."""
    cut: bool = False
    """The answer had begun and was broken off: `code` says why."""


class Stream(Protocol):
    """Where lines go: a binary file such as `sys.stdout.buffer`."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        ...

    def flush(self) -> object:
        """Pass on what was written."""
        ...


class JsonLog:
    """A structured log, used from one thread.

    Every line has `time`, `level` and `event`. A member whose name tells of a password, token, secret,
    authorization or cookie is redacted at any depth; strings are cut at 500 characters and never start a
    new line. A stream that fails costs lines, never a request: the next line that can be written says how
    many were lost.
    """

    def __init__(self, stream: Stream, clock: Clock, *, collect: bool = True) -> None:
        """Without `collect` every line is written at once."""
        self._stream = stream
        self._clock = clock
        self._collect = collect
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lost_lines = 0

    def write(self, event: str, level: Level = "info", **fields: object) -> None:
        """Add one line. An error is never held back, nor is any line outside an event loop."""
        self._add(self._line(event, level, fields), level)

    def request(self, line: RequestLine) -> None:
        """Add the line of a request, at its time: by its fixed members, at a fifth of what `write` costs."""
        line.time = rfc3339(self._clock.now_ms())
        self._add(_encode(line) + b"\n", line.level)

    def _add(self, line: bytes, level: Level) -> None:
        self._pending.append(line)
        self._pending_bytes += len(line)
        if level == "error" or not self._collect or self._pending_bytes >= PENDING_BYTES_MAX:
            self.flush()
        elif self._timer is None:
            self._flush_later()

    def flush(self) -> None:
        """Write what is pending. Never raises for a stream that fails."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._pending, self._pending_bytes = self._pending, [], 0
        if self._lost_lines and self._put(
            [self._line("log_lines_lost", "warning", {"lines": self._lost_lines})]
        ):
            self._lost_lines = 0
        for piece in _pieces(lines):
            if not self._put(piece):
                self._lost_lines += len(piece)

    def close(self) -> None:
        """Write what is pending; the stream stays open, as it is not ours."""
        self.flush()

    def _put(self, lines: list[bytes]) -> bool:
        try:
            self._stream.write(b"".join(lines))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            return False
        return True

    def _flush_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(FLUSH_INTERVAL_S, self.flush)

    def _line(self, event: str, level: Level, fields: Mapping[str, object]) -> bytes:
        head = {"time": rfc3339(self._clock.now_ms()), "level": level, "event": _cleaned_text(event)}
        return _encode(head | _cleaned_members(fields, 0)) + b"\n"


def _pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Whole lines, together at most WRITE_BYTES_MAX; a longer line alone."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > WRITE_BYTES_MAX:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece


# Keys are names in our code, so there are few; the bound is for mappings that are not ours.
@lru_cache(maxsize=512)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _cleaned_members(members: Mapping[str, object], depth: int) -> dict[str, object]:
    return {
        key: _REDACTED if value is not None and _is_secret(key) else _cleaned(value, depth)
        for key, value in members.items()
    }


def _cleaned(value: object, depth: int) -> object:
    """`value` with secrets gone and every size bounded."""
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return _cleaned_text(value)
    if depth >= DEPTH_MAX:
        return "[too deep]"
    if isinstance(value, Mapping):
        few = list(value.items())[:ITEMS_MAX]
        return _cleaned_members({_cleaned_text(str(key)): item for key, item in few}, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item, depth + 1) for item in list(value)[:ITEMS_MAX]]
    return _cleaned_text(str(value))


def _cleaned_text(text: str) -> str:
    if len(text) > STRING_LENGTH_MAX:
        text = text[:STRING_LENGTH_MAX] + "…"
    return text if text.isascii() and "\x7f" not in text else _UNPRINTABLE.sub("\ufffd", text)
