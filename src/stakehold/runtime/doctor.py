"""`stakehold doctor`: looks at what the service rests on, and says what to do about each."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

from stakehold.database.health import Overdue, overdue, server_facts
from stakehold.database.migrate import MigrationError
from stakehold.database.single import SingleConnection
from stakehold.domain.errors import ExternalServiceError, StakeholdError
from stakehold.domain.ports import Clock, Deadline, Entropy
from stakehold.domain.timing import REDIS_TIMEOUT_S, REQUEST_DEADLINE_S, STATEMENT_TIMEOUT_S
from stakehold.redis.port import Redis, RedisReplyError, Script
from stakehold.runtime.container import connect_redis
from stakehold.runtime.settings import RedisAddress, Settings, SettingsError, load_settings
from stakehold.security.secrets import secret_warnings
from stakehold.telemetry.metrics import Metrics

SKEW_WARN_MS: Final = 500
SKEW_FAIL_MS: Final = 5000
MEMORY_WARN_SHARE: Final = 0.8
OVERDUE_WARN_S: Final = 600
"""Servers do a round of upkeep twice a minute, the Worker's cron one."""

_SCRIPT: Final = Script("return 'ran'")

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, how it is, and what to do about it."""

    level: Level
    subject: str
    state: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level:4}  {self.subject}: {self.state}" + (f" → {self.advice}" if self.advice else "")


async def examine(environ: Mapping[str, str], *, clock: Clock, entropy: Entropy) -> AsyncIterator[Finding]:
    """Everything that `serve` would rest on with this environment, one finding after the other."""
    try:
        load_settings(environ, production=True)
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("fail", "settings", problem, "docs/operations.md has them all.")
    else:
        yield Finding("ok", "settings", "complete")
    try:
        settings = load_settings(environ, production=False)
    except SettingsError:
        return
    if settings.jwt_secret:
        for warning in secret_warnings(settings.jwt_secret):
            yield Finding("warn", "JWT_SECRET", warning)
    for finding in _transport(settings, environ):
        yield finding
    if settings.database_url:
        async for finding in _database(settings, clock):
            yield finding
    for address in settings.redis:
        redis = connect_redis(address, clock, entropy, Metrics())
        try:
            async for finding in _redis(redis, address, clock):
                yield finding
        finally:
            await redis.close()


def _transport(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which stores on other machines are reached without TLS, or by TLS that takes anybody for them."""
    parts = urlsplit(settings.database_url)
    mode = dict(parse_qsl(parts.query)).get("sslmode") or environ.get("PGSSLMODE") or "prefer"
    if _is_elsewhere(parts.hostname) and mode != "verify-full":
        state = f"whether it is the right one is not checked (sslmode={mode})"
        yield Finding("warn", "database", state, "Add sslmode=verify-full to DATABASE_URL.")
    for address in settings.redis:
        parts = urlsplit(address.url)
        if _is_elsewhere(parts.hostname) and parts.scheme in ("redis", "http"):
            advice = f"Use {parts.scheme}s://: its password, or token, goes over the network as it is."
            yield Finding("warn", f"Redis {address.name}", "is reached without TLS", advice)


def _is_elsewhere(host: str | None) -> bool:
    """Whether a host is another machine. Without one it is a socket of this machine's."""
    if not host or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


async def _database(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    # Asking for nothing at connecting, as through Hyperdrive: what holds then is the role's and database's.
    database = SingleConnection(lambda: {"dsn": settings.database_url}, counters=Metrics())
    deadline = Deadline.after(clock, REQUEST_DEADLINE_S)
    try:
        async with database.connection(deadline) as connection:
            await connection.fetchval("SELECT 1")
            before_ms = clock.now_ms()
            facts = await server_facts(connection)
            here_ms = (before_ms + clock.now_ms()) // 2
            behind = None if facts.pending_migrations else await overdue(connection)
    except StakeholdError as error:
        cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
        yield Finding("fail", "database", f"does not answer{cause}", "Check DATABASE_URL, and that it runs.")
        return
    except MigrationError as error:
        yield Finding("fail", "migrations", str(error))
        return
    finally:
        await database.close()
    yield Finding("ok", "database", facts.version.partition(" on ")[0])
    if facts.default_isolation == "serializable":
        yield Finding("ok", "isolation", "serializable by default")
    else:
        yield Finding("fail", "isolation", f"{facts.default_isolation} by default", "Run: stakehold migrate")
    if facts.pending_migrations:
        names = ", ".join(facts.pending_migrations)
        yield Finding("fail", "migrations", f"pending: {names}", "Run: stakehold migrate")
    else:
        yield Finding("ok", "migrations", "all applied")
    yield _skew("database", facts.now_ms - here_ms)
    if behind:
        for finding in _upkeep(behind, has_webhook=bool(settings.webhook_url)):
            yield finding
    if any(address.token for address in settings.redis):
        # Upstash: this may be a Worker's environment.
        yield _own_timeout(facts.statement_timeout_ms)


def _upkeep(behind: Overdue, *, has_webhook: bool) -> Iterator[Finding]:
    """Whether somebody settles what is due, and tells of it."""
    if behind.stake_s < OVERDUE_WARN_S:
        yield Finding("ok", "settlement", "no stake is overdue")
    else:
        state = f"a stake has been due for {behind.stake_s / 60:.0f} minutes"
        advice = "Have `serve` or the Worker's cron run, and see their logs; or run: stakehold settle"
        yield Finding("warn", "settlement", state, advice)
    if has_webhook and behind.event_s >= OVERDUE_WARN_S:
        state = f"an event has been due for {behind.event_s / 60:.0f} minutes"
        advice = (
            "Have `serve` or the Worker's cron run; stakehold webhooks list says what the receiver answers."
        )
        yield Finding("warn", "webhook", state, advice)


def _own_timeout(timeout_ms: int) -> Finding:
    """Whether statements end in time where no session can be told to, as behind Hyperdrive."""
    if 0 < timeout_ms <= STATEMENT_TIMEOUT_S * 1000:
        return Finding("ok", "statement timeout", f"{timeout_ms} ms of the role's or database's own")
    state = f"{timeout_ms} ms of its own" if timeout_ms else "the role has none of its own"
    advice = f"Workers need the role's statement_timeout: {STATEMENT_TIMEOUT_S:g}s (docs/deploy.md)."
    return Finding("warn", "statement timeout", state, advice)


async def _redis(redis: Redis, address: RedisAddress, clock: Clock) -> AsyncIterator[Finding]:
    subject = f"Redis {address.name}"
    try:
        await redis.command("PING", timeout_s=REDIS_TIMEOUT_S)
        await redis.script(_SCRIPT, [], [], REDIS_TIMEOUT_S)
        before_ms = clock.now_ms()
        time = await redis.command("TIME", timeout_s=REDIS_TIMEOUT_S)
        here_ms = (before_ms + clock.now_ms()) // 2
    except ExternalServiceError as error:
        yield Finding("fail", subject, f"does not serve: {error}", "Check its address, password and network.")
        return
    yield Finding("ok", subject, "answers, and runs scripts")
    assert isinstance(time, list)
    seconds, microseconds = (int(part) for part in time if isinstance(part, bytes))
    yield _skew(subject, seconds * 1000 + microseconds // 1000 - here_ms)
    facts = {**await _info(redis, "memory"), **await _info(redis, "persistence")}
    yield _eviction(subject, facts)
    yield _persistence(subject, facts)
    yield _memory(subject, facts)


async def _info(redis: Redis, section: str) -> dict[str, str]:
    """A section of INFO; empty where the server does not have the command."""
    try:
        reply = await redis.command("INFO", section, timeout_s=REDIS_TIMEOUT_S)
    except RedisReplyError:
        return {}
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
    return dict(re.findall(r"^([a-z0-9_]+):(.*?)\r?$", text, re.MULTILINE))


def _skew(subject: str, skew_ms: int) -> Finding:
    state = f"clock {abs(skew_ms)} ms {'ahead of' if skew_ms > 0 else 'behind'} this machine's"
    if abs(skew_ms) <= SKEW_WARN_MS:
        return Finding("ok", subject, state)
    level: Level = "warn" if abs(skew_ms) <= SKEW_FAIL_MS else "fail"
    return Finding(level, subject, state, "Have both machines' clocks set by NTP.")


def _eviction(subject: str, facts: Mapping[str, str]) -> Finding:
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return Finding("warn", subject, "does not tell its eviction policy", "See that eviction is off.")
    if policy == "noeviction":
        return Finding("ok", subject, "evicts nothing")
    advice = "Set maxmemory-policy noeviction: an evicted log forgets who was charged."
    return Finding("warn", subject, f"evicts by {policy}", advice)


def _persistence(subject: str, facts: Mapping[str, str]) -> Finding:
    if facts.get("aof_enabled") == "1":
        return Finding("ok", subject, "keeps an append-only file")
    if "aof_enabled" not in facts:
        return Finding("ok", subject, "keeps its data as its operator has arranged")
    advice = "Set appendonly yes, or accept that limits begin anew after its restart."
    return Finding("warn", subject, "keeps no append-only file", advice)


def _memory(subject: str, facts: Mapping[str, str]) -> Finding:
    used, most = (int(facts.get(name) or 0) for name in ("used_memory", "maxmemory"))
    if not most:
        return Finding("ok", subject, f"uses {used // 2**20} MiB, with no limit of its own")
    state = f"uses {used // 2**20} of {most // 2**20} MiB"
    if used < most * MEMORY_WARN_SHARE:
        return Finding("ok", subject, state)
    return Finding("warn", subject, state, "Raise maxmemory: a full Redis counts as one that is away.")
