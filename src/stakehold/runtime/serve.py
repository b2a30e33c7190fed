"""`stakehold serve`: the production server, all of whose settings come from the environment."""

import os
from collections.abc import Mapping

from stakehold.runtime.dev import announce
from stakehold.runtime.server import CONFIGURATION_EXIT
from stakehold.runtime.settings import load_settings
from stakehold.runtime.supervisor import ServerChild, Supervisor, listen


def run_serve(environ: Mapping[str, str]) -> int:
    """Serve until a signal comes, then stop gracefully; the exit status.

    Raises SettingsError, PortBusyError, OSError.
    """
    settings = load_settings(environ, production=True)
    with listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        environ = {**environ, "STAKEHOLD_PROCESSES": str(settings.processes)}
        servers = [
            ServerChild(number, listener, environ, production=True, stop_s=settings.stop_s)
            for number in range(1, settings.processes + 1)
        ]
        supervisor = Supervisor((), servers, listener, announce, drain_s=settings.drain_s)
        with supervisor.signals():
            try:
                supervisor.start_servers()
                announce(
                    f"Serving on {host} port {port}, {settings.processes} processes; process {os.getpid()}"
                )
                status = supervisor.watch()
            finally:
                supervisor.stop()
    if status == CONFIGURATION_EXIT:
        announce("The database is not at this version: run `stakehold migrate`, then start again.")
    return status
