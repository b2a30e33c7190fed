"""Asks a server one thing, and writes down what was asked, when, and what came back."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from tests.faults.history import History, Operation, classify

PATIENCE_S = 12.0
"""Longer than any answer may take, so that one which takes longer is seen."""

HASHES_AT_ONCE = 2
"""Hashing a password takes the machine's cores, which the servers' event loops, and ours, need as well."""

_KEPT_HEADERS = (
    "x-request-id",
    "retry-after",
    "idempotency-replayed",
    "etag",
    "ratelimit",
    "ratelimit-policy",
)
_KEPT_OF_AN_ITEM = ("id", "amount", "period")

Members = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what it is called in the history, and what goes over the wire."""

    kind: str
    method: str
    path: str
    request: Members
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Members | None = None
    stands_for: Members | None = None
    """What a 304 stands for."""


class Place(Protocol):
    """Where requests go."""

    address: str


class Asked(Protocol):
    """What is asked: a cluster, or whatever else has addresses and stores."""

    @property
    def servers(self) -> Sequence[Place]:
        """By number."""
        ...

    http: aiohttp.ClientSession
    database_url: str
    redis_url: str
    settings: Mapping[str, str]


class Recorder:
    """Asks, and keeps the history."""

    def __init__(self, cluster: Asked, history: History) -> None:
        self.cluster = cluster
        self.history = history
        self.hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        """To be held while asking for what needs a hash."""
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """The number of the next operation."""
        return next(self._numbers)

    async def ask(self, client: int, user: str, server: int, call: Call) -> Operation:
        """Send it to a server, wait for the answer or for its absence, and note both."""
        number, started_s = self.number(), time.monotonic()
        status, answer, sent = await self._send(server, call)
        operation = Operation(
            number=number,
            client=client,
            server=server,
            user=user,
            kind=call.kind,
            started_s=started_s,
            ended_s=time.monotonic(),
            status=status,
            outcome=classify(call.kind, status, _text(answer, "code"), sent=sent),
            request=call.request,
            answer=answer,
        )
        self.history.append(operation)
        return operation

    async def _send(self, server: int, call: Call) -> tuple[int | None, Members, bool]:
        url = f"{self.cluster.servers[server].address}{call.path}"
        try:
            async with self.cluster.http.request(
                call.method, url, headers=call.headers, json=call.body,
                timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
            ) as answer:  # fmt: skip
                content = await answer.read()
                headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                status = answer.status
        except aiohttp.ClientConnectorError:
            return None, {}, False
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None, {}, True
        body = (call.stands_for or {}) if status == 304 else _members(content)
        return status, {**body, **headers}, True


def _members(content: bytes) -> Members:
    """A body's members: of stakes what the promises are about, of a token its claims as well."""
    body: dict[str, object] = json.loads(content) if content else {}
    items = body.get("items")
    if isinstance(items, list):
        body["items"] = [{name: item[name] for name in _KEPT_OF_AN_ITEM} for item in items]
    token = body.get("token")
    if isinstance(token, str):
        body.update(claims_of(token))
    return body


def claims_of(token: str) -> Members:
    """The session and the epoch that an access token says."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {"session": claims["sid"], "epoch": claims["epoch"]}


def _text(members: Members, name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None
