"""Redis over its own protocol, RESP2: one connection for the whole process, shared by every caller.

Commands of one turn of the event loop leave together, eight to a write. Replies are matched to callers by
their order, as the protocol promises: a caller that times out or is cancelled leaves its place in the queue
behind, so that the others still get their own. When the oldest command stays unanswered, the connection is
given up and the next command opens a new one.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import hiredis

from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.ports import Clock, Counters, Entropy
from stakehold.redis.port import (
    COMMAND_BYTES_MAX,
    REPLY_BYTES_MAX,
    Argument,
    RedisReplyError,
    RedisUnavailableError,
    Reply,
    Script,
    error_of,
    run_script,
)

_STALL_S = 1.0  # how long the oldest command may stay unanswered, at least, before the connection is given up
_TIMER_STEP_S = 0.01
_UNSENT_BYTES_MAX = 16 * 1024 * 1024
_COMMANDS_A_WRITE = 8
"""A turn's first commands go out while its last are still to come, so that Redis and we work side by side:
with all in one write at the end, each waited for the other's whole batch (docs/performance.md)."""
_BACKOFF_BASE_S = 0.05
_BACKOFF_CAP_S = 1.0
_CLOSE_TIMEOUT_S = 1.0
_KEEPALIVE_IDLE_S = 30
_INCOMPLETE: Final = object()


class _Address(NamedTuple):
    host: str
    port: int
    tls: bool
    handshake: tuple[tuple[Argument, ...], ...]


def _parse(url: str) -> _Address:
    # The URL holds the password, so no message repeats any part of it.
    refused = ValueError("A Redis URL is redis[s]://[[user]:password@]host[:port][/database].")
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        database = int(parts.path.strip("/") or "0")
    except ValueError:
        raise refused from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query or parts.fragment:
        raise refused
    # SELECT is always sent: its answer shows that a Redis is there and takes the password.
    handshake: tuple[tuple[Argument, ...], ...] = (("SELECT", database),)
    if parts.password:
        user = (unquote(parts.username),) if parts.username else ()
        handshake = (("AUTH", *user, unquote(parts.password)), *handshake)
    return _Address(parts.hostname, port, parts.scheme == "rediss", handshake)


class _Waiting(NamedTuple):
    """A command in flight. The caller waits until `deadline_s`, the connection until `give_up_at_s`."""

    future: asyncio.Future[Reply]
    deadline_s: float
    give_up_at_s: float


class _Connection(asyncio.Protocol):
    """One connection: pairs replies with callers, watches the time. It ends once and is not used again."""

    def __init__(
        self, max_in_flight: int, counters: Counters, on_end: Callable[["_Connection"], None]
    ) -> None:
        self.ended = False
        self.closed = asyncio.get_running_loop().create_future()
        self._max_in_flight = max_in_flight
        self._counters = counters
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport  # since connection_made, with which a protocol's life begins
        self._reader = hiredis.Reader(replyError=self._note_error, notEnoughData=_INCOMPLETE)
        self._error: Exception | None = None
        self._reply_bytes = 0
        self._in_flight: deque[_Waiting] = deque()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        # Firewalls forget idle connections; the kernel's probes keep ours known.
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)

    def submit(self, packed: bytes, timeout_s: float) -> asyncio.Future[Reply]:
        """Queue a packed command for this turn's write; the future gets its reply or its error."""
        if self.ended:
            raise RedisUnavailableError("the connection has ended", outcome_unknown=False)
        unsent_bytes = self._unsent_bytes + self._transport.get_write_buffer_size()
        if len(self._in_flight) >= self._max_in_flight or unsent_bytes > _UNSENT_BYTES_MAX:
            self._counters.count("redis_refused")
            raise RedisUnavailableError("too many commands are in flight", outcome_unknown=False)
        now_s = self._loop.time()
        waiting = _Waiting(self._loop.create_future(), now_s + timeout_s, now_s + max(timeout_s, _STALL_S))
        self._in_flight.append(waiting)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._unsent_bytes += len(packed)
        if len(self._unsent) == _COMMANDS_A_WRITE:
            self._flush()
        if waiting.deadline_s < self._timer_at_s:
            self._set_timer(waiting.deadline_s)
        return waiting.future

    def _flush(self) -> None:
        if not self.ended and self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()
            self._unsent_bytes = 0

    def _note_error(self, message: str) -> Exception:
        # Called for every error in a reply, also one deep inside an array, before gets() returns the whole.
        self._error = error_of(message)
        return self._error

    def data_received(self, data: bytes) -> None:
        self._reply_bytes += len(data)
        self._reader.feed(data)
        while True:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError:
                self.end("the server does not speak Redis' protocol")
                return
            if reply is _INCOMPLETE:
                break
            self._reply_bytes = 0
            error, self._error = self._error, None
            if not self._in_flight:
                self.end("the server sent a reply nobody waits for")
                return
            future = self._in_flight.popleft().future
            if future.done():
                continue
            if error is None:
                future.set_result(reply)
            else:
                future.set_exception(error)
        if self._reply_bytes > REPLY_BYTES_MAX:
            self.end("a reply is longer than we accept")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("the connection was lost")
        self.closed.set_result(None)

    def end(self, reason: str) -> None:
        """Close at once. What was not yet written certainly had no effect; the rest may have had."""
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        written = len(self._in_flight) - len(self._unsent)
        for position, waiting in enumerate(self._in_flight):
            if not waiting.future.done():
                waiting.future.set_exception(
                    RedisUnavailableError(reason, outcome_unknown=position < written)
                )
        self._in_flight.clear()
        self._unsent.clear()
        self._on_end(self)

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._check_time)

    def _check_time(self) -> None:
        """Fail the callers whose time is up; end a connection whose oldest command has waited too long."""
        now_s = self._loop.time()
        self._timer, self._timer_at_s = None, math.inf
        if not self._in_flight:
            return
        next_s = self._in_flight[0].give_up_at_s
        if next_s <= now_s:
            self._counters.count("redis_stalls")
            self.end("no answer in time")
            return
        for waiting in self._in_flight:
            if waiting.future.done():
                continue
            if waiting.deadline_s <= now_s:
                waiting.future.set_exception(RedisUnavailableError("no answer in time", outcome_unknown=True))
            else:
                next_s = min(next_s, waiting.deadline_s)
        self._set_timer(max(next_s, now_s + _TIMER_STEP_S))


class RespRedis:
    """A Redis or Valkey at `url` (`redis://` or, with TLS, `rediss://`); see port.Redis.

    It connects at the first command. While Redis is away, each failed attempt to connect is followed by a
    jittered wait of at most a second by `clock`, in which commands fail at once. `tls_ca_file` replaces the
    system's certificate authorities. Use it from one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        max_in_flight: int = 1024,
        connect_timeout_s: float = 1.0,
        tls_ca_file: str | None = None,
    ) -> None:
        self._address = _parse(url)
        self._tls = ssl.create_default_context(cafile=tls_ca_file) if self._address.tls else None
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._max_in_flight = max_in_flight
        self._connect_timeout_s = connect_timeout_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting_to_connect = 0
        self._failed_attempts = 0
        self._next_attempt_at_s = -math.inf
        self._refusal = ""
        self._losses = 0
        self._closed = False

    @property
    def connection_losses(self) -> int:
        """How often an established connection was lost; attempts that failed are not counted again."""
        return self._losses

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        """Send one command and return its reply within `timeout_s`."""
        packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
        if len(packed) > COMMAND_BYTES_MAX:
            raise ValueError(f"A command is at most {COMMAND_BYTES_MAX} bytes.")
        connection = self._connection
        if connection is None:
            loop = asyncio.get_running_loop()
            end_s = loop.time() + timeout_s
            connection = await self._connected(timeout_s)
            timeout_s = end_s - loop.time()
        if timeout_s <= 0:
            raise RedisUnavailableError("no time left", outcome_unknown=False)
        return await connection.submit(packed, timeout_s)

    def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Coroutine[Any, Any, Reply]:
        """Run a script by its hash; its source is sent only when Redis does not know it."""
        return run_script(self, self._clock, script, keys, arguments, timeout_s)

    async def close(self) -> None:
        """Give up what is in flight and refuse everything afterwards."""
        self._closed = True
        connection, self._connection = self._connection, None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting}, timeout=_CLOSE_TIMEOUT_S)
        if connection is not None:
            connection.end("the client was closed")
            await asyncio.wait({connection.closed}, timeout=_CLOSE_TIMEOUT_S)

    async def _connected(self, timeout_s: float) -> _Connection:
        """The connection, once the one attempt that all callers share has made it."""
        if self._closed:
            raise RedisUnavailableError("the client was closed", outcome_unknown=False)
        if self._connecting is None:
            if self._clock.monotonic_s() < self._next_attempt_at_s:
                raise RedisUnavailableError(self._refusal, outcome_unknown=False)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        if self._waiting_to_connect >= self._max_in_flight:
            self._counters.count("redis_refused")
            raise RedisUnavailableError("too many commands wait for a connection", outcome_unknown=False)
        attempt = self._connecting
        self._waiting_to_connect += 1
        try:
            # Not awaited itself: a caller that gives up must not cancel what the others wait for.
            done, _ = await asyncio.wait({attempt}, timeout=timeout_s)
        finally:
            self._waiting_to_connect -= 1
        if not done:
            raise RedisUnavailableError("no connection in time", outcome_unknown=False)
        if self._connection is None:
            reason = "the client was closed" if self._closed else self._refusal
            raise RedisUnavailableError(reason, outcome_unknown=False)
        return self._connection

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._connection = await self._open()
            self._failed_attempts = 0
        except (OSError, RedisUnavailableError, RedisReplyError) as error:
            self._counters.count("redis_connect_failures")
            self._refusal = f"no connection: {error or type(error).__name__}"
            wait_s = full_jitter_s(
                self._entropy, self._failed_attempts, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S
            )
            self._failed_attempts += 1
            self._next_attempt_at_s = self._clock.monotonic_s() + wait_s
        finally:
            self._connecting = None

    async def _open(self) -> _Connection:
        address = self._address
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._max_in_flight, self._counters, self._note_end),
            address.host,
            address.port,
            ssl=self._tls,
        )
        try:
            for command in address.handshake:
                packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
                await connection.submit(packed, self._connect_timeout_s)
            if connection.ended:
                raise ConnectionResetError("lost as soon as made")
        except BaseException:
            connection.end("the connection could not be set up")
            raise
        return connection

    def _note_end(self, connection: _Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self._losses += 1
            self._counters.count("redis_connections_lost")
