"""Who exists is not told by work: what a refusal costs is counted at the wires, not timed.

Compared are the password hashes (with their cost), the statements PostgreSQL runs, the commands Redis is sent
with the sizes of their arguments, and the answer to the byte, but for its request id and date.
"""

import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from stakehold.domain.ids import new_id
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.security.refresh_tokens import RefreshToken, new_refresh_token
from stakehold.services import accounts
from tests.support.fakes import CheapScrypt, HeldBackground
from tests.support.native import Process, running_process
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy
from tests.support.service import PASSWORD, Person

WRONG = "incorrect horse battery staple"


@dataclass(frozen=True)
class Trace:
    """What a request cost and what it was answered."""

    hashes: tuple[tuple[int, int, int, int], ...]
    statements: tuple[str, ...]
    trips: tuple[tuple[int | bytes, ...], ...]
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    hashes_behind: int
    statements_behind: int
    trips_behind: int


@dataclass
class Watch:
    """A process of the service of which every hash, statement, trip and answer is seen."""

    process: Process
    scrypt: CheapScrypt
    background: HeldBackground
    postgres: PostgresProxy
    redis: RespProxy
    addresses: Iterator[int]

    async def trace(self, request: Callable[[dict[str, str]], Awaitable[httpx.Response]]) -> Trace:
        """Send a request from an address that nobody had before, so that no limit tells one from another."""
        await self.background.run()
        self._forget()
        number = next(self.addresses)
        answer = await request({"X-Forwarded-For": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"})
        hashes, statements = tuple(self.scrypt.costs), tuple(self.postgres.executed)
        trips = tuple(_shape(command) for command in self.redis.commands)
        self._forget()
        await self.background.run()
        return Trace(
            hashes,
            statements,
            trips,
            answer.status_code,
            tuple((name, value) for name, value in answer.headers.items() if name not in _OF_ITS_OWN),
            _without_ids(answer),
            len(self.scrypt.costs),
            len(self.postgres.executed),
            len(self.redis.commands),
        )

    def _forget(self) -> None:
        self.scrypt.costs.clear()
        self.postgres.executed.clear()
        self.redis.commands.clear()

    async def refused(self, username: str, password: str) -> Trace:
        """What signing in so costs, and is answered."""
        body = {"username": username, "password": password}
        return await self.trace(
            lambda headers: self.process.service.client.post("/api/auth", json=body, headers=headers)
        )

    async def signed_up(self, username: str, password: str) -> Trace:
        body = {"username": username, "password": password}
        return await self.trace(
            lambda headers: self.process.service.client.post("/api/users", json=body, headers=headers)
        )

    async def refreshed(self, token: str) -> Trace:
        return await self.trace(
            lambda headers: self.process.service.client.post(
                "/api/auth/refresh", json={"refreshToken": token}, headers=headers
            )
        )


_OF_ITS_OWN = ("x-request-id", "date")


def _shape(command: list[bytes]) -> tuple[int | bytes, ...]:
    """A command's name, its script, and how long its arguments are, a key without whom it is about."""
    script = command[1] if command[0].upper() == b"EVALSHA" else b""
    return command[0].upper(), script, *(len(re.sub(rb"\{[^}]*\}", b"", each)) for each in command[1:])


def _without_ids(answer: httpx.Response) -> bytes:
    """The body with the request's id blanked."""
    request_id = answer.headers["x-request-id"].encode()
    assert len(request_id) == 32
    return answer.content.replace(request_id, b"-" * 32)


StartWatch = Callable[..., Awaitable[Watch]]


@pytest.fixture
async def watch_with(database_url: str, redis_url: str) -> AsyncIterator[StartWatch]:
    scrypt, background, redis = CheapScrypt(), HeldBackground(), RespProxy(redis_url)
    await redis.start()
    contexts: list[Any] = []
    async with PostgresProxy(database_url) as postgres:

        async def start(limits: str = "") -> Watch:
            settings = {"STAKEHOLD_LIMITS": limits, "STAKEHOLD_TRUSTED_PROXIES": "1"}
            context = running_process(postgres.url, redis.url, settings, scrypt=scrypt, background=background)
            process = await context.__aenter__()
            contexts.append(context)
            # The test's own looks at the database are not to be counted.
            process.service.database_url = database_url
            watch = Watch(process, scrypt, background, postgres, redis, itertools.count(1))
            # The first use of a script, a connection or a statement costs more than those after it.
            for name in ("first", "second"):
                await watch.signed_up(f"{name}-user", PASSWORD)
                await watch.refused(f"{name}-user", WRONG)
                await watch.refreshed(_unknown_token(None, None))
            return watch

        yield start
        background.drop()
        for context in contexts:
            await context.__aexit__(None, None, None)
    await redis.stop()


@pytest.fixture
async def watch(watch_with: StartWatch) -> Watch:
    return await watch_with()


def _unknown_token(user_id: UUID | None, session_id: UUID | None) -> str:
    """A refresh token whose secret nobody has ever been given."""
    clock, entropy = SystemClock(), SystemEntropy()
    ids = user_id or new_id(clock, entropy), session_id or new_id(clock, entropy)
    return new_refresh_token(*ids, entropy).encode()


async def _enrol(watch: Watch, username: str, password: str = PASSWORD) -> None:
    services = watch.process.services
    await accounts.add_user(services, username, password, services.background_deadline())


async def test_a_refused_sign_in_tells_nothing_of_the_name(watch: Watch) -> None:
    """A wrong password, an unknown, impossible or disabled name: the same work, the same bytes."""
    for name in ("maria", "disabled"):
        await _enrol(watch, name)
    services = watch.process.services
    await accounts.set_user_status(services, "disabled", "disabled", services.background_deadline())
    known = await watch.refused("maria", WRONG)
    assert (known.status, len(known.hashes), len(known.statements)) == (401, 1, 1)
    alike = {
        "an unknown name": await watch.refused("nobody-of-this-name", PASSWORD),
        "an impossible name": await watch.refused("no such\nname {}:*", PASSWORD),
        "a long one": await watch.refused("n" * 256, PASSWORD),
        "disabled, the right password": await watch.refused("disabled", PASSWORD),
        "disabled, a wrong one": await watch.refused("disabled", WRONG),
        "an impossible password": await watch.refused("maria", "\ufffe" * 1024),
    }
    assert alike == dict.fromkeys(alike, known)


async def test_a_locked_name_tells_nothing_of_itself(watch_with: StartWatch) -> None:
    """When the guesses at a name are spent, 429 costs and says the same whether it exists or not."""
    watch = await watch_with("auth-failure=1/900")
    for name in ("maria", "disabled"):
        await _enrol(watch, name)
    services = watch.process.services
    await accounts.set_user_status(services, "disabled", "disabled", services.background_deadline())
    traces = []
    for name in ("maria", "nobody-of-this-name", "disabled"):
        assert (await watch.refused(name, WRONG)).status == 401
        # Asked of Redis, then known to this process.
        traces.append([_steady(await watch.refused(name, PASSWORD)) for _ in range(2)])
    assert traces[0][0].status == 429
    assert all(not trace.hashes and not trace.statements for trace in traces[0])
    assert traces[0] == traces[1] == traces[2]


def _steady(trace: Trace) -> Trace:
    """Without the seconds that are left: a second may pass between two requests."""
    kept = tuple((name, value) for name, value in trace.headers if name not in ("retry-after", "ratelimit"))
    problem = json.loads(trace.body)
    return Trace(**{**trace.__dict__, "headers": kept, "body": repr(sorted(problem)).encode()})


async def test_signing_up_costs_the_same_for_a_taken_name(watch: Watch) -> None:
    """The status tells that a name is taken, as it must; the work does not, nor a weak password's refusal."""
    await _enrol(watch, "maria")
    free, taken = await watch.signed_up("johan", PASSWORD), await watch.signed_up("maria", PASSWORD)
    assert (free.status, taken.status) == (201, 409)
    assert (taken.hashes, taken.statements, taken.trips) == (free.hashes, free.statements, free.trips)
    assert len(free.hashes) == len(free.statements) == 1
    weak_free, weak_taken = (
        await watch.signed_up("karin", "password"),
        await watch.signed_up("maria", "password"),
    )
    assert (weak_free.status, weak_free.hashes, weak_free.statements) == (422, (), ())
    assert weak_free == weak_taken


async def test_a_refused_refresh_tells_nothing_of_user_or_session(watch: Watch) -> None:
    """A token of nobody, of a user, of a live, ended or expired session: all are refused alike."""
    await _enrol(watch, "maria")
    await _enrol(watch, "disabled")
    person = await watch.process.service.sign_in("maria")
    ended = await watch.process.service.sign_in("maria")
    assert (await ended.post("/api/auth/logout")).status_code == 204
    expired = await watch.process.service.sign_in("maria")
    expired_id = RefreshToken.decode(expired.refresh_token).session_id
    await watch.process.service.sql(
        "UPDATE sessions SET expires_at = now() - INTERVAL '1 second' WHERE id = $1", expired_id
    )
    disabled = await watch.process.service.sign_in("disabled")
    services = watch.process.services
    await accounts.set_user_status(services, "disabled", "disabled", services.background_deadline())
    live = RefreshToken.decode(person.refresh_token)
    nobody = await watch.refreshed(_unknown_token(None, None))
    assert (nobody.status, len(nobody.statements), nobody.hashes) == (401, 1, ())
    alike = {
        "a user, no session": await watch.refreshed(_unknown_token(live.user_id, None)),
        "a session of somebody else": await watch.refreshed(_unknown_token(None, live.session_id)),
        "a live session": await watch.refreshed(_unknown_token(live.user_id, live.session_id)),
        "an ended session": await watch.refreshed(ended.refresh_token),
        "an expired session": await watch.refreshed(expired.refresh_token),
        "a disabled user": await watch.refreshed(disabled.refresh_token),
    }
    assert alike == dict.fromkeys(alike, nobody)
    assert (await watch.refreshed(person.refresh_token)).status == 200, "and the guesses did no harm"


async def test_a_stake_of_another_costs_what_none_does(watch: Watch) -> None:
    """Neither work nor words tell that an id names somebody else's stake; nor does it later, from a cache."""
    for name in ("maria", "johan"):
        await _enrol(watch, name)
    maria = await watch.process.service.sign_in("maria")
    johan = await watch.process.service.sign_in("johan")
    theirs = await johan.stake()
    nobodys = str(new_id(SystemClock(), SystemEntropy()))
    for person in (maria, johan):
        await person.get("/api/stake")

    async def looked(stake_id: str) -> Trace:
        trace = await watch.trace(lambda _: _get(maria, stake_id))
        return Trace(
            **{
                **trace.__dict__,
                "body": trace.body.replace(stake_id.encode(), b"-"),
                "headers": tuple(pair for pair in trace.headers if pair[0] != "ratelimit"),
            }
        )

    await looked(nobodys)
    for _ in range(2):
        assert await looked(theirs) == await looked(nobodys)
        await johan.get(f"/api/stake/{theirs}")


async def _get(person: Person, stake_id: str) -> httpx.Response:
    return await person.get(f"/api/stake/{stake_id}")


async def test_the_comparison_sees_a_difference(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not hash for an unknown name, or says so, is found out."""
    await _enrol(watch, "maria")

    async def no_work(self: object, password: str) -> bool:
        return False

    monkeypatch.setattr("stakehold.security.passwords.PasswordHasher.verify_unknown", no_work)
    known, unknown = await watch.refused("maria", WRONG), await watch.refused("nobody", WRONG)
    assert known != unknown
    assert (len(known.hashes), len(unknown.hashes)) == (1, 0)
    assert known.body == unknown.body
