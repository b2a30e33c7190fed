"""What Workers bring to Python (`js`, `pyodide.ffi`, `workers`), played natively for unit tests.

Only as much as runtime/worker*.py uses, without the platform's rules: tests/worker has those, in WebAssembly.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any


class JsException(Exception):
    """An error of JavaScript's; `name` as there."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(message)
        self.name = name


class Bytes(bytes):
    """A Uint8Array."""

    def to_bytes(self) -> bytes:  # type: ignore[override]
        return bytes(self)


class Body:
    """A ReadableStream of these pieces; an exception among them is raised in its turn."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.left = list(pieces)
        self.reads = 0
        self.cancelled = False

    def getReader(self) -> "Body":
        return self

    async def read(self) -> Any:
        self.reads += 1
        if not self.left:
            return SimpleNamespace(done=True, value=None)
        piece = self.left.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return SimpleNamespace(done=False, value=Bytes(piece))

    async def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Request:
    """A JavaScript Request."""

    url: str = "https://stakehold.test/"
    method: str = "GET"
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("host", "stakehold.test")])
    body: Body | None = None

    @property
    def js_object(self) -> "Request":
        return self


@dataclass
class Response:
    """A JavaScript Response."""

    body: Any
    init: dict[str, Any]

    @classmethod
    def new(cls, body: Any, init: dict[str, Any]) -> "Response":
        return cls(body, init)

    @property
    def status(self) -> int:
        return int(self.init["status"])

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.init.get("headers", []))


class TransformStream:
    """A TransformStream that changes nothing: a write ends when it was read; `abort` fails the reader."""

    def __init__(self) -> None:
        self.readable = self.writable = self
        self.written: asyncio.Queue[bytes | JsException | None] = asyncio.Queue()
        self.error: JsException | None = None
        self._taken = asyncio.Event()

    @classmethod
    def new(cls) -> "TransformStream":
        return cls()

    def getWriter(self) -> "TransformStream":
        return self

    async def write(self, piece: bytes) -> None:
        self.written.put_nowait(piece)
        await self._taken.wait()
        self._taken.clear()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.written.put_nowait(None)

    def abort(self, reason: JsException) -> None:
        self.written.put_nowait(reason)

    async def take(self) -> bytes | None:
        """The next piece, None at the end; for the test. Raises what the stream was aborted with."""
        piece = await asyncio.wait_for(self.written.get(), 5)
        self._taken.set()
        if isinstance(piece, JsException):
            raise piece
        return piece

    def leave(self) -> None:
        """The client goes; for the test."""
        self.error = JsException("TypeError", "the client has gone")
        self._taken.set()


class WorkerEntrypoint:
    """The SDK's base class."""

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx
        self.env = env


class ScryptFunction:
    """node:crypto's scryptSync, whose result stays in an array."""

    def __init__(self) -> None:
        self.options: list[dict[str, int]] = []

    def bind(self, _: None, password: bytes, salt: bytes, length: int, options: dict[str, int]) -> Any:
        self.options.append(options)
        return lambda: hashlib.scrypt(
            password, salt=salt, n=options["N"], r=options["r"], p=options["p"], dklen=length,
            maxmem=options["maxmem"],
        )  # fmt: skip


class Platform:
    """The modules, and what a test reads and sets of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """What went to the console."""
        self.fetch: Callable[..., Any] = _no_fetch
        self.scrypt = ScryptFunction()

    def modules(self) -> dict[str, ModuleType]:
        async def fetch(*arguments: Any, **options: Any) -> Any:
            return await self.fetch(*arguments, **options)

        js = ModuleType("js")
        js.__dict__.update(
            JSON=SimpleNamespace(parse=json.loads, stringify=_stringify),
            Array=SimpleNamespace(from_=lambda items, make=None: [make()] if make else list(items)),
            AbortSignal=SimpleNamespace(timeout=lambda milliseconds: milliseconds),
            Response=Response,
            TransformStream=TransformStream,
            Error=SimpleNamespace(new=lambda message: JsException("Error", message)),
            console=SimpleNamespace(log=self.lines.append),
            fetch=fetch,
        )
        pyodide, ffi = ModuleType("pyodide"), ModuleType("pyodide.ffi")
        ffi.__dict__.update(JsException=JsException, to_js=lambda value: value)
        workers = ModuleType("workers")
        workers.__dict__.update(
            WorkerEntrypoint=WorkerEntrypoint,
            import_from_javascript=lambda name: SimpleNamespace(scryptSync=self.scrypt),
        )
        return {"js": js, "pyodide": pyodide, "pyodide.ffi": ffi, "workers": workers}


async def _no_fetch(*_: Any, **__: Any) -> Any:
    raise JsException("TypeError", "fetch failed")


def _stringify(value: Any) -> str:
    return json.dumps(value, default=lambda data: {"type": "Buffer", "data": list(data)})


@contextmanager
def worker_platform() -> Iterator[Platform]:
    """The platform's modules in place, and the Worker's own imported anew inside; gone at the end."""
    platform = Platform()
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_of_workers(name)}
    sys.modules.update(platform.modules())
    try:
        yield platform
    finally:
        for name in [name for name in sys.modules if _is_of_workers(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def worker_module(name: str) -> Any:
    """`stakehold.runtime.worker…`, inside of `worker_platform`."""
    return import_module(f"stakehold.runtime.{name}")


def _is_of_workers(name: str) -> bool:
    brought = name.partition(".")[0] in ("js", "pyodide", "workers")
    return brought or name.startswith("stakehold.runtime.worker")
