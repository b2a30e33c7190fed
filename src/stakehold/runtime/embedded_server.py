"""An embedded server, whichever it is: a child process of ours, its port, its log and its end."""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO

from stakehold.runtime.private_files import PRIVATE, write_private

OTHERS_NOTHING = 0o077
"""The umask of the stores: what they write is for their own user."""

_PR_SET_PDEATHSIG = 1
_PROBE_INTERVAL_S = 0.02
_PORTS = range(10_240, 32_768)
_PORTS_TRIED_MAX = 100


class EmbeddedServerError(RuntimeError):
    """A server could not be started; the message says what its log says."""


def free_port() -> int:
    """A TCP port on loopback that nothing listens on.

    It is none of those that systems take for the near end of a connection: such a one could be taken by a
    client in the moment before a server binds it, or while one restarts.
    """
    for _ in range(_PORTS_TRIED_MAX):
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        if _port_is_free(port):
            return port
    raise EmbeddedServerError("No TCP port is free on 127.0.0.1.")


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kept_port(path: Path) -> int:
    """The port used last time if it is still free, else a new one; kept in `path`."""
    kept = path.read_text().strip() if path.exists() else ""
    port = int(kept) if kept.isdecimal() and int(kept) < 65536 else 0
    if not port or not _port_is_free(port):
        port = free_port()
        write_private(path, str(port))
    return port


def die_with_parent(signal_number: int) -> Callable[[], None] | None:
    """Ask Linux to signal the child when we die, even by kill -9. Elsewhere the next start cleans up."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)

    return arrange


def _command_of(pid: int) -> str:
    """The command line of a process; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    shown = subprocess.run(
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False, timeout=10
    )
    return shown.stdout


def stop_left_over(pid_file: Path, data: Path, signal_number: int, timeout_s: float = 10.0) -> None:
    """Stop the server of `data` that outlived its parent, if there is one, by the process id in `pid_file`.

    The caller holds the directory's lock. A process id may have passed to a stranger since: only one whose
    command line names `data` is meant.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    end_s = time.monotonic() + timeout_s
    while str(data) in _command_of(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number if time.monotonic() < end_s else signal.SIGKILL)
        time.sleep(_PROBE_INTERVAL_S)


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


class EmbeddedServer(ABC):
    """What PostgreSQL and Valkey have in common: a child process, a log file, a port that answers."""

    name: str
    stop_signal: int

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = self.directory / f"{self.name}.log"

    def _open_log(self) -> IO[bytes]:
        """The log, to append to; for its owner alone."""
        return os.fdopen(os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE), "ab")

    def is_alive(self) -> bool:
        """Whether the child process runs."""
        return self.process is not None and self.process.poll() is None

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes a connection and our password."""

    def _wait_until_it_answers(self, timeout_s: float) -> None:
        assert self.process is not None
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if self.process.poll() is not None:
                raise EmbeddedServerError(f"{self.name} ended at once. Its log:\n{tail(self.log_path)}")
            if self._answers():
                return
            time.sleep(_PROBE_INTERVAL_S)
        self.kill()
        raise EmbeddedServerError(
            f"{self.name} did not answer within {timeout_s} s. Its log:\n{tail(self.log_path)}"
        )

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop in an orderly way; kill what does not stop in time."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout_s)
        self.process = None

    def kill(self) -> None:
        """kill -9, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
