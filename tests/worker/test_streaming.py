"""Answers in pieces on Workers: what tests/unit/runtime/test_streamed_answers.py has natively."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy import bundle
from stakehold.domain.timing import STREAM_PIECE_S
from tests.support import streaming
from tests.support.worker import WorkerHost, WorkerService, running_worker

PIECE_BYTES = 2**16
PIECES = 320
WAIT_S = 10.0
TAKE_MS = 1000 * STREAM_PIECE_S
"""What ends sooner was told that the client has gone."""


@pytest.fixture(scope="module")
def streaming_host(stores_directory: Path) -> Iterator[WorkerHost]:
    """What is deployed, with streaming_entry.py for its entry."""
    directory = stores_directory / "streaming-worker"
    bundle.make(directory)
    shutil.copy(Path(__file__).with_name("streaming_entry.py"), directory / "entry.py")
    shutil.copy(Path(streaming.__file__), directory / "streaming.py")
    host = WorkerHost(directory)
    host.start()
    yield host
    host.stop()


@pytest_asyncio.fixture
async def service(
    streaming_host: WorkerHost, database_url: str, redis_url: str
) -> AsyncIterator[WorkerService]:
    async with running_worker(streaming_host, database_url, redis_url) as service:
        await told(service)
        await service.reports()
        await service.log()
        yield service


async def told(service: WorkerService) -> dict[str, int]:
    answer: dict[str, int] = (await service.client.get("/told")).json()
    return answer


async def test_pieces_arrive_before_the_last_is_made(service: WorkerService) -> None:
    """Each as soon as it is there, within one request that ends with the last."""
    async with service.client.stream("GET", "/streamed/3/5", headers={"X-Hold-After": "2"}) as answer:
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        pieces = answer.aiter_raw()
        seen = b""
        while len(seen) < 10:
            seen += await asyncio.wait_for(anext(pieces), WAIT_S)
        assert seen == b"\0" * 5 + b"\1" * 5
        assert [each["state"] for each in await service.underway()] == ["running"]
        await service.client.post("/release")
        assert b"".join([piece async for piece in pieces]) == b"\2" * 5
    assert await told(service) == {"made": 3, "begun": 1, "closed": 1}
    report = next(each for each in await service.reports() if "/streamed" in each.request)
    assert (report.outcome, report.wait_until_cut) == ("ok", False)


async def test_memory_is_a_few_pieces(service: WorkerService) -> None:
    """20 MB pass, and WebAssembly's memory, which never shrinks, grows by less than a tenth of that."""
    async with service.client.stream("GET", f"/streamed/8/{PIECE_BYTES}") as answer:
        await answer.aread()
    before = (await service.host.memory())["heapBytes"]
    length = 0
    async with service.client.stream("GET", f"/streamed/{PIECES}/{PIECE_BYTES}") as answer:
        async for piece in answer.aiter_raw():
            length += len(piece)
    assert length == PIECES * PIECE_BYTES
    assert (await service.host.memory())["heapBytes"] - before < length / 10


async def test_no_more_is_made_than_is_taken(service: WorkerService) -> None:
    """Making stops where the buffers of the way are full, for a client that reads nothing."""
    async with service.client.stream("GET", f"/streamed/{PIECES}/{PIECE_BYTES * 4}"):
        async with asyncio.timeout(WAIT_S):
            made = [1]
            while made[-1] or sum(made) == 1:
                # Each takes longer than all of the making would.
                made.append((await told(service))["made"])
        assert sum(made) < PIECES / 2
    report = next(each for each in await service.reports() if "/streamed" in each.request)
    assert report.total_ms < TAKE_MS
    assert (await told(service))["closed"] == 1


@pytest.mark.parametrize("how", ["database", "fault"])
async def test_a_cut_answer_has_no_end(service: WorkerService, how: str) -> None:
    """The client sees that it was broken off; the log says why; the request ends."""
    headers = {"X-Fail-After": "2", "X-Fail-How": how}
    async with service.client.stream("GET", "/streamed/9/5", headers=headers) as answer:
        seen = b""
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        while len(seen) < 10:
            seen += await asyncio.wait_for(anext(pieces), WAIT_S)
        assert seen == b"\0" * 5 + b"\1" * 5
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)
    await service.reports()
    assert any('"cut":true' in line for line in await service.log())
    assert await told(service) == {"made": 2, "begun": 1, "closed": 1}


@pytest.mark.parametrize("held", [True, False])
async def test_a_client_that_leaves_ends_the_making(service: WorkerService, held: bool) -> None:
    """In the work that the platform waits for: the generator is closed, and the log says so."""
    headers = {"X-Hold-After": "2"} if held else {}
    async with service.client.stream("GET", f"/streamed/{PIECES}/{PIECE_BYTES}", headers=headers) as answer:
        await anext(answer.aiter_raw())
    await service.client.post("/release")
    report = next(each for each in await service.reports() if "/streamed" in each.request)
    assert (report.outcome, report.wait_until_cut) == ("client gone", False)
    assert report.total_ms < TAKE_MS
    assert any('"gone":true' in line for line in await service.log())
    assert (await told(service))["closed"] == 1


async def test_what_fails_before_the_first_piece_is_a_problem(service: WorkerService) -> None:
    """As natively: nothing was sent by then."""
    answer = await service.client.get(
        "/streamed/1/1", headers={"X-Fail-After": "0", "X-Fail-How": "database"}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_head_makes_nothing(service: WorkerService) -> None:
    """The header of GET alone."""
    answer = await service.client.head("/streamed/3/5")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert await told(service) == {"made": 0, "begun": 0, "closed": 0}
