"""Operations of the tests' own that answer in pieces, and tell what became of it. Imports the product alone.

`GET /streamed/{count}/{bytes}` answers `count` pieces of so many bytes. `X-Hold-After: 2` has it wait with
the third until `POST /release`; `X-Fail-After: 2` has the third fail, in the way that `X-Fail-How` says.
`GET /told` says how many pieces were made since the last time, and how many answers were begun and closed.
"""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import msgspec

from stakehold.domain.errors import DatabaseError
from stakehold.http import app
from stakehold.http.call import Answer, Call, StreamedAnswer
from stakehold.http.operations import Operation, Outcome

HOLD_CHECK_S = 0.005

state = SimpleNamespace(made=0, begun=0, closed=0, released=False)


async def _pieces(call: Call) -> AsyncGenerator[bytes, None]:
    numbers = {name: int(call.headers.get(name, b"-1")) for name in (b"x-hold-after", b"x-fail-after")}
    count, size = int(call.path_params["count"]), int(call.path_params["bytes"])
    state.begun += 1
    try:
        for number in range(count):
            if number == numbers[b"x-fail-after"]:
                await _fail(call.headers[b"x-fail-how"])
            if number == numbers[b"x-hold-after"]:
                # On Workers nothing of one request may wake another.
                while not state.released:
                    await asyncio.sleep(HOLD_CHECK_S)
            state.made += 1
            yield bytes([number % 256]) * size
    finally:
        state.closed += 1


async def _fail(how: bytes) -> None:
    if how == b"database":
        raise DatabaseError("The database is unavailable.")
    if how == b"slowly":
        await asyncio.sleep(60)
    raise ValueError("of the test")


async def _streamed(call: Call) -> StreamedAnswer:
    return StreamedAnswer(200, _pieces(call), [(b"content-type", b"application/octet-stream")])


async def _release(_: Call) -> Answer:
    state.released = True
    return Answer(204)


async def _told(_: Call) -> Answer:
    told = {name: getattr(state, name) for name in ("made", "begun", "closed")}
    state.made = state.begun = state.closed = 0
    state.released = False
    return Answer(200, msgspec.json.encode(told))


def _operation(method: str, path: str, handler: object, status: int = 200) -> Operation:
    return Operation(
        id=path, method=method, path=path, summary="", tag="service", handler=handler,  # type: ignore[arg-type]
        outcomes=(Outcome(status, ""),),
    )  # fmt: skip


OPERATIONS = (
    _operation("GET", "/streamed/{count}/{bytes}", _streamed),
    _operation("POST", "/release", _release, 204),
    _operation("GET", "/told", _told),
)


def add_operations() -> None:
    """Give them to the applications that are made from here on."""
    app.OPERATIONS = (*app.OPERATIONS, *OPERATIONS)
