"""What `scope["state"]["container"]` holds: the services, and what HTTP itself needs to know."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from stakehold.services.context import Services
from stakehold.telemetry.logs import JsonLog


def never_draining() -> bool:
    """The default of `Container.draining`."""
    return False


@dataclass(frozen=True, slots=True)
class Container:
    """Built by the runtime: at start natively, at an isolate's first request on Workers."""

    services: Services
    log: JsonLog
    client_address: Callable[[Scope], str]
    """The client's address as the platform gives it; the subject of limits for those not signed in."""
    cors_origins: frozenset[str] = frozenset()
    hsts: bool = False
    draining: Callable[[], bool] = never_draining
    """True once the process is about to stop: /readyz answers 503, everything else goes on."""
