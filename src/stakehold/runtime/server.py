"""One server process: the container, the application, and a stop that loses no request.

Started by the supervisor with a listening socket that all server processes share:

    python -m stakehold.runtime.server --listen FD --ready FD --supervisor PID [--production]
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
import uvloop

from stakehold.database.migrate import MigrationError, pending
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import REQUEST_DEADLINE_S
from stakehold.http.app import create_app
from stakehold.runtime.container import NativeContainer, build_container, close_container
from stakehold.runtime.http_protocol import CONNECTIONS_MAX, BoundedHttpProtocol
from stakehold.runtime.settings import Settings, load_settings
from stakehold.runtime.upkeep import run_upkeep
from stakehold.telemetry.faults import describe_fault
from stakehold.telemetry.logs import JsonLog

CONFIGURATION_EXIT: Final = 78
"""The exit status (EX_CONFIG of sysexits.h) that says: starting me again will not help."""

KEEP_ALIVE_S: Final = 75
PARENT_CHECK_S: Final = 0.5
MIGRATIONS_CHECK_S: Final = 1.0
GC_THRESHOLD: Final = 20_000
_SPARE_FILES: Final = 512


class ServerProcess:
    """What runs in the process, from the first settings to the last log line."""

    def __init__(
        self, settings: Settings, listener: socket.socket, *, supervisor: int, production: bool
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._listener = listener
        self._production = production
        self._draining = False
        self._stop: asyncio.Task[None] | None = None
        self._exit_status = 0

    async def run(self, ready_fd: int) -> int:
        """Serve until told to stop; the exit status."""
        container = await build_container(self._settings, draining=lambda: self._draining)
        logging.basicConfig(handlers=[_ToLog(container.log)], level=logging.ERROR, force=True)
        server = _Server(self._uvicorn_config(container))
        watches = [asyncio.create_task(self._watch_parent(server, container.log))]
        try:
            if self._production and not await self._schema_is_current(container):
                watches.append(asyncio.create_task(self._watch_schema(server, container)))
            if self._exit_status:
                return self._exit_status
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._begin_stop, server, container.log)
            _settle_memory()
            os.write(ready_fd, b"1")
            os.close(ready_fd)
            container.log.write("serving", process=os.getpid())
            watches.append(asyncio.create_task(run_upkeep(container, self._settings)))
            await server.serve(sockets=[self._listener])
        finally:
            for watch in watches:
                watch.cancel()
            # Upkeep is under way in the stores that are closed next: it ends at its next wait.
            await asyncio.gather(*watches, return_exceptions=True)
            await close_container(container, self._stop_share_s(0.2))
        return self._exit_status

    def _uvicorn_config(self, container: NativeContainer) -> uvicorn.Config:
        app = create_app()
        state = {"container": container}

        async def with_container(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = state
            await app(scope, receive, send)

        return uvicorn.Config(
            with_container,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, int(self._stop_share_s(0.7))),
        )

    def _stop_share_s(self, share: float) -> float:
        """A share of the time that a stop may take after draining; a tenth of it is kept for the pools."""
        return (self._settings.stop_s - self._settings.drain_s) * share

    def _begin_stop(self, server: uvicorn.Server, log: JsonLog) -> None:
        if self._stop is None:
            self._stop = asyncio.create_task(self._drain(server, log))

    async def _drain(self, server: uvicorn.Server, log: JsonLog) -> None:
        """Unready first, so that balancers send no more; then stop accepting, finish what is under way."""
        self._draining = True
        log.write("stopping", process=os.getpid(), drain_s=self._settings.drain_s)
        await asyncio.sleep(self._settings.drain_s)
        server.should_exit = True

    async def _watch_parent(self, server: uvicorn.Server, log: JsonLog) -> None:
        """Stop when the supervisor is gone, even by kill -9: nobody would stop us otherwise."""
        while os.getppid() == self._supervisor:  # noqa: ASYNC110 - the system gives no event for it
            await asyncio.sleep(PARENT_CHECK_S)
        log.write("orphaned", level="warning", process=os.getpid())
        self._begin_stop(server, log)

    async def _schema_is_current(self, container: NativeContainer) -> bool:
        """Whether no migration is pending; False too while the database is away.

        When one is pending, the process is to end: no restart would help.
        """
        services = container.services
        try:
            missing = await services.read(pending, Deadline.after(services.clock, REQUEST_DEADLINE_S))
            problem = f"Migrations are pending: {', '.join(missing)}." if missing else ""
        except StakeholdError:
            container.log.write("database_away", level="warning", process=os.getpid())
            return False
        except MigrationError as error:
            problem = str(error)
        if problem:
            self._exit_status = CONFIGURATION_EXIT
            container.log.write(
                "schema_not_current", level="error", detail=f"{problem} Run: stakehold migrate"
            )
        return not problem

    async def _watch_schema(self, server: uvicorn.Server, container: NativeContainer) -> None:
        """Check the schema as soon as the database is back."""
        while not await self._schema_is_current(container):
            if self._exit_status:
                self._begin_stop(server, container.log)
                return
            await asyncio.sleep(MIGRATIONS_CHECK_S)


class _Server(uvicorn.Server):
    """uvicorn, leaving signals to us: it would stop accepting before anybody knows."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _ToLog(logging.Handler):
    """What libraries log, in our log."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fault = describe_fault(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        # asyncio adds lines that hold what exceptions say; describe_fault leaves that out on purpose.
        message = record.getMessage().partition("\n")[0]
        self._log.write("library", level="error", logger=record.name, message=message, **fault)


def _settle_memory() -> None:
    """Keep the collector away from what lives as long as the process: it halves the slowest percentile."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 50)


def _raise_file_limit() -> None:
    """As many open files as connections are allowed, if the system's hard limit permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--supervisor", type=int, required=True)
    parser.add_argument("--production", action="store_true")
    arguments = parser.parse_args()
    _raise_file_limit()
    listener = socket.socket(fileno=arguments.listen)
    settings = load_settings(os.environ, production=arguments.production)
    process = ServerProcess(
        settings, listener, supervisor=arguments.supervisor, production=arguments.production
    )
    sys.exit(uvloop.run(process.run(arguments.ready)))


if __name__ == "__main__":
    main()
