"""Keeps child processes running: the embedded stores, and the server processes that share one socket."""

import contextlib
import errno
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from stakehold.runtime.embedded_server import EmbeddedServerError
from stakehold.runtime.server import CONFIGURATION_EXIT

POLL_S: Final = 0.1
READY_TIMEOUT_S: Final = 30.0
BACKOFF_BASE_S: Final = 0.2
BACKOFF_CAP_S: Final = 5.0
LIVED_WELL_S: Final = 10.0
"""Who ran this long had not failed to start; the next restart is at once again."""

KILL_AFTER_S: Final = 2.0
"""Added to the time that a graceful stop may take."""

Announce = Callable[[str], None]


class Child(Protocol):
    """A process that can be started again after its end."""

    name: str

    def start(self) -> None:
        """Start. Raises EmbeddedServerError or OSError."""
        ...

    def is_alive(self) -> bool:
        """Whether it runs."""
        ...

    def stop(self) -> None:
        """Stop it in an orderly way; kill it when it takes too long."""
        ...


class ServerChild:
    """One server process on the listening socket of all."""

    def __init__(
        self,
        number: int,
        listener: socket.socket,
        environ: Mapping[str, str],
        *,
        production: bool,
        stop_s: float,
    ) -> None:
        self.name = f"server {number}"
        self._listener = listener
        self._environ = dict(environ)
        self._production = production
        self._stop_s = stop_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_fd = -1

    @property
    def exit_status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start; `wait_until_ready` tells when it serves."""
        self._close_ready()
        self._ready_fd, write_fd = os.pipe()
        listen_fd = self._listener.fileno()
        command = [sys.executable, "-m", "stakehold.runtime.server"]
        command += ["--listen", str(listen_fd), "--ready", str(write_fd), "--supervisor", str(os.getpid())]
        command += ["--production"] if self._production else []
        try:
            self._process = subprocess.Popen(
                command, env=self._environ, stdin=subprocess.DEVNULL, pass_fds=(listen_fd, write_fd),
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(write_fd)

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Whether it serves within `timeout_s`; False at once when it ends before."""
        readable, _, _ = select.select([self._ready_fd], [], [], timeout_s)
        return bool(readable) and os.read(self._ready_fd, 1) == b"1"

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def begin_stop(self) -> None:
        """Ask it to stop, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Stop it gracefully; kill it when that takes too long."""
        self.begin_stop()
        if self._process is not None:
            try:
                self._process.wait(self._stop_s + KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close_ready()

    def _close_ready(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1


class _Attempts:
    """When a child may be started again: at once the first time, then after ever longer, jittered waits."""

    def __init__(self) -> None:
        self.started_at_s = time.monotonic()
        self.next_at_s = 0.0
        self._failures = 0

    def note_end(self) -> None:
        now_s = time.monotonic()
        self._failures = 0 if now_s - self.started_at_s >= LIVED_WELL_S else self._failures + 1
        wait_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** min(self._failures, 10)) if self._failures else 0.0
        self.next_at_s = now_s + wait_s * (0.5 + random.random() / 2)  # noqa: S311 - no secret

    def note_start(self) -> None:
        self.started_at_s = time.monotonic()
        self.next_at_s = 0.0


class Supervisor:
    """Watches over stores and servers, starts again what ends, and stops servers before stores."""

    def __init__(
        self,
        stores: Sequence[Child],
        servers: Sequence[ServerChild],
        listener: socket.socket,
        announce: Announce,
        *,
        drain_s: float,
    ) -> None:
        self._stores = stores
        self._servers = servers
        self._listener = listener
        self._announce = announce
        self._drain_s = drain_s
        self._stopping = threading.Event()
        self._attempts: dict[str, _Attempts] = {}

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """From here on SIGINT, SIGTERM and SIGHUP (a lost terminal) end `watch`, not the process."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, lambda *_: self._stopping.set()) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    @property
    def told_to_stop(self) -> bool:
        """Whether a signal has come."""
        return self._stopping.is_set()

    def start_servers(self) -> None:
        """Start the server processes; they become ready by themselves."""
        for server in self._servers:
            server.start()

    def watch(self) -> int:
        """Keep everything running until a signal comes; the exit status."""
        while not self._stopping.wait(POLL_S):
            for child in (*self._stores, *self._servers):
                if child.is_alive():
                    continue
                if isinstance(child, ServerChild) and child.exit_status == CONFIGURATION_EXIT:
                    return CONFIGURATION_EXIT
                self._start_again(child)
        return 0

    def stop(self) -> None:
        """Stop servers, all at once, then stores."""
        for server in self._servers:
            server.begin_stop()
        drained_at_s = time.monotonic() + self._drain_s
        while time.monotonic() < drained_at_s and any(server.is_alive() for server in self._servers):
            time.sleep(POLL_S / 4)
        # As long as anybody holds it open, whoever connects would wait for an answer that does not come.
        self._listener.close()
        for child in (*self._servers, *self._stores):
            child.stop()

    def _start_again(self, child: Child) -> None:
        attempts = self._attempts.setdefault(child.name, _Attempts())
        if not attempts.next_at_s:
            attempts.note_end()
            self._announce(f"{child.name} ended; starting it again")
        if time.monotonic() < attempts.next_at_s:
            return
        attempts.note_start()
        try:
            child.start()
        except (EmbeddedServerError, OSError) as error:
            self._announce(f"{child.name} did not start: {error}")


class PortBusyError(Exception):
    """Somebody else listens on the port."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket for all server processes. Raises PortBusyError, OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusyError(f"Port {port} of {host} is in use: set PORT to another.") from None
        raise
    return listener
