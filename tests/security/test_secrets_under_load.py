"""No secret leaves `stakehold serve` but in the answer that it is for, whatever happens to it.

Seen from outside: what the processes write, the problems they answer, the files below their directory, what
an operator's commands print, and the command lines of all processes.
"""

import asyncio
import contextlib
import functools
import json
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from stakehold.security.refresh_tokens import RefreshToken
from tests.security.odd_requests import Request, odd_bytes, odd_requests, send_bytes
from tests.security.scanning import Leak, Scanner, command_lines, signature
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.served import ServedService, clean_environment, served
from tests.support.service import Person

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

KEY = "Idempotency-Key"
AT_ONCE = 16
WAIT_S = 30
LOOK_EVERY_S = 0.1
READ_ANY = """
local read = {string = {'GET', KEYS[1]}, hash = {'HGETALL', KEYS[1]}, zset = {'ZRANGE', KEYS[1], 0, -1}}
local value = redis.call(unpack(read[redis.call('TYPE', KEYS[1]).ok]))
return type(value) == 'table' and table.concat(value, ' ') or value
"""
"""A key's value as one text."""

ROOMY = "auth=9999,auth-failure=9999,sign-up=9999,refresh=9999,account=9999,stake-create=9999,stake-read=9999"


@dataclass
class Known:
    """Every secret that the service is given or gives, by name; and what was seen that should have none."""

    secrets: dict[str, str | bytes] = field(default_factory=dict)
    seen: set[tuple[str, bytes]] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)

    def note(self, name: str, secret: str) -> str:
        self.secrets[f"{name}, {len(self.secrets)}"] = secret
        return secret

    def make(self, name: str) -> str:
        """A new secret, with characters that JSON and URLs spell otherwise."""
        return self.note(name, f"{secrets.token_urlsafe(12)}-/+\"ü'%{secrets.token_urlsafe(12)}")

    def note_tokens(self, person: Person) -> Person:
        """Of an access token its signature too, of a refresh token the random bytes in it."""
        self.note("access token", person.token)
        self.note("signature", signature(person.token))
        self.note("refresh token", person.refresh_token)
        name = f"secret of a refresh token, {len(self.secrets)}"
        self.secrets[name] = RefreshToken.decode(person.refresh_token).secret
        return person

    def note_answer(self, asked: str, status: int, body: bytes) -> None:
        """Keep a problem, but for what it repeats to whoever sent it: the path, and the names of fields."""
        self.statuses[status] += 1
        if status < 400:
            return
        with contextlib.suppress(ValueError):
            problem = json.loads(body)
            del problem["instance"]
            for refused in problem.get("errors", ()):
                del refused["pointer"]
            body = json.dumps(problem).encode()
        self.seen.add((f"the problem {status} of {asked}", body))

    def leaks(self) -> list[Leak]:
        scanner = Scanner(self.secrets)
        return [leak for place, written in self.seen for leak in scanner.leaks(place, written)]


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
async def stores(
    known: Known, database_url: str, redis_url: str
) -> AsyncIterator[tuple[PostgresProxy, RespProxy]]:
    """Proxies before both stores, whose passwords are known."""
    known.note("database password", urlsplit(database_url).password or "")
    known.note("Redis password", urlsplit(redis_url).password or "")
    redis = RespProxy(redis_url)
    await redis.start()
    async with PostgresProxy(database_url) as postgres:
        yield postgres, redis
    await redis.stop()


@pytest.fixture
async def service(
    known: Known, stores: tuple[PostgresProxy, RespProxy], tmp_path: Path
) -> AsyncIterator[ServedService]:
    """Two server processes behind the proxies, in a directory where nothing else is."""
    postgres, redis = stores
    settings = {
        "JWT_SECRET": known.note("key", secrets.token_urlsafe(48)),
        "JWT_SECRET_PREVIOUS": known.note("previous key", secrets.token_urlsafe(48)),
        "REDIS_URL": redis.url,
        "STAKEHOLD_LIMITS": f"{ROOMY},global=99999",
        "STAKEHOLD_TRUSTED_PROXIES": "1",
        "STAKEHOLD_CORS_ORIGINS": "https://app.example.org",
    }
    with looking_at_command_lines(known):
        async with served(tmp_path, postgres.url, settings, processes=2) as running:
            yield running


@contextlib.contextmanager
def looking_at_command_lines(known: Known) -> Iterator[None]:
    """Keep what everybody may see of every process, again and again until the end."""

    async def look() -> None:
        while True:
            known.seen |= {("a command line", line) for line in command_lines()}
            await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.get_running_loop().create_task(look())
    try:
        yield
    finally:
        looking.cancel()


class Load:
    """People who do everything the service is for, and clients that put secrets where none belong."""

    def __init__(self, known: Known, service: ServedService, database_url: str) -> None:
        self.known = known
        self.service = service
        # The database itself: users are put there whatever the proxy does.
        self.direct = ServedService(service.client, database_url, "", service.settings)
        self.slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, *, odd_share: int = 1) -> None:
        """Everybody at once; of the odd requests one in so many."""
        person = self.known.note_tokens(await self.direct.enrol(f"person-{secrets.token_hex(6)}"))
        secret = self.known.make("secret in an odd place")
        odd: list[Coroutine[Any, Any, object]]
        odd = [self.ask(*request) for request in list(odd_requests(secret, person))[::odd_share]]
        odd += [self.send(sent) for sent in odd_bytes(secret, person)[::odd_share]]
        await asyncio.gather(self.life(person), self.guesses(person), *odd)

    async def ask(self, method: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
        """One request; the members of a good answer."""
        async with self.slots:
            try:
                answer = await self.service.client.request(method, path, **options)
            except httpx.TransportError as error:
                self.known.seen.add(("a lost connection", repr(error).encode()))
                return {}
        self.known.note_answer(f"{method} {path[:16]}", answer.status_code, answer.content)
        is_json = answer.headers.get("content-type") == "application/json"
        members: dict[str, Any] = answer.json() if is_json and answer.is_success else {}
        return members

    async def send(self, sent: bytes) -> None:
        async with self.slots:
            answer = await send_bytes(urlsplit(str(self.service.client.base_url)).port or 0, sent)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head:
            self.known.note_answer("raw bytes", int(head.split()[1]), body)

    async def life(self, person: Person) -> None:
        """Sign up, sign in, do what people do, present a refresh token twice.

        As another who has signed in before, if signing in is not possible now.
        """
        name = f"person-{secrets.token_hex(6)}"
        account = {"username": name, "password": self.known.make("password of a sign-up")}
        await self.ask("POST", "/api/users", {"json": account})
        person = self.signed_in(name, await self.ask("POST", "/api/auth", {"json": account})) or person
        await asyncio.gather(*(self.ask(*request) for request in self.daily(person)))
        spent = {"json": {"refreshToken": person.refresh_token}}
        for _ in range(2):
            self.signed_in(name, await self.ask("POST", "/api/auth/refresh", spent))

    def daily(self, person: Person) -> Iterator[Request]:
        """Stakes with one key, two of them alike; reads; passwords changed by a wrong guess; signing out."""
        key = {**person.headers, "Idempotency-Key": self.known.note(KEY, secrets.token_urlsafe(18))}
        for amount in (1, 1, 2, "a lot"):
            yield "POST", "/api/stake", {"headers": key, "json": {"amount": amount, "period": 12}}
            yield "GET", "/api/stake", {"headers": person.headers}
        change = {"currentPassword": self.known.make("guess"), "newPassword": self.known.make("new password")}
        yield "POST", "/api/me/password", {"headers": person.headers, "json": change}
        yield "POST", "/api/auth/logout", {"headers": person.headers}

    def signed_in(self, name: str, tokens: dict[str, Any]) -> Person | None:
        if "refreshToken" not in tokens:
            return None
        person = Person(self.service, name, "", tokens["token"], tokens["refreshToken"])
        return self.known.note_tokens(person)

    async def guesses(self, person: Person) -> None:
        for name in (person.username, "nobody-of-this-name"):
            guess = {"username": name, "password": self.known.make("wrong guess")}
            await self.ask("POST", "/api/auth", {"json": guess})


async def stored(service: ServedService) -> AsyncIterator[tuple[str, bytes]]:
    """Everything that the stores hold."""
    for (table,) in await service.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for (row,) in await service.sql(f"SELECT whole::TEXT FROM {table} AS whole"):
            yield table, row.encode()
    names = await service.redis("KEYS", "*")
    assert isinstance(names, list)
    for name in names:
        assert isinstance(name, bytes)
        value = await service.redis("EVAL", READ_ANY, "1", name.decode())
        assert isinstance(value, bytes)
        yield "Redis", name + b" " + value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def command(
    known: Known, service: ServedService, directory: Path, *arguments: str, stdin: str = "", **settings: str
) -> int:
    """Run an operator's command; keep what it prints, and return its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stakehold.cli", *arguments,
        env={**clean_environment(), **service.settings, **settings}, cwd=directory,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(stdin.encode()), WAIT_S)
    known.seen.add((f"stakehold {' '.join(arguments)}", printed))
    assert process.returncode is not None
    return process.returncode


async def test_no_secret_is_written_whatever_happens(
    known: Known,
    service: ServedService,
    stores: tuple[PostgresProxy, RespProxy],
    database_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """With both stores there, answers of the database lost, the database away, and Redis too.

    Nor is any stored as it is, but for the keys that stakes are found again by.
    """
    postgres, redis = stores
    load = Load(known, service, database_url)
    operate = functools.partial(command, known, service, tmp_path)
    password = known.make("password for users add")
    add = operate("users", "add", "operated", stdin=password)
    assert tuple(await asyncio.gather(load.run(), operate("doctor"), add)) == (None, 0, 0)
    postgres.cut_answers(10, "INSERT")
    await load.run(odd_share=10)
    postgres.cut_requests(10**6)
    postgres.cut_all()
    add = operate("users", "add", "another", stdin=password)
    running = asyncio.gather(load.run(odd_share=2), operate("doctor"), add)
    await until(lambda: known.statuses[503] > 5)
    redis.refuse()
    redis.cut()
    assert tuple(await running) == (None, 1, 1)
    assert await service.stop() == 0
    assert {200, 201, 400, 401, 403, 404, 405, 413, 415, 422, 431, 503} <= set(known.statuses)
    assert len(service.log_path.read_bytes().splitlines()) > 200
    direct = ServedService(service.client, database_url, redis_url)
    async for place, value in stored(direct):
        known.seen.add((place, value))
    leaks = known.leaks() + Scanner(known.secrets).leaks_below(tmp_path)
    kept = [leak for leak in leaks if leak.place == "idempotency" and leak.secret.startswith(KEY)]
    assert kept, "the stores were not looked into"
    assert [leak for leak in leaks if leak not in kept] == []
