"""The service under test, and the people who use it.

The HTTP tests know only what a client and an operator know: an address, settings, and the two stores. They do
not reach into the process, so that they can be run against any runtime.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"

_names = itertools.count(1)


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

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: object = None, **options: Any) -> httpx.Response:
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
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
