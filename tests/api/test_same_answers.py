"""A server and a Worker answer the same requests alike: what the document says, and what nobody should send.

Each has stores of its own and is sent the same, in the same order; answers are compared one by one, in
status, headers and body, but for what is chance (tests/support/answers.py). A failure prints the seed, which
STAKEHOLD_TEST_SEED sets, and the requests before; STAKEHOLD_SOAK_EXAMPLES makes a longer run.
"""

import asyncio
import dataclasses
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from stakehold.domain.accounts import Scope
from stakehold.limits.policies import DEFAULTS, QUOTA_MAX, WINDOW_S_MAX
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.api import courses
from tests.api.bodies import PAYEE
from tests.api.conftest import make_database
from tests.api.courses import MEMORY, Conversation, Request
from tests.api.generated import ORIGIN, conversations
from tests.api.raw import RawAnswer, exchange, request
from tests.support.answers import Answer, limits_left, make_answer
from tests.support.halves import RUNTIMES
from tests.support.plans import put_on_sale
from tests.support.served import served
from tests.support.service import Person, Service
from tests.support.worker import WorkerHost, running_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONVERSATIONS = 3 * int(os.environ.get("STAKEHOLD_SOAK_EXAMPLES") or 10)
SEED_OF_PLANTED = 1

_QUOTAS = {"account": 3, "stake-create": 3, "stake-read": 3}
LIMITS = ",".join(f"{one.name}={_QUOTAS.get(one.name, QUOTA_MAX)}/{WINDOW_S_MAX}" for one in DEFAULTS)
"""A conversation comes to the end of some limits, and nothing comes back while the test runs."""

_numbers = itertools.count(1)


class DifferentError(Exception):
    """The two answered otherwise."""


@dataclass
class Side:
    """One of the two services, and what one conversation with it has told."""

    service: Service
    url: str
    alter: Callable[[RawAnswer], RawAnswer] = lambda answer: answer
    memory: dict[bytes, bytes] = field(default_factory=dict)

    async def begin(self, username: str, scope: Scope) -> None:
        """Forget, and be this new user."""
        person: Person = await self.service.enrol(username, scope)
        self.memory = {
            courses.TOKEN: person.token.encode(),
            courses.REFRESH: person.refresh_token.encode(),
            courses.SPENT: person.refresh_token.encode(),
            courses.STAKE: b"00000000-0000-7000-8000-000000000000",
            courses.CURSOR: b"A" * 22,
            courses.ETAG: b'"none"',
            courses.NAME: username.encode(),
            courses.QUOTE: b"shq_none",
        }

    async def ask(self, asked: Request) -> tuple[Answer, str]:
        """Send it; what is to be the same of the answer, and what it says is left of the limits."""
        fields = tuple((name, self._recall(value)) for name, value in asked.fields)
        answer = self.alter(await self._exchange(asked, fields))
        self._remember(answer)
        given_ids = [value for name, value in fields if name.lower() == b"x-request-id"]
        made = make_answer(
            asked.method, asked.target.decode("ascii"), answer.status, answer.headers, answer.body,
            request_id=given_ids[0].decode("latin-1") if given_ids else None,
        )  # fmt: skip
        return made, limits_left(", ".join(answer.get("ratelimit")))

    async def _exchange(self, asked: Request, fields: tuple[tuple[bytes, bytes], ...]) -> RawAnswer:
        lines = [name + b": " + value for name, value in fields]
        target, body = self._recall(asked.target), self._recall(asked.body)
        if asked.chunked:
            lines.append(b"Transfer-Encoding: chunked")
            halves = [half for half in (body[: len(body) // 2], body[len(body) // 2 :]) if half]
            chunks = [b"%x\r\n%b\r\n" % (len(half), half) for half in halves]
            parts = [request(asked.method, target, *lines), *chunks, b"0\r\n\r\n"]
        else:
            parts = [request(asked.method, target, *lines, body=body)]
        answer = await exchange(self.url, *parts)
        assert answer is not None, f"no answer to {asked}"
        return answer

    def _recall(self, text: bytes) -> bytes:
        for name in MEMORY:
            text = text.replace(name, self.memory[name])
        return text

    def _remember(self, answer: RawAnswer) -> None:
        for tag in answer.get("etag"):
            self.memory[courses.ETAG] = tag.encode()
        if answer.get("content-type") != ["application/json"] or not answer.body:
            return
        told: dict[str, Any] = json.loads(answer.body)
        if told.get("stakeId"):
            self.memory[courses.STAKE] = told["stakeId"].encode()
        if told.get("quoteId"):
            self.memory[courses.QUOTE] = told["quoteId"].encode()
        # The ledger's cursor is a number, known beforehand; the others are all of one kind.
        if told.get("nextCursor") and not told["nextCursor"].isdigit():
            self.memory[courses.CURSOR] = told["nextCursor"].encode()
        if "refreshToken" in told:
            self.memory[courses.SPENT] = self.memory[courses.REFRESH]
            self.memory[courses.REFRESH] = told["refreshToken"].encode()
            self.memory[courses.TOKEN] = told["token"].encode()


@dataclass
class Pair:
    """The two services, and what is known of them."""

    native: Side
    worker: Side
    document: dict[str, Any]

    async def compare(self, held: list[Conversation]) -> Counter[tuple[str, int]]:
        """Hold these conversations with both; DifferentError where they answer otherwise.

        Returns how often each operation, or "none", was answered with each status.
        """
        seen: Counter[tuple[str, int]] = Counter()
        for conversation in held:
            username, scope = f"person-{next(_numbers)}", conversation.scope
            await asyncio.gather(self.native.begin(username, scope), self.worker.begin(username, scope))
            for at, asked in enumerate(conversation.requests):
                native, worker = await asyncio.gather(self.native.ask(asked), self.worker.ask(asked))
                seen[self._operation(asked), native[0].status] += 1
                if native != worker:
                    raise DifferentError("\n".join(_report(conversation.requests[: at + 1], native, worker)))
        return seen

    def _operation(self, asked: Request) -> str:
        path = asked.target.partition(b"?")[0].decode()
        for template, item in self.document["paths"].items():
            operation = item.get(asked.method.lower())
            if operation and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return str(operation["operationId"])
        return "none"


def _report(asked: Sequence[Request], *answers: tuple[Answer, str]) -> Iterator[str]:
    """What was asked, the last of which was answered otherwise."""
    yield from (f"before: {one}" for one in asked[:-1])
    yield f"asked: {asked[-1]}"
    for name, (answer, left) in zip(RUNTIMES, answers, strict=True):
        yield f"{name}: {answer}\n    left: {left}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    worker_host: WorkerHost,
    postgres: EmbeddedPostgres,
    migrated_template: str,
    api_valkey: EmbeddedValkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Pair]:
    """A server process and a Worker, with the same settings and stores that nobody else uses."""
    common = {"STAKEHOLD_LIMITS": LIMITS, "STAKEHOLD_CORS_ORIGINS": ORIGIN.decode()}
    databases = [
        await make_database(postgres, migrated_template, f"same_{name}") for name in ("native", "worker")
    ]
    for database_url in databases:
        await put_on_sale(database_url, courses.GRADED)
    redis_urls = [api_valkey.url.removesuffix("/0") + f"/{number}" for number in (1, 2)]
    async with AsyncExitStack() as stack:
        directory = tmp_path_factory.mktemp("same-answers")
        settings_of_server = {"REDIS_URL": redis_urls[0], **common}
        native = await stack.enter_async_context(
            served(directory, databases[0], settings_of_server, processes=1)
        )
        worker = await stack.enter_async_context(
            running_worker(worker_host, databases[1], redis_urls[1], common)
        )
        await asyncio.gather(native.enrol(PAYEE), worker.enrol(PAYEE))
        document = (await native.client.get("/openapi.json")).json()
        yield Pair(
            Side(native, str(native.client.base_url)),
            Side(worker, f"http://127.0.0.1:{worker.port}"),
            document,
        )


async def test_both_answer_alike(pair: Pair, seed: int) -> None:
    """Status, headers, body and what is left of each limit, whatever is asked.

    All kinds are answered, and every operation does what it is for.
    """
    print(f"STAKEHOLD_TEST_SEED={seed}")
    seen = await pair.compare(conversations(pair.document, seed, CONVERSATIONS))
    statuses = {status for _, status in seen}
    assert statuses >= {200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 415, 422, 429}, seen
    done = {operation for operation, status in seen if 200 <= status < 300}
    described = {one["operationId"] for item in pair.document["paths"].values() for one in item.values()}
    assert described <= done, described - done


@pytest.fixture(scope="module")
def planted(pair: Pair) -> list[Conversation]:
    """Conversations that are known to come upon what is planted below."""
    return conversations(pair.document, SEED_OF_PLANTED, CONVERSATIONS)


def _without_tag(answer: RawAnswer) -> RawAnswer:
    """Of 304 alone."""
    kept = [(name, value) for name, value in answer.headers if answer.status != 304 or name != "etag"]
    return dataclasses.replace(answer, headers=kept)


def _with_more_left(answer: RawAnswer) -> RawAnswer:
    """Of one limit alone, where it is at its end."""
    headers = [
        (name, value.replace('"stake-create";r=0', '"stake-create";r=1')) for name, value in answer.headers
    ]
    return dataclasses.replace(answer, headers=headers)


def _with_another_reason(answer: RawAnswer) -> RawAnswer:
    """Of one field's refusal alone."""
    return dataclasses.replace(answer, body=answer.body.replace(b'"invalid_amount"', b'"invalid"'))


@pytest.mark.parametrize("alter", [_without_tag, _with_more_left, _with_another_reason])
async def test_an_answer_that_differs_is_found(
    pair: Pair, planted: list[Conversation], alter: Callable[[RawAnswer], RawAnswer]
) -> None:
    """Where the Worker's answers of one kind alone are changed on their way."""
    altered = dataclasses.replace(pair, worker=dataclasses.replace(pair.worker, alter=alter))
    with pytest.raises(DifferentError, match=r"asked: Request(.|\n)*\nnative: (.|\n)*\nworker: "):
        await altered.compare(planted)


async def test_a_setting_that_differs_is_found(
    pair: Pair, planted: list[Conversation], worker_host: WorkerHost
) -> None:
    """A Worker that really answers otherwise, to requests with one field alone."""
    service = pair.worker.service
    settings = {"STAKEHOLD_LIMITS": LIMITS, "STAKEHOLD_CORS_ORIGINS": "https://another.example"}
    from_there = (b"Origin", ORIGIN)
    held = [one for one in planted if any(from_there in asked.fields for asked in one.requests)]
    async with running_worker(worker_host, service.database_url, service.redis_url, settings) as other:
        side = Side(other, f"http://127.0.0.1:{other.port}")
        with pytest.raises(DifferentError, match="access-control-allow-origin"):
            await dataclasses.replace(pair, worker=side).compare(held)
