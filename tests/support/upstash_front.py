"""Upstash's REST API, as https://upstash.com/docs/redis/features/restapi says, before a real Redis or Valkey.

Upstash's own clients (tests/upstash) are the check on it. What it cannot show: replicas, so that one
`Upstash-Sync-Token` is as good as another; read-only and ACL tokens; `/monitor` and `/subscribe`, which are
refused; what runs beside a script that locks its own keys alone (upstash_scripts.py); and limits of keys,
records and plans, but for what `Faults` sets. Upstash documents the words for a request too large or over a
plan's limit, but no status: 400, as for a command that fails, is our reading, and so are the words for a
command that REST does not have.

Standalone: `python -m tests.support.upstash_front --redis-url redis://… --port 8079 --token t`. It speaks
to Redis through connections of its own, not through the client under test.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import hiredis
from aiohttp import web

from tests.support.upstash_scripts import restored, translated

_COMMAND_BYTES_MAX = 10 * 1024 * 1024
_BODY_BYTES_MAX = 4 * _COMMAND_BYTES_MAX
_TOO_LARGE = "ERR max request size exceeded"
_CONNECTIONS_MAX = 64
# "REST - Redis API Compatibility": what waits, watches, subscribes, or is of a connection or a cluster.
_WAITING = frozenset(b"BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMAX BZPOPMIN BZMPOP".split())
_REFUSED = frozenset(
    b"WATCH UNWATCH DISCARD MULTI EXEC MONITOR SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE"
    b" SUNSUBSCRIBE AUTH CLIENT HELLO QUIT RESET SELECT CLUSTER READONLY READWRITE ASKING".split()
)
_READS_THAT_MAY_WAIT = (b"XREAD", b"XREADGROUP")


@dataclass
class Faults:
    """What goes wrong, until it is set back. Statuses are taken in turn, one a request."""

    statuses: list[int] = field(default_factory=list)
    """Answer these instead of asking Redis."""
    statuses_after: list[int] = field(default_factory=list)
    """Ask Redis, and then answer these: the command ran and its caller does not know."""
    cuts: int = 0
    """Ask Redis, and then cut this many connections without an answer."""
    stalled: bool = False
    """Answer nothing at all until set back."""
    stalled_from: int | None = None
    """The same, for requests from this one on, counted as `UpstashFront.requests` does."""
    raw_answer: bytes | None = None
    """Answer 200 with this body."""
    redirect_to: str | None = None
    """Answer 307 with this location."""
    refusal: str | None = None
    """Refuse every command with this error, as over a plan's limit, status 400."""


class _RedisConnection:
    """A plain connection: sends what it is told and reads as many replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader()

    @classmethod
    async def open(cls, url: str) -> "_RedisConnection":
        parts = urlsplit(url)
        connection = cls(*await asyncio.open_connection(parts.hostname, parts.port or 6379))
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            await connection.ask([["AUTH", *user, unquote(parts.password)]])
        await connection.ask([["SELECT", parts.path.strip("/") or "0"]])
        return connection

    async def ask(self, commands: list[list[Any]]) -> list[Any]:
        self._writer.write(b"".join(hiredis.pack_command(tuple(command)) for command in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self._parser.gets()
            if reply is False:
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError("Redis closed the connection")
                self._parser.feed(data)
            else:
                replies.append(reply)
        return replies

    def close(self) -> None:
        self._writer.close()


class UpstashFront:
    """The REST server: `url` and `token` to reach it, `faults` to trouble it, `requests` to count trips."""

    def __init__(self, redis_url: str, token: str = "front-token") -> None:
        self.token = token
        self.faults = Faults()
        self.requests = 0
        self.sync_tokens: list[str] = []
        """What each request sent as `Upstash-Sync-Token`."""
        self.command_bytes_max = _COMMAND_BYTES_MAX
        """That of a free database, in all parts of a command together."""
        self.waiting_allowed = False
        """Take commands that wait, which Upstash does not: for tests that need a reply to be late."""
        self.key_locking_known = True
        """Know the flag `allow-key-locking` of scripts, as Upstash does; else Redis is left to refuse it."""
        self.url = ""
        self._redis_url = redis_url
        self._idle: list[_RedisConnection] = []
        self._slots = asyncio.Semaphore(_CONNECTIONS_MAX)
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on loopback, at any free port unless told which."""
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening and cut what is connected."""
        self.faults.stalled, self.faults.stalled_from = False, None
        if self._runner is not None:
            await self._runner.cleanup()
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        number, faults = self.requests, self.faults
        while faults.stalled or (faults.stalled_from is not None and number >= faults.stalled_from):
            await request.read()  # All of it has come, whether or not its sender stays.
            await asyncio.sleep(0.01)
        if faults.statuses:
            return web.json_response({"error": "the front was told so"}, status=faults.statuses.pop(0))
        if faults.redirect_to is not None:
            return web.Response(status=307, headers={"Location": faults.redirect_to})
        if request.method not in ("HEAD", "GET", "POST", "PUT"):
            return _error(405, "ERR unsupported HTTP method")
        if not self._knows(request):
            return _error(401, "WRONGPASS invalid or missing auth token")
        self.sync_tokens.append(request.headers.get("Upstash-Sync-Token", ""))
        response = await self._answer(request)
        response.headers["Upstash-Sync-Token"] = f"front-{self.requests}"
        if faults.cuts > 0 and request.transport is not None:
            faults.cuts -= 1
            request.transport.abort()
        if faults.statuses_after:
            return web.json_response({"error": "the front was told so"}, status=faults.statuses_after.pop(0))
        if faults.raw_answer is not None:
            return web.Response(body=faults.raw_answer, content_type="application/json")
        return response

    def _knows(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query.get("_token", "")
        return hmac.compare_digest(token.encode(), self.token.encode())

    async def _answer(self, request: web.Request) -> web.Response:
        path = [unquote_to_bytes(part) for part in request.raw_path.partition("?")[0].split("/") if part]
        try:
            form = _Form.of(request)
            body = await request.read()
            if path in ([b"pipeline"], [b"multi-exec"]):
                commands = self._checked(_commands_of(body))
                if path == [b"pipeline"]:
                    return form.each(await self._ask(commands))
                return await self._multi_exec(commands, form)
            command = (
                path + ([body] if body else []) + _parameters_of(request)
                if path
                else _command_of(_json(body))
            )
            (reply,) = await self._ask(self._checked([command]))
        except web.HTTPRequestEntityTooLarge:
            return _error(400, _TOO_LARGE)
        except _RefusedError as error:
            return _error(400, str(error))
        except OSError as error:
            return _error(500, f"ERR {type(error).__name__}")
        return form.one(reply)

    def _checked(self, commands: list[list[Any]]) -> list[list[Any]]:
        if self.faults.refusal is not None:
            raise _RefusedError(self.faults.refusal)
        for command in commands:
            name, *parts = (_as_bytes(part).upper() for part in command[:8])
            waits = name in _WAITING or (name in _READS_THAT_MAY_WAIT and b"BLOCK" in parts)
            if name in _REFUSED or (waits and not self.waiting_allowed):
                raise _RefusedError(f"ERR Command is not available: '{name.decode(errors='replace')}'")
            if sum(len(_as_bytes(part)) for part in command) > self.command_bytes_max:
                raise _RefusedError(_TOO_LARGE)
        return commands

    async def _multi_exec(self, commands: list[list[Any]], form: "_Form") -> web.Response:
        *queued, outcome = await self._ask([["MULTI"], *commands, ["EXEC"]])
        if isinstance(outcome, hiredis.ReplyError):
            first = next(reply for reply in [*queued, outcome] if isinstance(reply, hiredis.ReplyError))
            return _error(400, str(first))
        # A transaction is answered in JSON, whatever was asked for.
        return dataclasses.replace(form, resp2=False).each(outcome)

    async def _ask(self, commands: list[list[Any]]) -> list[Any]:
        if self.key_locking_known:
            commands = [translated(command) for command in commands]
        async with self._connection() as connection:
            replies = await connection.ask(commands)
        return [restored(reply) for reply in replies]

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_RedisConnection]:
        async with self._slots:
            connection = self._idle.pop() if self._idle else await _RedisConnection.open(self._redis_url)
            try:
                yield connection
            except BaseException:
                connection.close()
                # The others are as old: when Redis went away, it went away for them too.
                while self._idle:
                    self._idle.pop().close()
                raise
            self._idle.append(connection)


class _RefusedError(Exception):
    """A request that Redis is not asked."""


@dataclass(frozen=True)
class _Form:
    """What the answers look like."""

    encoded: bool
    resp2: bool

    @classmethod
    def of(cls, request: web.Request) -> "_Form":
        encoded = request.headers.get("Upstash-Encoding", "").lower() == "base64"
        name = request.headers.get("Upstash-Response-Format", "json").lower()
        if name not in ("json", "resp2"):
            raise _RefusedError(f"ERR invalid response format: {name}")
        if encoded and name == "resp2":
            raise _RefusedError("ERR base64 encoding is not permitted with the response format resp2")
        return cls(encoded, name == "resp2")

    def one(self, reply: Any) -> web.Response:
        """A command's reply; an error with status 400."""
        if isinstance(reply, hiredis.ReplyError):
            return _error(400, str(reply))
        if self.resp2:
            return _binary([reply])
        return web.json_response({"result": _as_json(reply, self.encoded)})

    def each(self, replies: list[Any]) -> web.Response:
        """The replies of a batch, errors among them."""
        return _binary(replies) if self.resp2 else _each(replies, self.encoded)


def _binary(replies: list[Any]) -> web.Response:
    return web.Response(
        body=b"".join(_as_resp2(reply) for reply in replies), content_type="application/octet-stream"
    )


def _as_resp2(reply: Any) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, hiredis.ReplyError):
        return b"-%s\r\n" % str(reply).encode()
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(_as_resp2(item) for item in reply)
    if reply in (b"OK", b"PONG", b"QUEUED"):
        return b"+%s\r\n" % reply
    return b"$%d\r\n%s\r\n" % (len(reply), reply)


def _as_bytes(part: str | bytes) -> bytes:
    return part if isinstance(part, bytes) else part.encode()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise _RefusedError(f"ERR failed to parse command: {error}") from None


def _command_of(decoded: Any) -> list[Any]:
    if not isinstance(decoded, list) or not decoded:
        raise _RefusedError("ERR failed to parse command: it is an array with the command's name first")
    # Scalars are taken as Redis would take their text; anything deeper goes as JSON.
    try:
        command = [part if isinstance(part, str) else json.dumps(part) for part in decoded]
        "".join(command).encode()
    except UnicodeEncodeError as error:
        raise _RefusedError(f"ERR failed to parse command: {error.reason}") from None
    return command


def _commands_of(body: bytes) -> list[list[Any]]:
    decoded = _json(body)
    if not isinstance(decoded, list) or not decoded:
        raise _RefusedError("ERR failed to parse commands: a batch is an array of commands")
    return [_command_of(command) for command in decoded]


def _parameters_of(request: web.Request) -> list[str]:
    pairs = [(name, value) for name, value in request.query.items() if name != "_token"]
    return [part for pair in pairs for part in pair if part]


def _as_json(reply: Any, encoded: bool) -> Any:
    if isinstance(reply, list):
        return [_as_json(item, encoded) for item in reply]
    if isinstance(reply, hiredis.ReplyError):
        return str(reply)
    if not isinstance(reply, bytes):
        return reply
    if encoded and reply != b"OK":
        return base64.b64encode(reply).decode()
    return reply.decode(errors="replace")


def _each(replies: list[Any], encoded: bool) -> web.Response:
    return web.json_response(
        [
            {"error": str(reply)}
            if isinstance(reply, hiredis.ReplyError)
            else {"result": _as_json(reply, encoded)}
            for reply in replies
        ]
    )


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _serve(redis_url: str, port: int, token: str) -> None:
    front = UpstashFront(redis_url, token)
    await front.start(port)
    print(front.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Upstash's REST API in front of a Redis or Valkey.")
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", required=True)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.redis_url, arguments.port, arguments.token))
