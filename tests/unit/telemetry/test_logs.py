"""The log writes one JSON object a line, hides secrets, and never costs a request."""

import asyncio
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.telemetry.logs import (
    FLUSH_INTERVAL_S,
    PENDING_BYTES_MAX,
    STRING_LENGTH_MAX,
    WRITE_BYTES_MAX,
    JsonLog,
)
from tests.support.fakes import ManualClock


class RecordingStream:
    """Keeps each write; fails while `broken`."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.broken: Exception | None = None

    def write(self, data: bytes, /) -> object:
        if self.broken is not None:
            raise self.broken
        self.writes.append(data)
        return len(data)

    def flush(self) -> object:
        return None

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self.writes).splitlines()]


@pytest.fixture
def stream() -> RecordingStream:
    return RecordingStream()


@pytest.fixture
def log(stream: RecordingStream, clock: ManualClock) -> JsonLog:
    return JsonLog(stream, clock)


def test_a_line_has_time_level_event_and_the_fields(log: JsonLog, stream: RecordingStream) -> None:
    """Every line says when, how bad and what, then what the caller adds."""
    log.write("request", status=201, path="/api/stake", duration_ms=1.25, route=None)
    assert b"".join(stream.writes) == (
        b'{"time":"2027-01-15T08:00:00.000Z","level":"info","event":"request",'
        b'"status":201,"path":"/api/stake","duration_ms":1.25,"route":null}\n'
    )


@pytest.mark.parametrize(
    "key", ["password", "newPassword", "token", "refreshToken", "jwt_secret", "Authorization", "set-cookie"]
)
def test_secrets_are_redacted_at_any_depth(key: str, log: JsonLog, stream: RecordingStream) -> None:
    """What a member's name calls a secret never reaches the stream."""
    log.write("e", **{key: "hunter2"}, headers={key: ["hunter2"]}, list=[{"x": {key: "hunter2"}}])
    written = b"".join(stream.writes)
    assert b"hunter2" not in written
    assert written.count(b"[redacted]") == 3


def test_a_missing_secret_is_told_from_a_hidden_one(log: JsonLog, stream: RecordingStream) -> None:
    """`null` stays `null`: that there was no token is worth knowing and tells nothing."""
    log.write("e", token=None)
    assert stream.records()[0]["token"] is None


def test_strings_are_cut(log: JsonLog, stream: RecordingStream) -> None:
    """A string of any length costs at most 500 characters and an ellipsis."""
    log.write("e", path="/" + "a" * 100_000)
    assert stream.records()[0]["path"] == "/" + "a" * (STRING_LENGTH_MAX - 1) + "…"


def test_structures_are_cut(log: JsonLog, stream: RecordingStream) -> None:
    """Neither depth nor length of a value makes a line long."""
    endless: list[object] = []
    endless.append(endless)
    log.write("e", deep=endless, long=list(range(10_000)), wide={str(n): n for n in range(10_000)})
    assert len(b"".join(stream.writes)) < 2000


@given(
    st.text(
        alphabet=st.one_of(st.characters(), st.sampled_from("\r\n\x1b\x7f\x85\u2028\u2029\u202e\ud800\udfff"))
    )
)
def test_no_text_starts_a_new_line_or_moves_the_terminal(text: str) -> None:
    """Whatever a client sends, one call is one printable line of valid JSON."""
    stream = RecordingStream()
    JsonLog(stream, ManualClock()).write("e", agent=text, members={text: 1})
    written = b"".join(stream.writes).decode()
    assert written.endswith("}\n")
    assert len(written.splitlines()) == 1
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or c in "\u2028\u2029\u202e" for c in written[:-1])
    assert json.loads(written)["event"] == "e"


def test_unusual_values_are_written_as_text(log: JsonLog, stream: RecordingStream) -> None:
    """A value JSON cannot hold is shown by its text; NaN is null."""
    log.write("e", error=ValueError("no"), number=float("nan"), large=2**80)
    record = stream.records()[0]
    assert (record["error"], record["number"], record["large"]) == ("no", None, 2**80)


async def test_lines_are_written_together_within_the_interval(log: JsonLog, stream: RecordingStream) -> None:
    """In an event loop, lines wait at most 50 ms for company and then share one write."""
    loop = asyncio.get_running_loop()
    log.write("first")
    log.write("second")
    assert stream.writes == []
    started = loop.time()
    while not stream.writes:
        assert loop.time() - started < FLUSH_INTERVAL_S + 5
        await asyncio.sleep(0.005)
    assert [record["event"] for record in stream.records()] == ["first", "second"]
    assert len(stream.writes) == 1


async def test_an_error_is_written_at_once_with_what_came_before(
    log: JsonLog, stream: RecordingStream
) -> None:
    """The line that explains a crash is not lost in a buffer, and the order of lines is kept."""
    log.write("before")
    log.write("crash", level="error")
    assert [record["event"] for record in stream.records()] == ["before", "crash"]


async def test_close_writes_what_is_pending(log: JsonLog, stream: RecordingStream) -> None:
    """A graceful stop loses no line."""
    log.write("last")
    log.close()
    assert [record["event"] for record in stream.records()] == ["last"]


async def test_pending_lines_are_bounded(log: JsonLog, stream: RecordingStream) -> None:
    """A loop too busy to run its timers cannot collect lines without bound."""
    written = 0
    while not stream.writes:
        log.write("busy", path="/" + "a" * 400)
        written += 500
        assert written < 2 * PENDING_BYTES_MAX


async def test_writes_fit_an_atomic_pipe_write(log: JsonLog, stream: RecordingStream) -> None:
    """Each write is whole lines of at most 4096 bytes, so processes that share a pipe don't mix lines."""
    for number in range(100):
        log.write("line", number=number, path="/" + "a" * 300)
    log.close()
    assert all(len(data) <= WRITE_BYTES_MAX and data.endswith(b"\n") for data in stream.writes)
    assert [record["number"] for record in stream.records()] == list(range(100))


@pytest.mark.parametrize("failure", [BrokenPipeError(), OSError("disk full"), ValueError("closed file")])
def test_a_failing_stream_costs_lines_and_says_how_many(
    failure: Exception, log: JsonLog, stream: RecordingStream
) -> None:
    """A full disk or closed pipe never fails a request; once it is back, the loss is in the log."""
    stream.broken = failure
    log.write("lost")
    log.write("lost too")
    log.write("lost as well")
    stream.broken = None
    log.write("kept")
    log.write("next")
    assert [(record["event"], record.get("lines")) for record in stream.records()] == [
        ("log_lines_lost", 3),
        ("kept", None),
        ("next", None),
    ]


def test_a_binary_file_will_do(clock: ManualClock) -> None:
    """`sys.stdout.buffer` and its like are streams."""
    file = io.BytesIO()
    JsonLog(file, clock).write("e")
    assert json.loads(file.getvalue())["event"] == "e"


async def test_without_collecting_each_line_goes_out_at_once(
    stream: RecordingStream, clock: ManualClock
) -> None:
    """Where a timer ends with the request that set it, no line waits for one."""
    log = JsonLog(stream, clock, collect=False)
    for number in range(3):
        log.write("request", number=number)
        assert len(stream.writes) == number + 1
