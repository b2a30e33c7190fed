"""A reader of the log that stalls costs lines, and never a request's time."""

import json
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from stakehold.telemetry.logs import JsonLog
from stakehold.telemetry.threaded_stream import ThreadedStream
from tests.support.fakes import ManualClock


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A real pipe: what standard output is in production."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "wb") as writer:
        yield reader, writer
        # A write that was abandoned, and waits for a reader in the buffer of `writer`, is let through.
        threading.Thread(target=_drain, args=(reader.fileno(),), daemon=True).start()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        pass


def _read_available(reader: BinaryIO) -> bytes:
    """What the pipe holds, and what comes within a moment of it."""
    read = b""
    while select.select([reader], [], [], 0.5)[0]:
        read += reader.read(65536)
    return read


def test_lines_arrive_in_order(pipe: tuple[BinaryIO, BinaryIO], clock: ManualClock) -> None:
    """Everything logged before `close` is written when it returns."""
    reader, writer = pipe
    stream = ThreadedStream(writer)
    log = JsonLog(stream, clock)
    for number in range(100):
        log.write("line", number=number)
    log.close()
    stream.close(5)
    lines = _read_available(reader).splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(100))


class StalledStream:
    """A stream whose writes wait until `resumed` is set."""

    def __init__(self) -> None:
        self.resumed = threading.Event()
        self.writes: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        assert self.resumed.wait(30)
        self.writes.append(data)

    def flush(self) -> None:
        """Nothing is kept back."""


def test_a_reader_that_stops_stalls_nobody(clock: ManualClock) -> None:
    """While nothing can be written, logging goes on at once; what was lost is counted afterwards."""
    stalled = StalledStream()
    stream = ThreadedStream(stalled, pieces_max=4)
    log = JsonLog(stream, clock)
    for number in range(100):
        log.write("line", number=number)
    assert stalled.writes == []
    stalled.resumed.set()
    deadline_s = time.monotonic() + 30
    while len(stalled.writes) < 4 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    log.write("after")
    stream.close(30)
    records = [json.loads(line) for line in b"".join(stalled.writes).splitlines()]
    assert records[-1]["event"] == "after"
    lost = sum(record["lines"] for record in records if record["event"] == "log_lines_lost")
    kept = sum(record["event"] == "line" for record in records)
    assert kept in (4, 5)  # four wait, and the thread may hold one more
    assert kept + lost == 100


def test_closing_does_not_wait_for_a_reader_that_stopped(
    pipe: tuple[BinaryIO, BinaryIO], clock: ManualClock
) -> None:
    """The process can end although nobody reads its log."""
    _, writer = pipe
    stream = ThreadedStream(writer, pieces_max=4)
    log = JsonLog(stream, clock)
    for number in range(2000):
        log.write("line", number=number)
    started_s = time.monotonic()
    stream.close(0.2)
    assert time.monotonic() - started_s < 5


def test_a_reader_that_is_gone_is_reported_to_the_log() -> None:
    """After a broken pipe the next `write` raises, so that the log knows of the loss."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as writer:
        stream = ThreadedStream(writer)
        stream.write(b"lost\n")
        stream.close(5)
        with pytest.raises(BrokenPipeError):
            stream.write(b"lost too\n")
