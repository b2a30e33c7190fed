"""Processes as an operator starts them, and what a test waits for."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx

WAIT_S = 30.0
INHERITED = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")
"""What a program sees of our environment; the last has `make coverage` see into it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry.parent.name))
    return found


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Program:
    """A running `stakehold` with what it says."""

    def __init__(self, command: str, environ: Mapping[str, str], directory: Path) -> None:
        self.port = int(environ["PORT"])
        self.log_path = directory / f"{command}-{self.port}.log"
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stakehold.cli", command], cwd=directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={**inherited, **environ},
            )  # fmt: skip

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def readiness(self) -> tuple[int, str]:
        """The status of /readyz and what it says; (0, "") when nobody answers."""
        try:
            answer = httpx.get(f"{self.address}/readyz", timeout=5)
        except httpx.HTTPError:
            return 0, ""
        return answer.status_code, str(answer.json()["status"])

    def wait_until_ready(self) -> None:
        def ready_or_gone() -> bool:
            assert self.process.poll() is None, self.log
            return self.readiness()[0] == 200

        wait_until(ready_or_gone, f"ready; it said: {self.log}")

    def server_pids(self) -> list[int]:
        """The server processes, without the stores."""
        return [pid for pid in children_of(self.process.pid) if b"runtime.server" in _command(pid)]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextlib.contextmanager
def program(command: str, environ: Mapping[str, str], directory: Path) -> Iterator[Program]:
    """Start `stakehold COMMAND`; kill it at the end if it still runs."""
    started = Program(command, environ, directory)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            try:
                started.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()
