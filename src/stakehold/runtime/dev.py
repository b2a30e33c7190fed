"""`stakehold dev`: everything on this machine, with nothing to set up and nothing to lose."""

import asyncio
import contextlib
import fcntl
import json
import os
import stat
import sys
import warnings
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO, Any, Final

from stakehold.database.migrate import migrate
from stakehold.domain.accounts import normalise_password, normalise_username
from stakehold.domain.errors import ConflictError, StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.dotenv import with_dotenv
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.private_files import kept_secret, private_directory, write_private
from stakehold.runtime.settings import Settings, load_settings
from stakehold.runtime.supervisor import ServerChild, Supervisor, listen
from stakehold.security.secrets import check_jwt_secret
from stakehold.services.accounts import add_user
from stakehold.telemetry.logs import Stream

DEMO_USERNAME: Final = "testuser"
DEMO_PASSWORD: Final = "password123"  # noqa: S105 - the demo's, which everybody knows and `serve` never makes
_SETUP_TIMEOUT_S: Final = 30.0


class DevError(Exception):
    """`dev` cannot start; the message says why."""


def announce(line: str) -> None:
    """Tell the person at the terminal, unless it is gone; standard output is for the log."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def run_dev(environ: Mapping[str, str]) -> int:
    """Start everything, serve until a signal comes, stop everything; the exit status.

    Raises SettingsError, DotenvError, DevError, EmbeddedServerError, MigrationError, PortBusyError.
    """
    environ = with_dotenv(environ, Path(".env"))
    settings = load_settings(environ, production=False)
    try:
        private_directory(settings.data)
    except OSError as error:
        raise DevError(f"{settings.data} can not be made: {error.strerror}. Set STAKEHOLD_DATA.") from None
    with _only_one(settings.data), listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        stores = _stores(settings)
        environ = {**environ, "JWT_SECRET": _jwt_secret(settings), "PORT": str(port)}
        servers: list[ServerChild] = []
        supervisor = Supervisor(stores, servers, listener, announce, drain_s=settings.drain_s)
        with supervisor.signals():
            try:
                for store in stores:
                    store.start()
                environ |= _store_addresses(stores)
                settings = load_settings(environ, production=False)
                _write_run_file(settings.data, environ, address)
                asyncio.run(_set_up(settings))
                for number in range(1, settings.processes + 1):
                    servers.append(
                        ServerChild(number, listener, environ, production=False, stop_s=settings.stop_s)
                    )
                supervisor.start_servers()
                if all(server.wait_until_ready() for server in servers) and not supervisor.told_to_stop:
                    announce(_welcome(address) + exposure(host))
                return supervisor.watch()
            finally:
                announce("Stopping")
                supervisor.stop()
                (settings.data / "run.json").unlink(missing_ok=True)


def running_dev(data: Path) -> dict[str, Any]:
    """What the `dev` that runs on `data` says of itself; empty when none does."""
    with contextlib.suppress(OSError, ValueError):
        lock = (data / "lock").open("r")
        with lock:
            if _locks(lock):
                return {}
        with os.fdopen(os.open(data / "run.json", os.O_RDONLY | os.O_NOFOLLOW)) as file:
            if not _is_ours_alone(os.fstat(file.fileno())):
                return {}
            said: dict[str, Any] = json.load(file)
            return said
    return {}


def _is_ours_alone(status: os.stat_result) -> bool:
    """Whether nobody else could have written a file. Passwords that a command is given go where it says."""
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def with_running_dev(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with the stores of the `dev` that runs here where it names none of its own."""
    if environ.get("DATABASE_URL"):
        return dict(environ)
    data = Path(environ.get("STAKEHOLD_DATA") or ".stakehold").expanduser().resolve()
    said = running_dev(data)
    return {**said.get("environment", {}), **{name: value for name, value in environ.items() if value}}


@contextlib.contextmanager
def _only_one(data: Path) -> Any:
    """Hold the data directory's lock, which the system releases when the process ends, however it does."""
    with os.fdopen(os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        if not _locks(lock):
            said = running_dev(data)
            where = f": process {said['pid']}, {said['address']}" if said else ""
            raise DevError(f"Another `stakehold dev` runs on {data}{where}. It was left alone.")
        yield


def _locks(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stores(settings: Settings) -> Sequence[EmbeddedPostgres | EmbeddedValkey]:
    stores: list[EmbeddedPostgres | EmbeddedValkey] = []
    if not settings.database_url:
        stores.append(EmbeddedPostgres(settings.data, announce=announce))
    if not settings.redis:
        stores.append(EmbeddedValkey(settings.data))
    return stores


def _store_addresses(stores: Sequence[EmbeddedPostgres | EmbeddedValkey]) -> dict[str, str]:
    return {
        "DATABASE_URL" if isinstance(store, EmbeddedPostgres) else "REDIS_URL": store.url for store in stores
    }


def _jwt_secret(settings: Settings) -> str:
    """The given secret, with a word about a weak one; else one that is made once and kept."""
    if not settings.jwt_secret:
        return kept_secret(settings.data / "jwt-secret")
    try:
        check_jwt_secret(settings.jwt_secret)
    except ValueError as error:
        announce(f"`stakehold serve` would refuse JWT_SECRET: {error}")
        # PyJWT would say so again with every token.
        warnings.filterwarnings("ignore", module="jwt")
    return settings.jwt_secret


def _write_run_file(data: Path, environ: Mapping[str, str], address: str) -> None:
    """Let the command line find the stores of this `dev`. It has passwords in it, so it is ours alone."""
    kept = ("DATABASE_URL", "REDIS_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "JWT_SECRET")
    said = {
        "pid": os.getpid(),
        "address": address,
        "environment": {name: environ[name] for name in kept if environ.get(name)},
    }
    write_private(data / "run.json", json.dumps(said))


class _Nowhere:
    """A log stream for set-up, whose lines are of no interest."""

    def write(self, data: bytes, /) -> object:
        return len(data)

    def flush(self) -> None:
        return


async def _set_up(settings: Settings) -> None:
    """Migrate, and make the demo user unless it is there. Raises DevError, MigrationError."""
    try:
        await migrate(settings.database_url, clock=SystemClock(), entropy=SystemEntropy())
    except OSError as error:
        raise DevError(f"The database of DATABASE_URL does not answer: {type(error).__name__}.") from None
    stream: Stream = _Nowhere()
    container = await build_container(settings, log_stream=stream)
    try:
        # Its password is one of the commonest, which nobody could choose: so this does not sign it up.
        await add_user(
            container.services,
            normalise_username(DEMO_USERNAME),
            normalise_password(DEMO_PASSWORD),
            Deadline.after(container.services.clock, _SETUP_TIMEOUT_S),
        )
    except ConflictError:
        pass
    except StakeholdError as error:
        raise DevError(f"The demo user could not be made: {error.detail}") from None
    finally:
        await close_container(container)


def exposure(host: str) -> str:
    """What to say of serving on this address: a warning, unless only this machine can reach it."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ""
    return (
        f"\n{host} can be reached from the network, and everybody knows the password of {DEMO_USERNAME}.\n"
        "For other people there is `stakehold serve`.\n"
    )


def _welcome(address: str) -> str:
    sign_in = f'{{"username": "{DEMO_USERNAME}", "password": "{DEMO_PASSWORD}"}}'
    return f"""
Stakehold serves on {address}
Documentation:      {address}/docs

Three calls to copy:

  TOKEN=$(curl -s {address}/api/auth -H 'Content-Type: application/json' \\
    -d '{sign_in}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')

  curl -s {address}/api/stake -H "Authorization: Bearer $TOKEN" \\
    -H 'Content-Type: application/json' -d '{{"amount": 1000, "period": 12}}'

  curl -s '{address}/api/stake?page=1&limit=10' -H "Authorization: Bearer $TOKEN"

Ctrl-C stops it.
"""
