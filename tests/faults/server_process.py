"""One server process of a campaign: the real one, but that its clock can be moved, and a bug planted.

    python -m tests.faults.server_process --port PORT --clock FILE

It takes its settings from the environment, as `stakehold serve` gives them to its processes.
"""

import argparse
import functools
import mmap
import os
import socket
import struct
import sys
import time
from pathlib import Path

PLANT = "STAKEHOLD_PLANT"
"""The environment variable that names the bug to plant."""


class MovableClock:
    """The machine's clocks; the one that tells the date is off by what the first 8 bytes of a file say."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._offset_ms = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC, moved."""
        (offset_ms,) = struct.unpack_from("<q", self._offset_ms)
        return time.time_ns() // 1_000_000 + int(offset_ms)

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clock", type=Path, required=True)
    arguments = parser.parse_args()
    if plant := os.environ.get(PLANT):
        from tests.faults import plants

        plants.apply(plant)
    # Imported only now: a plant may change what these import.
    import uvloop

    from stakehold.runtime import server
    from stakehold.runtime.container import build_container
    from stakehold.runtime.settings import load_settings

    build = functools.partial(build_container, clock=MovableClock(arguments.clock))
    vars(server)["build_container"] = build
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", arguments.port))
    listener.listen(1024)
    settings = load_settings(os.environ, production=True)
    process = server.ServerProcess(settings, listener, supervisor=os.getppid(), production=True)
    sys.exit(uvloop.run(process.run(os.open(os.devnull, os.O_WRONLY))))


if __name__ == "__main__":
    main()
