"""Clients that are slow, endless, gone or in a hurry are answered or cut off in time, and others are served.

The bounds are those of docs/api.md (a body within 4 s) and of runtime/http_protocol.py (a head within 10 s).
Times are given some grace, since the machine may be busy.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api.raw import Connection, connected, exchange, request
from tests.support.served import ServedService
from tests.support.service import Person

HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 4.0
WRITE_TIMEOUT_S = 10.0
HURRY_S = 4.0
GRACE_S = 5.0
JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
STAKE = b'{"amount":"1","period":12}'
MIB = 2**20


def bearer(person: Person) -> bytes:
    return b"Authorization: Bearer " + person.token.encode()


def memory_of(service: ServedService) -> int:
    """Bytes in memory of the server processes, those below the one that was started."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if fields["PPid"].strip() == str(service.process.pid):
                total += int(fields["VmRSS"].split()[0]) * 1024
    assert total
    return total


@asynccontextmanager
async def others_are_served(url: str, person: Person) -> AsyncIterator[None]:
    """Meanwhile somebody else asks again and again, and is answered each time, soon."""
    slowest_s, stopped = 0.0, asyncio.Event()

    async def ask() -> None:
        nonlocal slowest_s
        while not stopped.is_set():
            started = time.monotonic()
            answer = await exchange(url, request("GET", "/api/stake", bearer(person)))
            assert answer is not None
            assert answer.status == 200
            slowest_s = max(slowest_s, time.monotonic() - started)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), 0.05)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        stopped.set()
        await asking
    assert slowest_s < GRACE_S


async def drip(connection: Connection, byte: bytes, every_s: float) -> None:
    """Send this for as long as anybody takes it."""
    with contextlib.suppress(ConnectionError):
        while not connection.writer.transport.is_closing():
            connection.send(byte)
            await asyncio.sleep(every_s)


@asynccontextmanager
async def dripping(connection: Connection, byte: bytes, every_s: float) -> AsyncIterator[None]:
    task = asyncio.create_task(drip(connection, byte, every_s))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def held_for_s(url: str, begun: bytes, more: bytes) -> float:
    """How long a connection lasts on which this is sent, and then more of it now and then."""
    started = time.monotonic()
    async with connected(url) as connection:
        connection.send(begun)
        async with dripping(connection, more, 0.5):
            assert await connection.ended(timeout_s=HEAD_TIMEOUT_S + GRACE_S) == b""
    return time.monotonic() - started


HEADS = (
    (b"", b"\r\n"),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"y"),
    (b"GET /", b"y"),
)


async def send_heads_that_trickle(url: str) -> None:
    """A hundred clients keep their heads coming a byte at a time: each is cut off after 10 s."""
    lasted_s = await asyncio.gather(*(held_for_s(url, *HEADS[number % len(HEADS)]) for number in range(100)))
    assert min(lasted_s) > HEAD_TIMEOUT_S - 1
    assert max(lasted_s) < HEAD_TIMEOUT_S + GRACE_S


async def refused_after_s(url: str, head: bytes, more: bytes) -> float:
    """How long a body is waited for of which `more` arrives now and then: then 408, and an end."""
    started = time.monotonic()
    async with connected(url) as connection:
        connection.send(head)
        async with dripping(connection, more, 0.2):
            answer = await connection.answer()
            waited_s = time.monotonic() - started
            assert answer.problem()["code"] == "request_timeout"
            await connection.ended(timeout_s=HEAD_TIMEOUT_S + GRACE_S)
    return waited_s


async def send_bodies_that_trickle(url: str, to_stake: bytes) -> None:
    """A byte at a time, a promise never kept, an extension or a trailer that does not end: 408 after 4 s."""
    length, chunked = to_stake + b"Content-Length: 16000\r\n\r\n", to_stake + CHUNKED
    cases = (
        (length, b" "), (length + STAKE, b""), (length, b""), (chunked, b"1\r\n \r\n"), (chunked, b""),
        (chunked + b"10;", b"x"), (chunked + b"1a\r\n" + STAKE + b"\r\n0\r\nX: ", b"y"),
    )  # fmt: skip
    waited_s = await asyncio.gather(
        *(refused_after_s(url, head, more) for head, more in cases for _ in range(5))
    )
    assert min(waited_s) > BODY_TIMEOUT_S - 0.5
    assert max(waited_s) < BODY_TIMEOUT_S + GRACE_S


async def flood(url: str, head: bytes, piece: bytes, total: int) -> bytes:
    """Send the piece again and again, reading what comes; returns that, once the server has ended it."""
    async with connected(url) as connection:
        connection.send(head)
        reading = asyncio.create_task(connection.ended(timeout_s=HEAD_TIMEOUT_S + 2 * GRACE_S))
        with contextlib.suppress(ConnectionError):
            for _ in range(total // len(piece)):
                if reading.done():
                    break
                connection.send(piece)
                await connection.writer.drain()
        return await reading


async def send_bodies_without_end(url: str, to_stake: bytes) -> None:
    """Clients send as much as they can: they are told 413, and cut off."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    length = to_stake + b"Content-Length: 99999999999\r\n\r\n"
    floods = [flood(url, to_stake + CHUNKED, chunk, 64 * MIB), flood(url, length, b" " * 65536, 64 * MIB)]
    answers = await asyncio.gather(*floods)
    for answer in answers:
        # It may be lost where it came while we still sent: then the connection has just ended.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert any(answers)


async def send_until_cut_off(connection: Connection) -> None:
    """Ask for large answers without reading them, until the server has had enough."""
    with contextlib.suppress(ConnectionError):
        while not connection.writer.transport.is_closing():
            connection.send(request("GET", "/openapi.json"))
            await asyncio.sleep(0.01)


async def ask_and_never_read(url: str) -> None:
    """Answers that nobody takes hold a connection for seconds, not for ever."""
    async with connected(url) as connection:
        connection.writer.transport.pause_reading()
        await asyncio.wait_for(send_until_cut_off(connection), WRITE_TIMEOUT_S + 2 * GRACE_S)


async def test_the_slow_and_the_endless_are_cut_off_in_time(
    api: ServedService, person: Person, api_url: str
) -> None:
    """All of them together cost others no more than moments, fill no memory, and make nothing."""
    to_stake = request("POST", "/api/stake", bearer(person), JSON).removesuffix(b"\r\n")
    before = memory_of(api)
    async with others_are_served(api_url, person):
        await asyncio.gather(
            send_heads_that_trickle(api_url),
            send_bodies_that_trickle(api_url, to_stake),
            ask_and_never_read(api_url),
            *(send_bodies_without_end(api_url, to_stake) for _ in range(5)),
        )
    assert memory_of(api) - before < 48 * MIB
    assert (await person.list_stakes())["items"] == []


async def test_a_client_that_goes_makes_nothing(api: ServedService, person: Person, api_url: str) -> None:
    """Cut off within its head or body, politely or not, a request has no effect, and no fault is logged."""
    to_stake = ("POST", "/api/stake", bearer(person), JSON)
    whole = request(*to_stake, body=STAKE)
    logged = api.log_path.stat().st_size
    for end in (*range(1, len(whole), 7), len(whole) - 1):
        async with connected(api_url) as connection:
            connection.send(whole[:end])
            await connection.writer.drain()
            if end % 2:
                connection.writer.write_eof()
                await connection.ended(timeout_s=HEAD_TIMEOUT_S + GRACE_S)
    assert (await person.list_stakes())["items"] == []
    with api.log_path.open("rb") as log:
        log.seek(logged)
        assert b'"level":"error"' not in log.read()


async def test_requests_in_a_row_are_answered_in_order(person: Person, api_url: str) -> None:
    """Sent at once on one connection, reads and writes are done one after the other, and answered so."""
    token = bearer(person)
    row = []
    for number in range(20):
        named = b"X-Request-Id: r%d" % number
        row.append(request("POST", "/api/stake", token, JSON, named, body=STAKE))
        row.append(request("GET", "/api/stake?limit=100", token, named))
    async with connected(api_url) as connection:
        connection.send(*row)
        for number in range(20):
            made, listed = await connection.answer(), await connection.answer()
            assert made.get("x-request-id") == listed.get("x-request-id") == [f"r{number}"]
            assert (made.status, listed.status) == (201, 200)
            assert listed.body.count(b'"id"') == number + 1


@pytest.mark.parametrize("end", [b"Connection: close", b"Content-Length: x"])
async def test_nothing_is_done_after_the_last_request(person: Person, api_url: str, end: bytes) -> None:
    """What follows a request that ends the connection, or that cannot be read, is not looked at."""
    stake = request("POST", "/api/stake", bearer(person), JSON, body=STAKE)
    async with connected(api_url) as connection:
        connection.send(request("GET", "/healthz", end), stake, stake)
        assert (await connection.ended()).count(b"x-request-id: ") == 1
    assert (await person.list_stakes())["items"] == []


async def hurry(url: str, token: bytes, method: str, *, read: bool) -> None:
    """Send request after request for seconds, as fast as they are taken, and read the answers or do not."""
    body = STAKE if method == "POST" else b""
    some = request(method, "/api/stake", token, JSON, body=body) * 100
    async with connected(url) as connection:
        reading = asyncio.create_task(connection.ended(timeout_s=60)) if read else None
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(HURRY_S):
                while not connection.writer.transport.is_closing():
                    connection.send(some)
                    await connection.writer.drain()
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_requests_without_end_fill_nothing(api: ServedService, person: Person, api_url: str) -> None:
    """Whoever sends faster than answers can be made waits, or is cut off; memory does not grow with it."""
    before = memory_of(api)
    async with others_are_served(api_url, person):
        await asyncio.gather(
            *(
                hurry(api_url, bearer(person), method, read=read)
                for method in ("GET", "POST")
                for read in (True, False)
            )
        )
    assert memory_of(api) - before < 48 * MIB


async def test_a_body_is_never_the_next_request(api_url: str) -> None:
    """An offer to upgrade changes nothing about where a request ends: its body is not read as another one."""
    inner = request("GET", "/healthz", b"X-Request-Id: within")
    for framing in (b"Content-Length: %d" % len(inner), CHUNKED.removesuffix(b"\r\n\r\n")):
        head = request("POST", "/api/auth", JSON, b"Connection: Upgrade", b"Upgrade: x", framing)
        async with connected(api_url) as connection:
            connection.send(head)
            refused = await connection.answer()
            assert refused.status == 400
            with contextlib.suppress(ConnectionError):
                connection.send(inner)
            answers = await connection.ended()
        assert answers == b""
