"""Builds what the service needs from its settings, natively; everything outside can be given instead."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from stakehold.database.pool import Pool
from stakehold.database.port import Database
from stakehold.domain.ports import Clock, Counters, Entropy
from stakehold.gate import Gate, Policies
from stakehold.http.container import Container, never_draining
from stakehold.redis.port import Redis
from stakehold.redis.resp import RespRedis
from stakehold.redis.ring import Ring
from stakehold.redis.upstash import UpstashRedis
from stakehold.runtime.addresses import client_address_reader
from stakehold.runtime.background import TaskBackground
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.settings import RedisAddress, Settings, cores
from stakehold.security.passwords import PasswordHasher, Scrypt
from stakehold.security.quotes import QuoteSigner
from stakehold.security.threaded_scrypt import ThreadedScrypt
from stakehold.security.tokens import AccessTokens
from stakehold.services.context import Services
from stakehold.telemetry.logs import JsonLog, Stream
from stakehold.telemetry.metrics import Metrics
from stakehold.telemetry.threaded_stream import ThreadedStream

COUNTERS_INTERVAL_S: Final = 60.0
HASHES_WAITING_PER_CORE: Final = 10
"""Some 0.3 s each: who would wait longer than 3 s is refused instead."""

CLOSE_TIMEOUT_S: Final = 5.0

STANDARD_OUTPUT: Final = 1
"""The descriptor itself: a thread stuck in `sys.stdout` holds its lock, which the process' end waits for."""

LOG_CLOSE_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class NativeContainer(Container):
    """The container, and what closing it takes apart."""

    metrics: Metrics = field(kw_only=True)
    tasks: TaskBackground = field(kw_only=True)
    ring: Ring = field(kw_only=True)
    close_scrypt: Callable[[], None] = field(kw_only=True)
    close_stream: Callable[[], None] = field(kw_only=True)
    counting: asyncio.Task[None] = field(kw_only=True)


async def build_container(
    settings: Settings,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    database: Database | None = None,
    redis: Redis | None = None,
    scrypt: Scrypt | None = None,
    log_stream: Stream | None = None,
    draining: Callable[[], bool] = never_draining,
) -> NativeContainer:
    """Everything a server process, or the command line, works with; needs a running event loop.

    Connects to nothing that it could not do without: a store that is away is found again later. What is given
    is used in place of what the settings say, and `redis` is then the only member of the ring.
    """
    clock, entropy, metrics = clock or SystemClock(), entropy or SystemEntropy(), Metrics()
    close_stream: Callable[[], None] = _nothing
    if log_stream is None:
        log_stream = stream = ThreadedStream(os.fdopen(STANDARD_OUTPUT, "wb", buffering=0, closefd=False))
        close_stream = partial(stream.close, LOG_CLOSE_TIMEOUT_S)
    log = JsonLog(log_stream, clock)
    tasks = TaskBackground(log=log, counters=metrics)
    ring = Ring([redis], ["given"]) if redis else _ring(settings.redis, clock, entropy, metrics)
    gate = _gate(settings, ring, clock, entropy, metrics, tasks)
    scrypt, close_scrypt = (scrypt, _nothing) if scrypt else _threaded_scrypt(settings.processes)
    services = Services(
        clock=clock,
        entropy=entropy,
        counters=metrics,
        background=tasks,
        database=database or _pool(settings, clock, entropy, metrics),
        gate=gate,
        passwords=PasswordHasher(scrypt=scrypt, entropy=entropy),
        tokens=_tokens(settings, clock, entropy),
        quotes=QuoteSigner(secret=settings.jwt_secret, previous_secret=settings.jwt_secret_previous),
        sign_up_open=settings.sign_up_open,
        funding=settings.funding,
        refresh_ttl_s=settings.refresh_ttl_s,
    )
    await gate.start()
    return NativeContainer(
        services=services,
        log=log,
        client_address=client_address_reader(settings.trusted_proxies),
        cors_origins=settings.cors_origins,
        hsts=settings.hsts,
        draining=draining,
        metrics=metrics,
        tasks=tasks,
        ring=ring,
        close_scrypt=close_scrypt,
        close_stream=close_stream,
        counting=asyncio.create_task(_log_counters(log, metrics)),
    )


async def close_container(container: NativeContainer, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
    """Await the work behind answers, then close the pools; the log last. Requests have ended before."""
    services = container.services
    container.counting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await container.counting
    # The gate first: it stops looking for a Redis that is away, which is work that would never end.
    await services.gate.close()
    await container.tasks.close(timeout_s)
    await container.ring.close()
    await services.database.close()
    container.close_scrypt()
    container.log.write("counters", process=os.getpid(), counts=container.metrics.counted())
    container.log.close()
    container.close_stream()


def connect_redis(address: RedisAddress, clock: Clock, entropy: Entropy, counters: Counters) -> Redis:
    """A client of one Redis, by the transport that its address asks for."""
    if address.token is None:
        return RespRedis(address.url, clock=clock, entropy=entropy, counters=counters)
    # Imported here because it takes a fifth of a second, which only those who use it should wait.
    from stakehold.redis.aiohttp_sender import AiohttpSender

    return UpstashRedis(
        address.url,
        address.token,
        sender=AiohttpSender(),
        clock=clock,
        entropy=entropy,
        counters=counters,
    )


def _ring(addresses: tuple[RedisAddress, ...], clock: Clock, entropy: Entropy, counters: Counters) -> Ring:
    members = [connect_redis(address, clock, entropy, counters) for address in addresses]
    return Ring(members, [address.name for address in addresses])


def _gate(
    settings: Settings, ring: Ring, clock: Clock, entropy: Entropy, counters: Counters, tasks: TaskBackground
) -> Gate:
    return Gate(
        ring,
        policies=Policies(settings.limits),
        clock=clock,
        entropy=entropy,
        counters=counters,
        background=tasks,
        processes=settings.processes,
        ring_epoch=settings.ring_epoch,
    )


def _threaded_scrypt(processes: int) -> tuple[Scrypt, Callable[[], None]]:
    threads = max(1, cores() // processes)
    scrypt = ThreadedScrypt(max_concurrent=threads, max_waiting=threads * HASHES_WAITING_PER_CORE)
    return scrypt, scrypt.close


def _pool(settings: Settings, clock: Clock, entropy: Entropy, counters: Counters) -> Pool:
    return Pool(
        settings.database_url, size=settings.pool_size, clock=clock, entropy=entropy, counters=counters
    )


def _tokens(settings: Settings, clock: Clock, entropy: Entropy) -> AccessTokens:
    return AccessTokens(
        secret=settings.jwt_secret,
        previous_secret=settings.jwt_secret_previous,
        clock=clock,
        entropy=entropy,
    )


def _nothing() -> None:
    """What closes a scrypt or a stream that is not ours."""


async def _log_counters(log: JsonLog, metrics: Metrics) -> None:
    """Write the counters now and then, when they have changed."""
    written: dict[str, int] = {}
    while True:
        await asyncio.sleep(COUNTERS_INTERVAL_S)
        counted = metrics.counted()
        if counted != written:
            log.write("counters", process=os.getpid(), counts=counted)
            written = counted
