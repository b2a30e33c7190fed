"""Writing the log from a thread of its own, natively: whoever reads it slowly, or not at all, stalls nobody.

Standard output may be a pipe whose reader has stopped, or a terminal on which somebody pressed Ctrl-S. A
write to it then waits, and on the event loop every request would wait with it.
"""

import contextlib
import queue
import threading
from typing import Final

from stakehold.telemetry.logs import Stream

PIECES_MAX: Final = 256
"""Pieces of up to 4 KiB that may wait to be written; what comes after them is lost, which the log counts."""


class ThreadedStream:
    """A stream for `JsonLog` that never waits: `write` raises OSError where it would have to."""

    def __init__(self, stream: Stream, *, pieces_max: int = PIECES_MAX) -> None:
        self._stream = stream
        self._pieces: queue.Queue[bytes | None] = queue.Queue(pieces_max)
        self._failure: OSError | ValueError | None = None
        # A daemon, since the end of the process must not wait for a reader either.
        self._thread = threading.Thread(target=self._write_pieces, name="log", daemon=True)
        self._thread.start()

    def write(self, data: bytes, /) -> None:
        """Hand `data` to the thread. Raises the error of an earlier piece, or BlockingIOError when full."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        try:
            self._pieces.put_nowait(data)
        except queue.Full:
            raise BlockingIOError("the log is not being read") from None

    def flush(self) -> None:
        """Nothing to do: the thread writes as fast as it can."""

    def close(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for what was handed over to be written; end the thread."""
        with contextlib.suppress(queue.Full):
            self._pieces.put(None, timeout=timeout_s / 2)
        self._thread.join(timeout_s / 2)

    def _write_pieces(self) -> None:
        while (piece := self._pieces.get()) is not None:
            try:
                self._stream.write(piece)
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failure = error
