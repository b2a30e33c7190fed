"""Processes of the service inside the test's own: started, asked, killed in the middle, and forgotten."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import httpx

from stakehold.database.pool import Pool
from stakehold.database.port import Database
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Clock, Entropy
from stakehold.http.app import create_app
from stakehold.redis.port import Redis
from stakehold.runtime.container import NativeContainer, build_container
from stakehold.runtime.settings import load_settings
from stakehold.security.passwords import Scrypt
from tests.stateful.machine.faults import CALM, Fate, Faults, FaultyDatabase, FaultyRedis
from tests.stateful.machine.stores import Stores
from tests.support.fakes import CheapScrypt, CountingCounters, HeldBackground, ManualClock, SeededEntropy
from tests.support.native import JWT_SECRET
from tests.support.postgres_proxy import PostgresProxy

ANSWER_TIMEOUT_S: Final = 30.0
"""Far more than a request may take: one that takes this long hangs."""

RETURN_TIMEOUT_S: Final = 20.0
POOL_SIZE: Final = 4

ROOMY: Final = ",".join(
    f"{name}=1000000"
    for name in (
        "auth", "stake-create", "stake-read", "global", "sign-up", "refresh", "account", "plan-read",
        "auth-failure", "quote", "stake-change", "ledger-read", "statement", "admin",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Outside:
    """What one process of the service is built from: settings, clock, randomness, and faulty stores."""

    settings: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    database: Database
    redis: Redis
    scrypt: Scrypt


ServiceFactory = Callable[[Outside], Awaitable[NativeContainer]]
"""Builds one process of the service; called again after each crash."""


async def build_service(outside: Outside) -> NativeContainer:
    """The service as it is."""
    return await build_container(
        load_settings(outside.settings, production=True),
        clock=outside.clock,
        entropy=outside.entropy,
        database=outside.database,
        redis=outside.redis,
        scrypt=outside.scrypt,
        log_stream=BytesIO(),
    )


class World:
    """The clock, the stores and the proxy that all processes of one example share."""

    def __init__(
        self, stores: Stores, proxy: PostgresProxy, service_factory: ServiceFactory, limits: str = ROOMY
    ) -> None:
        self.stores = stores
        self.proxy = proxy
        self.clock = ManualClock()
        self.settings: dict[str, str] = {}
        """What processes are told beside the stores and limits."""
        self._service_factory = service_factory
        self._limits = limits
        self._started = 0
        self._last_us = 0
        self._app = create_app()

    async def begin(self, now_ms: int) -> None:
        """Empty the stores and set everybody's time."""
        self.clock = ManualClock(now_ms)
        self._started = self._last_us = 0
        await self.stores.begin(now_ms)

    async def advance(self, seconds: float) -> None:
        """Move everybody's time on."""
        self.clock.advance(seconds)
        await self.stores.follow(self.clock.now_ms())

    def redis_now_us(self) -> int:
        """Redis' time: never twice the same, as if a microsecond passed from script to script."""
        self._last_us = max(self._last_us + 1, self.clock.now_ms() * 1000)
        return self._last_us

    async def start_process(self) -> "Process":
        """Another process, which remembers nothing."""
        self._started += 1
        fate, entropy, counters = Fate(), SeededEntropy(self._started), CountingCounters()
        pool = Pool(self.proxy.url, size=POOL_SIZE, clock=self.clock, entropy=entropy, counters=counters)
        outside = Outside(
            settings={
                "JWT_SECRET": JWT_SECRET,
                "DATABASE_URL": self.stores.urls.database,
                "REDIS_URL": self.stores.urls.redis,
                "STAKEHOLD_PROCESSES": "1",
                "STAKEHOLD_LIMITS": self._limits,
                **self.settings,
            },
            clock=self.clock,
            entropy=entropy,
            database=FaultyDatabase(pool, self.proxy, fate, self.clock),
            redis=FaultyRedis(self.stores.urls.redis, self.stores, fate, self.redis_now_us),
            scrypt=CheapScrypt(),
        )
        container = await self._service_factory(outside)
        return Process(self._app, container, fate)


class Process:
    """One process. Work behind its answers waits until it is told to run."""

    def __init__(self, app: Any, container: NativeContainer, fate: Fate) -> None:
        self.fate = fate
        self.background = HeldBackground()
        services = dataclasses.replace(container.services, background=self.background)
        self.container = dataclasses.replace(container, services=services)

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = {"container": self.container}
            await app(scope, receive, send)

        transport = httpx.ASGITransport(app=with_state, client=("192.0.2.1", 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://stakehold.test")

    async def ask(self, request: httpx.Request, faults: Faults = CALM) -> httpx.Response | None:
        """The answer; None when the process died before it gave one."""
        self.fate.meet(faults)
        answering = asyncio.ensure_future(self._client.send(request))
        dying = asyncio.ensure_future(self.fate.killed.wait())
        try:
            await asyncio.wait(
                {answering, dying}, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if self.fate.killed.is_set():
                return None
            assert answering.done(), f"{request.method} {request.url.path} hangs"
            return answering.result()
        finally:
            for task in (answering, dying):
                task.cancel()
            await asyncio.gather(answering, dying, return_exceptions=True)
            self.fate.rest()

    def build_request(self, method: str, path: str, **options: Any) -> httpx.Request:
        """A request, as httpx builds it."""
        return self._client.build_request(method, path, **options)

    @property
    def finds_redis(self) -> bool:
        """Whether it knows of no loss of Redis that it has not made good."""
        return self.container.services.gate.state == "up"

    async def find_redis(self) -> None:
        """Ask until Redis has been found again. It must be there."""
        async with asyncio.timeout(RETURN_TIMEOUT_S):
            while not self.finds_redis:
                await self.ask(self.build_request("GET", "/api/plans"))
                await asyncio.sleep(0.002)

    async def finish_background(self) -> None:
        """Do what was left for after the answers; a store may be away then, and it is left undone."""
        while True:
            try:
                await self.background.run()
                return
            except StakeholdError:
                continue

    async def kill(self) -> None:
        """End at once: nothing is said to any store any more, and nothing remembered."""
        self.fate.killed.set()
        self.background.drop()
        container = self.container
        container.counting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await container.counting
        await container.tasks.close(0)
        await container.ring.close()
        await container.services.database.close()
        await self._client.aclose()
