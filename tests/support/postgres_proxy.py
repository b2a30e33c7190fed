"""A TCP proxy before PostgreSQL that counts statements at the wire, and cuts or holds connections.

It reads the frames of both directions. A statement is one Execute ('E') or simple Query ('Q') message.
"""

import asyncio
import contextlib
import struct
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

_UNTYPED_REQUESTS = {80877102, 80877103, 80877104}  # cancel, TLS, GSSAPI: before the start-up message
_TRANSACTION_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "START")


class PostgresProxy:
    """Listens on loopback; `url` leads through it. Used as an async context manager.

    `executed` holds the text of every statement passed on, `statements` counts them without BEGIN and COMMIT.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self.url = ""
        self.executed: list[str] = []
        self.connections = 0
        self.goodbyes = 0
        """How many connections their client ended in good form."""
        self.answers_to_cut = 0
        self.requests_to_cut = 0
        self.runs_to_cut = 0
        self.delay_s = 0.0
        """Hold back every frame of answers this long."""
        self.refusing = False
        """Close every new connection at once."""
        self.held = 0
        """How many statements began a stall or a holding back, as `stall_at` and `hold_answers_at` asked."""
        self._containing = ""
        self._stall_at: str | None = None
        self._hold_answers_at: str | None = None

    @property
    def statements(self) -> int:
        """How many statements were passed on, transaction control left out."""
        return sum(not text.strip().upper().startswith(_TRANSACTION_CONTROL) for text in self.executed)

    def cut_answers(self, count: int, containing: str = "") -> None:
        """For the next `count` statements with this text: let PostgreSQL finish, then cut the connection."""
        self.answers_to_cut = count
        self._containing = containing

    def cut_requests(self, count: int, containing: str = "") -> None:
        """For the next `count` statements with this text: cut the connection before PostgreSQL sees them."""
        self.requests_to_cut = count
        self._containing = containing

    def cut_runs(self, count: int, containing: str = "") -> None:
        """For the next `count` statements with this text: cut the connection while PostgreSQL runs them."""
        self.runs_to_cut = count
        self._containing = containing

    def cut_nothing_more(self) -> None:
        """Forget what was still to be cut."""
        self.answers_to_cut = self.requests_to_cut = self.runs_to_cut = 0

    def is_cut(self, text: str, left: int) -> bool:
        """Whether a statement is one of the `left` that are still to be cut."""
        return left > 0 and self._containing in text

    def stall(self) -> None:
        """Pass nothing on, either way, until `resume`: what a network that drops packets looks like."""
        self._open.clear()

    def hold_answers(self) -> None:
        """Pass statements on, but no answer, until `resume`."""
        self._answering.clear()

    def stall_at(self, containing: str) -> None:
        """Pass all on until the next statement with this text, and from there on nothing, until `resume`."""
        self._stall_at = containing

    def hold_answers_at(self, containing: str) -> None:
        """Let PostgreSQL have the next statement with this text, and pass no answer on, until `resume`."""
        self._hold_answers_at = containing

    def reached(self, text: str) -> None:
        """A statement is about to be passed on."""
        if self._stall_at is not None and self._stall_at in text:
            self.held += 1
            self._stall_at = None
            self.stall()
        elif self._hold_answers_at is not None and self._hold_answers_at in text:
            self.held += 1
            self._hold_answers_at = None
            self.hold_answers()

    def resume(self) -> None:
        """Pass on again, also what was held."""
        self._stall_at = self._hold_answers_at = None
        self._open.set()
        self._answering.set()

    def cut_all(self) -> None:
        """Cut every connection there is."""
        for pair in list(self._pairs):
            _abort(pair)

    async def __aenter__(self) -> "PostgresProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.resume()
        self.cut_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        await self._server.wait_closed()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        if self.refusing:
            client_out.transport.abort()
            self._tasks.discard(task)
            return
        try:
            server_in, server_out = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            client_out.transport.abort()
            self._tasks.discard(task)
            return
        pair = (client_out, server_out)
        self._pairs.add(pair)
        session = _Session(self, pair)
        try:
            upward = asyncio.ensure_future(session.upward(client_in))
            downward = asyncio.ensure_future(session.downward(server_in))
            try:
                await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in (upward, downward):
                    pump.cancel()
                await asyncio.gather(upward, downward, return_exceptions=True)
        finally:
            _abort(pair)
            self._pairs.discard(pair)
            self._tasks.discard(task)

    async def pass_up(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write to PostgreSQL once the proxy is not stalled."""
        await self._open.wait()
        writer.write(data)
        await writer.drain()

    async def pass_down(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write to the client once the proxy is not stalled and answers are not held."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._open.wait()
        await self._answering.wait()
        writer.write(data)
        await writer.drain()


class _Session:
    """One client's connection: its prepared statements by name, and whether its answer is to be withheld."""

    def __init__(self, proxy: PostgresProxy, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._proxy = proxy
        self._pair = pair
        self._texts: dict[bytes, str] = {}
        self._bound = b""
        self._withhold = False
        self._leave_after_sync = False
        self._started = asyncio.Event()

    async def upward(self, client_in: asyncio.StreamReader) -> None:
        """From the client to PostgreSQL, statement by statement."""
        _, server_out = self._pair
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await self._start_up(client_in)
            while True:
                kind, frame = await _frame(client_in)
                if not self._note(kind, frame[5:]):
                    _abort(self._pair)
                    return
                await self._proxy.pass_up(server_out, frame)
                if self._leave_after_sync and kind in (b"S", b"Q"):
                    return  # Which closes both: PostgreSQL has been given all of it, and runs it.

    async def downward(self, server_in: asyncio.StreamReader) -> None:
        """From PostgreSQL to the client; ReadyForQuery ('Z') comes when a statement has been committed."""
        client_out, _ = self._pair
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while not self._started.is_set():
                # The answer to a request for TLS is one bare byte.
                byte = await server_in.readexactly(1)
                if self._started.is_set() or byte in b"RE":
                    rest = await _rest(server_in)
                    await self._proxy.pass_down(client_out, byte + rest)
                    break
                await self._proxy.pass_down(client_out, byte)
            while True:
                kind, frame = await _frame(server_in)
                if not self._withhold:
                    await self._proxy.pass_down(client_out, frame)
                elif kind == b"Z":
                    _abort(self._pair)
                    return

    async def _start_up(self, client_in: asyncio.StreamReader) -> None:
        _, server_out = self._pair
        while True:
            head = await client_in.readexactly(8)
            length, code = struct.unpack("!II", head)
            body = await client_in.readexactly(length - 8)
            await self._proxy.pass_up(server_out, head + body)
            if code not in _UNTYPED_REQUESTS:
                self._started.set()
                return

    def _note(self, kind: bytes, body: bytes) -> bool:
        """Follow what the client does; False when this statement is to be cut off."""
        if kind == b"X":
            self._proxy.goodbyes += 1
        elif kind == b"P":
            name, prepared = body.split(b"\0", 2)[:2]
            self._texts[name] = prepared.decode()
        elif kind == b"B":
            self._bound = body.split(b"\0", 2)[1]
        elif kind in (b"E", b"Q"):
            text = self._texts.get(self._bound, "") if kind == b"E" else body.rstrip(b"\0").decode()
            if self._proxy.is_cut(text, self._proxy.requests_to_cut):
                self._proxy.requests_to_cut -= 1
                return False
            self._proxy.reached(text)
            self._proxy.executed.append(text)
            if self._proxy.is_cut(text, self._proxy.answers_to_cut):
                self._proxy.answers_to_cut -= 1
                self._withhold = True
            elif self._proxy.is_cut(text, self._proxy.runs_to_cut):
                self._proxy.runs_to_cut -= 1
                self._leave_after_sync = True
        return True


async def _rest(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack("!I", head)[0] - 4)


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    return kind, kind + await _rest(reader)


def _abort(pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
    for writer in pair:
        writer.transport.abort()
