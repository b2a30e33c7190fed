"""The runtimes that serve the HTTP tests: each runs the same service, from the same settings."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tests.support.native import running_service
from tests.support.service import Service
from tests.support.worker import WorkerHost, running_worker


class Runtime(Protocol):
    """Starts services."""

    @property
    def name(self) -> str:
        """As the tests' ids have it."""
        ...

    def running(
        self, database_url: str, redis_url: str, settings: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Service]:
        """A service with these settings beside the stores."""
        ...


class Native:
    """What `stakehold serve` runs, in the tests' own process."""

    name = "native"

    def running(
        self, database_url: str, redis_url: str, settings: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Service]:
        """See Runtime."""
        return running_service(database_url, redis_url, settings)


class Worker:
    """What is deployed to Workers, in WebAssembly."""

    name = "worker"

    def __init__(self, host: WorkerHost) -> None:
        self._host = host

    def running(
        self, database_url: str, redis_url: str, settings: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Service]:
        """See Runtime. Redis is reached as Upstash is, unless the settings say where that is."""
        return running_worker(self._host, database_url, redis_url, settings)
