"""The service under test, and the people who use it.

The HTTP tests know only what a client and an operator know: an address, settings, and the two stores. They do
not reach into the process, so that they can be run against any runtime.
"""

import asyncio
import itertools
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import asyncpg
import httpx

from stakehold.database import sessions, users
from stakehold.database.sessions import NewSession
from stakehold.domain.accounts import Scope
from stakehold.domain.ids import new_id
from stakehold.redis.port import Reply
from stakehold.redis.resp import RespRedis
from stakehold.security.refresh_tokens import new_refresh_token
from stakehold.security.tokens import AccessTokens
from tests.support.fakes import CountingCounters

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = "$scrypt$ln=14,r=8,p=5$c2FsdC1vZi10aGUtdGVzdA$oc9pxqeedZwatM4BKgVlJ+trExBjK2qSn5Y4yu/9VdY"
"""Of PASSWORD: hashing it takes a noticeable part of a second, which most tests have no need to spend."""

_names = itertools.count(1)


class _MachineClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class _MachineEntropy:
    def random_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


@dataclass
class Person:
    """A user of the service with tokens of a session."""

    service: "Service"
    username: str
    password: str
    token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def at(self, service: "Service") -> "Person":
        """The same user with the same tokens, at another process of the service."""
        return Person(service, self.username, self.password, self.token, self.refresh_token)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: object = None, **options: Any) -> httpx.Response:
        if "content" in options:
            return await self.request("POST", path, **options)
        return await self.request("POST", path, json=json, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.service.client.request(method, path, headers=headers, **options)

    async def stake(self, amount: object = "1", period: int = 12, key: str | None = None) -> str:
        """Make a stake and return its id."""
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        answer = await self.post("/api/stake", {"amount": amount, "period": period}, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stakeId"])

    async def list_stakes(self, **query: object) -> dict[str, Any]:
        """One page of the stakes."""
        answer = await self.get("/api/stake", params={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page


@dataclass
class Service:
    """A running service: how to reach it, and the stores behind it."""

    client: httpx.AsyncClient
    database_url: str
    redis_url: str
    settings: Mapping[str, str] = field(default_factory=dict)

    async def sign_up(self, username: str | None = None, password: str = PASSWORD) -> Person:
        """Make a user and sign in."""
        username = username or f"person-{next(_names)}"
        made = await self.client.post("/api/users", json={"username": username, "password": password})
        assert made.status_code == 201, made.text
        return await self.sign_in(username, password)

    async def sign_in(self, username: str, password: str = PASSWORD) -> Person:
        """Start a session."""
        answer = await self.client.post("/api/auth", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return Person(self, username, password, body["token"], body["refreshToken"])

    async def enrol(self, username: str | None = None, scope: Scope = "") -> Person:
        """A user with a session, put straight into the database: what signing up and in leads to, at once."""
        username = username or f"person-{next(_names)}"
        clock, entropy = _MachineClock(), _MachineEntropy()
        user_id, session_id = new_id(clock, entropy), new_id(clock, entropy)
        refresh = new_refresh_token(user_id, session_id, entropy)
        expires_at_ms = clock.now_ms() + 3_600_000
        connection = await asyncpg.connect(self.database_url)
        try:
            assert await users.insert_user(connection, user_id, username, PASSWORD_HASH)
            if scope:
                await users.set_scope(connection, username, scope)
            epoch = 2 if scope else 1
            session = NewSession(user_id, session_id, epoch, refresh.hash(), expires_at_ms)
            assert await sessions.insert_session(connection, session)
        finally:
            await connection.close()
        token = self.token(user_id, session_id, epoch, scope)
        return Person(self, username, PASSWORD, token, refresh.encode())

    def token(self, user_id: UUID, session_id: UUID, epoch: int = 1, scope: str = "") -> str:
        """An access token as the service signs them."""
        tokens = AccessTokens(
            secret=self.settings["JWT_SECRET"],
            previous_secret=None,
            clock=_MachineClock(),
            entropy=_MachineEntropy(),
        )
        return tokens.issue(user_id, session_id, epoch, scope)

    async def log(self) -> list[str]:
        """The lines of its log since the last call, those of every request that was answered included."""
        raise NotImplementedError

    async def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What the database answers; the tests look there for what must not have been stored."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [tuple(row.values()) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    async def let_stakes_mature(self) -> None:
        """Have every stake be of 12 months in the past, made by a release that wrote no terms with it."""
        for table in ("stakes", "transfers"):
            await self.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await self.sql(
            "UPDATE stakes SET origin_date = '2021-03-01', value_date = '2021-03-01',"
            " maturity_date = '2022-03-01', due_at = TIMESTAMPTZ '2022-03-01 00:00:00Z'"
        )
        await self.sql("UPDATE transfers SET reason = NULL")
        for table in ("stakes", "transfers"):
            await self.sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    async def redis(self, *command: str) -> Reply:
        """What Redis answers."""
        redis = RespRedis(
            self.redis_url, clock=_MachineClock(), entropy=_MachineEntropy(), counters=CountingCounters()
        )
        try:
            return await redis.command(*command, timeout_s=5)
        finally:
            await redis.close()

    async def redis_on_disk(self) -> None:
        """Wait until Redis has what it was told so far in its file: a kill then takes nothing of it."""
        redis = RespRedis(
            self.redis_url, clock=_MachineClock(), entropy=_MachineEntropy(), counters=CountingCounters()
        )
        try:
            # It waits for what came over the same connection: a write after all the others.
            await redis.command("SET", "tests:on-disk", "1", timeout_s=5)
            assert await redis.command("WAITAOF", "1", "0", "5000", timeout_s=6) == [1, 0]
        finally:
            await redis.close()

    async def operate(self, *arguments: str, status: int = 0) -> str:
        """Run the operator's command line with the service's settings; returns what it printed.

        `status` is the exit status it must have.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stakehold.cli", *arguments,
            env={**os.environ, **self.settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == status, printed.decode()
        return printed.decode()


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem (RFC 9457), complete; returns its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"]
    assert unquote(problem["instance"]) == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def assert_field(problem: dict[str, Any], pointer: str, code: str | None = None) -> None:
    """The problem names this field, and for this reason if one is given."""
    named = {field["pointer"]: field["code"] for field in problem.get("errors", [])}
    assert pointer in named, problem
    assert code is None or named[pointer] == code, problem


def count_by_status(answers: list[httpx.Response]) -> dict[int, int]:
    """How many answers have each status."""
    counts: dict[int, int] = {}
    for answer in answers:
        counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
    return counts
