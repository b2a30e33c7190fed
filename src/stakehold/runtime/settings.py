"""Settings: what the environment may say. Only the runtime reads it, and only here.

SETTINGS is the one list of them; docs/operations.md shows it and a test holds the two together.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stakehold.database.stake_creation import Funding
from stakehold.gate import parse_limits
from stakehold.runtime.variables import (
    VariableReader,
    funding,
    is_address,
    origins,
    seconds_up_to,
    switch,
    whole_number,
)

CONNECTIONS_PER_CORE = 10
PROCESSES_MAX = 64
DAY_S = 24 * 3600

_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")
_REDIS_PORT = 6379
_HTTP_PORTS = {"https": 443, "http": 80}
_DATABASE_DIGITS_MAX = 12


class SettingsError(Exception):
    """The environment does not make sense; `problems` names each variable, and no secret's value."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    @property
    def names(self) -> list[str]:
        """The variables that the problems are about."""
        words = {word for problem in self.problems for word in _NAME.findall(problem)}
        return sorted(words & {setting.name for setting in SETTINGS})


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its default under `dev` and under `serve` (None: it must be given), and what it means."""

    name: str
    dev: str | None
    serve: str | None
    meaning: str


SETTINGS = (
    Setting("JWT_SECRET", "made and kept", None, "Signs access tokens (HS256): at least 32 random bytes."),
    Setting("JWT_SECRET_PREVIOUS", "", "", "The secret before this one: still verifies, while rotating."),
    Setting("DATABASE_URL", "embedded", None, "`postgresql://…` of PostgreSQL or CockroachDB."),
    Setting(
        "REDIS_URL",
        "embedded",
        "",
        "`redis://…` or `rediss://…` (TLS). Several, with spaces between, make a ring.",
    ),
    Setting(
        "UPSTASH_REDIS_REST_URL",
        "",
        "",
        "Upstash in place of `REDIS_URL`, of which one is needed. Several, with spaces between, make a ring.",
    ),
    Setting("UPSTASH_REDIS_REST_TOKEN", "", "", "Its token; as many as there are addresses, in their order."),
    Setting("PORT", "8000", "8000", "TCP port to serve on."),
    Setting("STAKEHOLD_HOST", "127.0.0.1", "127.0.0.1", "Address to serve on."),
    Setting("STAKEHOLD_PROCESSES", "1", "one a core", "Server processes; limits without Redis rest on it."),
    Setting(
        "STAKEHOLD_POOL_SIZE",
        "10 a core",
        "10 a core",
        "Database connections of each process; by default they share 10 a core.",
    ),
    Setting(
        "STAKEHOLD_LIMITS",
        "",
        "",
        "Other rate limits than the default, per minute or per given seconds: `auth=10,stake-read=60/30`.",
    ),
    Setting("STAKEHOLD_SIGN_UP", "on", "on", "`off` closes `POST /api/users`."),
    Setting(
        "FUNDING",
        "external",
        "external",
        "What pays for a stake: `external` is money from outside, `balance` what its owner has available.",
    ),
    Setting("STAKEHOLD_REFRESH_TTL_S", "2592000", "2592000", "Seconds a refresh token lives (30 days)."),
    Setting(
        "STAKEHOLD_CORS_ORIGINS", "", "", "Origins that browsers may call from, with commas; `*` is any."
    ),
    Setting("STAKEHOLD_TRUSTED_PROXIES", "0", "0", "Proxies in front that append to `X-Forwarded-For`."),
    Setting("STAKEHOLD_HSTS", "off", "off", "`on` sends `Strict-Transport-Security`: behind TLS only."),
    Setting("STAKEHOLD_RING_EPOCH", "0", "0", "Part of every Redis key; raised when the ring changes."),
    Setting("STAKEHOLD_DRAIN_S", "0", "2", "Seconds unready before a stop, for balancers to notice."),
    Setting("STAKEHOLD_STOP_S", "15", "15", "Seconds a graceful stop may take, draining included."),
    Setting(
        "STAKEHOLD_WEBHOOK_URL",
        "",
        "",
        "`https://…` that events are sent to. Without it they are kept, and not sent.",
    ),
    Setting(
        "STAKEHOLD_WEBHOOK_SECRET",
        "",
        "",
        "Signs what is sent, and is needed for that: `whsec_` and base64 of 24 to 64 random bytes.",
    ),
    Setting(
        "STAKEHOLD_WEBHOOK_SECRET_PREVIOUS",
        "",
        "",
        "The secret before this one: signs as well, while rotating.",
    ),
    Setting(
        "STAKEHOLD_WEBHOOK_PRIVATE",
        "off",
        "off",
        "`on` lets events go to this very machine, also without TLS: for tests, or a forwarder there.",
    ),
    Setting("STAKEHOLD_DATA", ".stakehold", "", "Where `dev` keeps its stores' data; unused by `serve`."),
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis: over its own protocol, or Upstash's REST when there is a token."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What the ring knows it by: host, port and database, written in one way, and no credentials."""
        parts = urlsplit(self.url)
        host = (parts.hostname or "").rstrip(".")
        if self.token is None:
            return f"{host}:{parts.port or _REDIS_PORT}/{int(parts.path.strip('/') or '0')}"
        return f"{host}:{parts.port or _HTTP_PORTS[parts.scheme]}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, checked. Under `dev` an empty address or secret is for `dev` to fill in."""

    jwt_secret: str = field(repr=False)
    jwt_secret_previous: str | None = field(repr=False)
    database_url: str = field(repr=False)
    redis: tuple[RedisAddress, ...]
    host: str
    port: int
    processes: int
    pool_size: int
    limits: Mapping[str, tuple[int, int]]
    sign_up_open: bool
    funding: Funding
    refresh_ttl_s: int
    cors_origins: frozenset[str]
    trusted_proxies: int
    hsts: bool
    ring_epoch: int
    drain_s: float
    stop_s: float
    webhook_url: str = field(repr=False)
    webhook_keys: tuple[bytes, ...] = field(repr=False)
    webhook_private: bool
    data: Path


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_worker_settings(environ: Mapping[str, str], *, hyperdrive: bool) -> Settings:
    """The settings of a Worker, whose platform gives them. Raises SettingsError.

    With `hyperdrive`, where the database is comes from that binding. How many isolates there are is not
    known: each keeps limits by itself as if it were alone, unless STAKEHOLD_PROCESSES says otherwise.
    """
    given = {name: text for name, text in environ.items() if text}
    given.setdefault("STAKEHOLD_PROCESSES", "1")
    if given.get("REDIS_URL"):
        raise SettingsError(["REDIS_URL: a Worker reaches Redis by UPSTASH_REDIS_REST_URL alone."])
    return load_settings(given, production=True, database_needed=not hyperdrive)


def load_settings(environ: Mapping[str, str], *, production: bool, database_needed: bool = True) -> Settings:
    """Read and check the environment. Raises SettingsError that names everything wrong with it at once."""
    reader = VariableReader(environ, production)
    processes = reader.read(
        "STAKEHOLD_PROCESSES", whole_number(1, PROCESSES_MAX), cores() if production else 1
    )
    pool_size = max(2, CONNECTIONS_PER_CORE * cores() // processes)
    drain_s = reader.read("STAKEHOLD_DRAIN_S", seconds_up_to(60), 2.0 if production else 0.0)
    stop_s = reader.read("STAKEHOLD_STOP_S", seconds_up_to(300), 15.0)
    if stop_s <= drain_s:
        reader.problems.append("STAKEHOLD_STOP_S must be more than STAKEHOLD_DRAIN_S.")
    webhook_private = reader.read("STAKEHOLD_WEBHOOK_PRIVATE", switch, False)
    webhook_url = reader.destination("STAKEHOLD_WEBHOOK_URL", private=webhook_private)
    settings = Settings(
        jwt_secret=reader.secret("JWT_SECRET", needed=production),
        jwt_secret_previous=reader.secret("JWT_SECRET_PREVIOUS", needed=False) or None,
        database_url=reader.address(
            "DATABASE_URL", ("postgresql", "postgres"), needed=production and database_needed
        ),
        redis=_redis(reader),
        host=reader.text("STAKEHOLD_HOST") or "127.0.0.1",
        port=reader.read("PORT", whole_number(0, 65535), 8000),
        processes=processes,
        pool_size=reader.read("STAKEHOLD_POOL_SIZE", whole_number(1, 1000), pool_size),
        limits=reader.read("STAKEHOLD_LIMITS", parse_limits, {}),
        sign_up_open=reader.read("STAKEHOLD_SIGN_UP", switch, True),
        funding=reader.read("FUNDING", funding, "external"),
        refresh_ttl_s=reader.read("STAKEHOLD_REFRESH_TTL_S", whole_number(60, 400 * DAY_S), 30 * DAY_S),
        cors_origins=reader.read("STAKEHOLD_CORS_ORIGINS", origins, frozenset()),
        trusted_proxies=reader.read("STAKEHOLD_TRUSTED_PROXIES", whole_number(0, 10), 0),
        hsts=reader.read("STAKEHOLD_HSTS", switch, False),
        ring_epoch=reader.read("STAKEHOLD_RING_EPOCH", whole_number(0, 10**6), 0),
        drain_s=drain_s,
        stop_s=stop_s,
        webhook_url=webhook_url,
        webhook_keys=reader.webhook_keys(needed=bool(webhook_url)),
        webhook_private=webhook_private,
        data=Path(reader.text("STAKEHOLD_DATA") or ".stakehold").expanduser().resolve(),
    )
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def _redis(reader: VariableReader) -> tuple[RedisAddress, ...]:
    """Every Redis that is given; none once anything is wrong, in these variables or in others."""
    urls = reader.text("REDIS_URL").split()
    rest_urls = reader.text("UPSTASH_REDIS_REST_URL").split()
    tokens = reader.text("UPSTASH_REDIS_REST_TOKEN").split()
    if urls and rest_urls:
        reader.problems.append("REDIS_URL and UPSTASH_REDIS_REST_URL are both set; there is one Redis.")
    if len(rest_urls) != len(tokens):
        reader.problems.append(
            "UPSTASH_REDIS_REST_TOKEN: one token is needed for each address; "
            f"there are {len(tokens)} for {len(rest_urls)}."
        )
    if not all(token.isascii() and token.isprintable() for token in tokens):
        reader.problems.append("UPSTASH_REDIS_REST_TOKEN: a token is one word of ASCII.")
    if not urls and not rest_urls and reader.production:
        reader.problems.append("REDIS_URL or UPSTASH_REDIS_REST_URL must be set.")
    if not all(is_address(url, ("redis", "rediss")) and _names_a_database(url) for url in urls):
        reader.problems.append(
            "REDIS_URL: this is no redis[s]://[[user]:password@]host[:port][/database]. "
            "Several have spaces between, no commas."
        )
    if not all(is_address(url, tuple(_HTTP_PORTS)) and _is_bare(url) for url in rest_urls):
        reader.problems.append(
            "UPSTASH_REDIS_REST_URL: this is no https://host, with the token apart. "
            "Several have spaces between, no commas."
        )
    if reader.problems:
        return ()
    addresses = [RedisAddress(url) for url in urls]
    addresses += [RedisAddress(url, token) for url, token in zip(rest_urls, tokens, strict=True)]
    names = [address.name for address in addresses]
    if len(set(names)) != len(names):
        variable = "REDIS_URL" if urls else "UPSTASH_REDIS_REST_URL"
        twice = next(name for name in names if names.count(name) > 1)
        reader.problems.append(f"{variable}: a Redis is given twice: {twice}.")
    return tuple(addresses)


def _names_a_database(url: str) -> bool:
    """Whether a Redis address has a host, and no path but the number of a database."""
    parts = urlsplit(url)
    number = parts.path.strip("/") or "0"
    is_number = number.isascii() and number.isdecimal() and len(number) <= _DATABASE_DIGITS_MAX
    # A comma of a list belongs to the host for urlsplit; one in the password is the password's.
    is_one_host = parts.hostname and "," not in parts.netloc.rpartition("@")[2]
    return bool(is_one_host and is_number and not parts.query and not parts.fragment)


def _is_bare(url: str) -> bool:
    """Whether a REST address has a host, and nothing that could be a credential or another address."""
    parts = urlsplit(url)
    more = parts.username or parts.password or parts.query or parts.fragment or "," in url
    return bool(parts.hostname) and not more
