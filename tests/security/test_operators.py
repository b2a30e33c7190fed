"""What operators do is done by operators: whoever has not the scope, or has it no longer, is turned away."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from stakehold.database import users
from stakehold.http import app
from stakehold.http.call import Answer, Call
from stakehold.http.operations import Operation, Outcome
from stakehold.services import accounts
from tests.support.native import Process, running_process
from tests.support.service import Person, assert_problem

PATH = "/admin/of-the-tests"


class Word(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    word: str


async def _admin(call: Call) -> Answer:
    """As a write does it: the token was looked at, the database decides."""
    caller, services = call.signed_in(), call.container.services
    is_operator = await services.read(
        lambda connection: users.is_operator(connection, caller.user_id, caller.epoch), call.deadline
    )
    return Answer(204 if is_operator else 500)


OPERATION = Operation(
    id="ofTheTests", method="POST", path=PATH, summary="", tag="service", handler=_admin, policy="account",
    signed_in=True, scope="admin", body=Word, outcomes=(Outcome(204, ""),),
)  # fmt: skip


@pytest.fixture
async def process(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    monkeypatch.setattr(app, "OPERATIONS", (*app.OPERATIONS, OPERATION))
    async with running_process(database_url, redis_url) as process:
        yield process


async def ask(person: Person, body: object = None) -> httpx.Response:
    return await person.post(PATH, {"word": "x"} if body is None else body)


async def test_an_operator_is_let_in(process: Process) -> None:
    """With the scope in the token and in the database."""
    assert (await ask(await process.service.enrol(scope="admin"))).status_code == 204


async def test_who_is_no_operator_is_told_what_is_missing(process: Process) -> None:
    """403 with the challenge of RFC 6750; charged like any request, and before the body is looked at."""
    person = await process.service.enrol()
    for body in ({"word": "x"}, {"wrong": 1}):
        answer = await ask(person, body)
        assert assert_problem(answer, 403, "insufficient_scope")["scope"] == "admin"
        challenge = 'Bearer realm="stakehold", error="insufficient_scope", scope="admin"'
        assert answer.headers["www-authenticate"] == challenge
    assert '"account";r=28' in answer.headers["ratelimit"]


async def test_who_is_nobody_is_asked_who_they_are(process: Process) -> None:
    """Without a token, 401 and not a word of scopes."""
    answer = await process.service.client.post(PATH, json={"word": "x"})
    assert_problem(answer, 401, "missing_token")
    assert "scope" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("scope", ["administrator", "ADMIN", "admin,x", "x", " ", "*"])
async def test_only_the_very_word_is_the_scope(process: Process, scope: str) -> None:
    """A part, another spelling or more in one word is none."""
    person = await process.service.enrol(scope="admin")
    claims = process.services.tokens.verify(person.token)
    person.token = process.service.token(claims.user_id, UUID(claims.session_id), claims.epoch, scope)
    assert_problem(await ask(person), 403, "insufficient_scope")


async def test_nobody_writes_the_scope_into_a_token(process: Process) -> None:
    """The claim is signed like all others."""
    person = await process.service.enrol()
    head, payload, signature = person.token.split(".")
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "admin"}).encode()).rstrip(b"=").decode()
    person.token = f"{head}.{forged}.{signature}"
    assert_problem(await ask(person), 401, "invalid_token")


async def test_nobody_asks_for_the_scope(process: Process) -> None:
    """Neither signing up nor signing in takes it from the client."""
    credentials = {"username": "mallory", "password": "a long walk on a cold day", "scope": "admin"}
    for path in ("/api/users", "/api/auth"):
        assert_problem(await process.service.client.post(path, json=credentials), 422, "validation_error")


async def test_who_was_an_operator_is_one_no_longer(process: Process) -> None:
    """From the next request on, with the token that says otherwise; signed in again, without the scope."""
    person = await process.service.enrol("olga", scope="admin")
    assert (await ask(person)).status_code == 204
    await accounts.set_user_scope(process.services, "olga", "", _deadline(process))
    assert_problem(await ask(person), 401, "session_ended")
    again = await process.service.sign_in("olga", person.password)
    assert_problem(await ask(again), 403, "insufficient_scope")


async def test_whom_the_cache_still_lets_in_the_database_refuses(process: Process) -> None:
    """Where the user entry was not told, as after a change by hand: what writes asks the row itself."""
    person = await process.service.enrol("olga", scope="admin")
    claims = process.services.tokens.verify(person.token)
    assert (await ask(person)).status_code == 204
    await process.service.sql("UPDATE users SET scope = '' WHERE username = 'olga'")
    assert (await ask(person)).status_code == 500
    is_operator = await process.services.read(
        lambda connection: users.is_operator(connection, claims.user_id, claims.epoch), _deadline(process)
    )
    assert is_operator is False


def _deadline(process: Process) -> Any:
    return process.services.background_deadline()
