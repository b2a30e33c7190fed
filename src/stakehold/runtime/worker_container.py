"""What a Worker works with: an isolate's own, made at its first request, and each request's view of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from js import console

from stakehold.database.connecting import SERVER_SETTINGS
from stakehold.database.single import SingleConnection
from stakehold.domain.ports import Clock, Deadline
from stakehold.gate import Gate, Policies
from stakehold.http.container import Container
from stakehold.redis.ring import Ring
from stakehold.redis.upstash import UpstashRedis
from stakehold.runtime.addresses import client_address_reader
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.settings import SETTINGS, RedisAddress, Settings, SettingsError, load_worker_settings
from stakehold.runtime.worker_background import NoBackground, WaitUntilBackground
from stakehold.runtime.worker_fetch import FetchSender
from stakehold.runtime.worker_limits import BindingLimiter
from stakehold.runtime.worker_scrypt import NodeScrypt
from stakehold.runtime.worker_webhooks import worker_webhook
from stakehold.security.passwords import PasswordHasher
from stakehold.security.quotes import QuoteSigner
from stakehold.security.tokens import AccessTokens
from stakehold.services.context import Services
from stakehold.telemetry.logs import JsonLog
from stakehold.telemetry.metrics import Metrics

COUNTERS_INTERVAL_S: Final = 60.0
"""The counters are written with a request, when the last time is so long ago and they have changed."""


PORT_MAX: Final = 65535


class HyperdriveError(SettingsError):
    """What is bound as HYPERDRIVE is no Hyperdrive."""

    def __init__(self) -> None:
        super().__init__(["HYPERDRIVE: this is no binding of Hyperdrive's."])

    @property
    def names(self) -> list[str]:
        """It is a binding, and none of SETTINGS."""
        return ["HYPERDRIVE"]


class ConsoleStream:
    """Where a Worker's log goes: `console.log`, a call for each line."""

    def write(self, data: bytes, /) -> None:
        """Take whole lines."""
        for line in data.decode().rstrip("\n").split("\n"):
            console.log(line)

    def flush(self) -> None:
        """Nothing is kept back."""


class Isolate:
    """What all requests of an isolate share. Nothing in it is I/O of a request, or waits for one."""

    def __init__(self, env: Any, clock: Clock | None = None) -> None:
        """Raises SettingsError. `env` is the first request's; every request has the same one."""
        self.log = worker_log(clock)
        self.metrics = Metrics()
        self._clock = clock = clock or SystemClock()
        self._env = env
        self._hyperdrive = getattr(env, "HYPERDRIVE", None) is not None
        if self._hyperdrive and not _is_hyperdrive(env.HYPERDRIVE):
            raise HyperdriveError
        settings = load_worker_settings(_environ(env), hyperdrive=self._hyperdrive)
        self._database_url = settings.database_url
        entropy = SystemEntropy()
        self._id = entropy.random_bytes(8).hex()
        self._written: dict[str, int] = {}
        self._written_at_s = clock.monotonic_s()
        self.webhook = worker_webhook(settings)
        self._container = self._make_container(settings, clock, entropy)

    def for_request(self) -> "Handling":
        """A request's view: its own connection and background work, all else shared."""
        return Handling(self, self._container)

    def where_database(self) -> Mapping[str, Any]:
        """asyncpg's arguments; to be asked in the request that connects, as Hyperdrive's binding wants."""
        if not self._hyperdrive:
            return {
                "dsn": self._database_url,
                "server_settings": SERVER_SETTINGS,
                "statement_cache_size": 0,
            }
        binding = self._env.HYPERDRIVE
        # The way to Hyperdrive is private, and it speaks TLS to the database itself. It pools by transaction,
        # so that nothing set for a session lasts: timeouts are the database role's own (docs/deploy.md).
        return {
            "host": binding.host,
            "port": binding.port,
            "user": binding.user,
            "password": binding.password,
            "database": binding.database,
            "ssl": False,
            "statement_cache_size": 0,
        }

    def write_counters(self, *, due_only: bool = True) -> None:
        """Write the isolate's counters to the log: now and then, since no timer outlives a request."""
        now_s = self._clock.monotonic_s()
        if due_only and now_s - self._written_at_s < COUNTERS_INTERVAL_S:
            return
        self._written_at_s = now_s
        counted = self.metrics.counted()
        if counted != self._written:
            self._written = counted
            self.log.write("counters", isolate=self._id, counts=counted)

    def _make_container(self, settings: Settings, clock: Clock, entropy: SystemEntropy) -> Container:
        metrics = self.metrics
        policies = Policies(settings.limits)
        background = NoBackground(metrics)
        gate = Gate(
            self._ring(settings.redis, clock, entropy),
            policies=policies,
            clock=clock,
            entropy=entropy,
            counters=metrics,
            background=background,
            processes=settings.processes,
            ring_epoch=settings.ring_epoch,
            serverless=True,
            away=BindingLimiter(self._env, policies.all()),
        )
        services = Services(
            clock=clock,
            entropy=entropy,
            counters=metrics,
            background=background,
            database=SingleConnection(self.where_database, counters=metrics),
            gate=gate,
            passwords=PasswordHasher(scrypt=NodeScrypt(clock), entropy=entropy),
            tokens=AccessTokens(
                secret=settings.jwt_secret,
                previous_secret=settings.jwt_secret_previous,
                clock=clock,
                entropy=entropy,
            ),
            quotes=QuoteSigner(secret=settings.jwt_secret, previous_secret=settings.jwt_secret_previous),
            sign_up_open=settings.sign_up_open,
            funding=settings.funding,
            refresh_ttl_s=settings.refresh_ttl_s,
        )
        return Container(
            services=services,
            log=self.log,
            # The peer that worker_asgi.py gives is the client as the platform names it.
            client_address=client_address_reader(trusted_proxies=0),
            cors_origins=settings.cors_origins,
            hsts=settings.hsts,
        )

    def _ring(self, addresses: tuple[RedisAddress, ...], clock: Clock, entropy: SystemEntropy) -> Ring:
        members = [
            UpstashRedis(
                address.url,
                address.token or "",
                sender=FetchSender(),
                clock=clock,
                entropy=entropy,
                counters=self.metrics,
            )
            for address in addresses
        ]
        return Ring(members, [address.name for address in addresses])


class Handling:
    """One request, or one run of the cron handler: its container, and what is to end with it."""

    def __init__(self, isolate: Isolate, shared: Container) -> None:
        counters = shared.services.counters
        self._isolate = isolate
        self._database = SingleConnection(isolate.where_database, counters=counters)
        self._background = WaitUntilBackground(log=shared.log, counters=counters)
        services = replace(shared.services, database=self._database, background=self._background)
        self.container = replace(shared, services=services)

    def deadline(self, seconds: float) -> Deadline:
        """A moment `seconds` from now."""
        return Deadline.after(self.container.services.clock, seconds)

    async def finish(self) -> None:
        """After the answer: do what was left to be done, then close the connection."""
        await self._background.finish()
        await self._database.close()
        self._isolate.write_counters()


def worker_log(clock: Clock | None = None) -> JsonLog:
    """The log of a Worker, where each line is written as it comes."""
    return JsonLog(ConsoleStream(), clock or SystemClock(), collect=False)


def _is_hyperdrive(binding: Any) -> bool:
    port = getattr(binding, "port", None)
    texts = [getattr(binding, name, None) for name in ("host", "user", "password", "database")]
    return isinstance(port, int) and 0 < port <= PORT_MAX and all(isinstance(text, str) for text in texts)


def _environ(env: Any) -> dict[str, str]:
    """Those variables and secrets of `env` that are settings.

    Raises SettingsError for one that is no text: `false` or `3` in wrangler.jsonc would otherwise be as if it
    was not there.
    """
    given = {setting.name: getattr(env, setting.name, None) for setting in SETTINGS}
    others = [name for name, value in given.items() if not (value is None or isinstance(value, str))]
    if others:
        raise SettingsError([f"{name}: a setting is a text, in quotes." for name in others])
    return {name: value for name, value in given.items() if value is not None}
