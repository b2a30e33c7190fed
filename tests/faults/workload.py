"""Clients of a campaign: they sign in, make stakes, read them back from any server, and sign out again.

Two clients share each user. What they ask is drawn from a seed; what they are answered decides how they go
on: a stake whose making was not confirmed is asked for again, with its key.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.faults.history import ANY_SERVER, Operation
from tests.faults.recorder import Call, Members, Recorder, claims_of
from tests.support.service import PASSWORD, Service

LIMITS = {
    "auth": (10, 5), "auth-failure": (8, 20), "sign-up": (5, 5), "refresh": (10, 5), "account": (15, 5),
    "stake-create": (15, 4), "stake-read": (30, 4), "global": (45, 4), "plan-read": (60, 5),
}  # fmt: skip
"""Low enough to be met, with windows short enough to end within a run: quota and seconds."""

PERIODS = (1, 3, 6, 12)
KEPT_IN_MIND = 50
PACES_S = (0.005, 0.005, 0.05, 0.1)
"""Mean pauses of a user's clients: half of the users are greedy, and meet their limits."""

NEWCOMERS_ACTS = 8
NEWCOMERS_PACE_S = 0.3
_WEIGHTS = {
    "list": 45, "get": 12, "create": 30, "me": 4, "refresh": 2, "sign_out": 1, "spent_refresh": 0.3,
    "wrong_password": 0.3, "sign_in": 0.3,
}  # fmt: skip
_LOOKS = {"ok": (0, 0, 1, 2), "unknown": (2, 3, 4), "fail": (0,)}


def limits_setting() -> str:
    """LIMITS as the servers are told."""
    return ",".join(f"{name}={quota}/{window_s}" for name, (quota, window_s) in LIMITS.items())


@dataclass
class User:
    """A user, as their clients know them together."""

    name: str
    passwords: list[str]
    """The one in force last; more while it is not known whether it was changed."""
    stakes: list[str] = field(default_factory=list)
    unsettled: list[Members] = field(default_factory=list)
    """Stakes that may have been made, with their keys."""


@dataclass
class Tokens:
    """What a client holds of a session."""

    access: str
    refresh: str
    claims: Members


class Client:
    """One who asks one thing after another."""

    def __init__(
        self,
        number: int,
        user: User,
        recorder: Recorder,
        rng: random.Random,
        intentions: "itertools.count[int]",
        *,
        pace_s: float,
    ) -> None:
        self.number = number
        self.user = user
        self.tokens: Tokens | None = None
        self.changes_password = False
        self.pages: dict[str, tuple[str, Members]] = {}
        """By path: the ETag and what it stood for."""
        self._recorder = recorder
        self._random = rng
        self._intentions = intentions
        self._pace_s = pace_s
        self._address = f"198.51.100.{number}"
        self._cursors: list[tuple[str, str]] = []
        self._to_look = 0
        """How many pages to read before anything else."""
        self._spent: tuple[str, str] | None = None

    async def run(self, until: Callable[[], bool]) -> None:
        """Ask until told to stop."""
        while not until():
            operation = await self.act(self._any_server())
            await asyncio.sleep(self._pause_s(operation))

    async def act(self, server: int) -> Operation:
        """Ask one thing of a server."""
        if self.tokens is None:
            return await self.sign_in(server)
        if self._to_look:
            self._to_look -= 1
            return await self.list(server)
        if self.user.unsettled and self._random.random() < 0.5:
            return await self.create(server, self.user.unsettled.pop(0))
        kinds = {**_WEIGHTS, "change_password": 1.0} if self.changes_password else _WEIGHTS
        match self._random.choices(list(kinds), list(kinds.values()))[0]:
            case "list":
                return await self.list(server)
            case "get" if self.user.stakes:
                return await self.get(server)
            case "create":
                return await self.create(server, self.new_stake())
            case "refresh":
                return await self.refresh(server)
            case "sign_out":
                return await self.sign_out(server)
            case "change_password":
                return await self.change_password(server)
            case "spent_refresh" if self._spent:
                return await self._refresh_with(server, *self._spent)
            case "wrong_password":
                return await self.sign_in(server, "not the password of anybody")
            case "sign_in":
                return await self.sign_in(server)
        return await self._ask(server, "me", "GET", "/api/me", {})

    async def sign_up(self, server: int) -> Operation:
        """Make the user."""
        asked = {"password": self.user.passwords[0], "address": self._address}
        body = {"username": self.user.name, "password": self.user.passwords[0]}
        async with self._recorder.hashing:
            return await self._ask(server, "sign_up", "POST", "/api/users", asked, body=body, signed_in=False)

    async def sign_in(self, server: int, password: str | None = None) -> Operation:
        """Begin a session."""
        password = password or self.user.passwords[-1]
        asked = {"password": password, "address": self._address}
        body = {"username": self.user.name, "password": password}
        async with self._recorder.hashing:
            done = await self._ask(server, "sign_in", "POST", "/api/auth", asked, body=body, signed_in=False)
        if done.outcome == "ok":
            self._take(done)
        elif done.status == 401 and password in self.user.passwords:
            self.user.passwords.insert(0, self.user.passwords.pop())
        return done

    async def refresh(self, server: int) -> Operation:
        """Exchange the refresh token."""
        assert self.tokens is not None
        return await self._refresh_with(server, self.tokens.refresh, str(self.tokens.claims["session"]))

    async def sign_out(self, server: int) -> Operation:
        """End the session, or all of the user's."""
        everywhere = self._random.random() < 0.2
        asked = {"all": everywhere}
        done = await self._ask(server, "sign_out", "POST", "/api/auth/logout", asked, body=asked)
        # The token is tried again, mostly: it must be refused, wherever it is shown.
        if done.outcome == "ok" and self._random.random() < 0.3:
            self.tokens = None
        return done

    async def change_password(self, server: int) -> Operation:
        """Set another password."""
        present, new = self.user.passwords[-1], f"a password, number {next(self._intentions)}"
        asked = {"password": present, "new_password": new}
        body = {"currentPassword": present, "newPassword": new}
        async with self._recorder.hashing:
            done = await self._ask(server, "change_password", "POST", "/api/me/password", asked, body=body)
        if done.outcome == "ok":
            self.user.passwords = [new]
            self._take(done)
        elif done.outcome == "unknown":
            self.user.passwords.append(new)
        return done

    async def create(self, server: int, stake: Members) -> Operation:
        """Make a stake, or ask for it again."""
        body = {"amount": stake["amount"], "period": stake["period"]}
        key = stake["idempotency_key"]
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        done = await self._ask(server, "create", "POST", "/api/stake", stake, body=body, headers=headers)
        # Whether confirmed or not, what other servers show of it is looked at before the next write.
        self._to_look = self._random.choice(_LOOKS[done.outcome])
        if done.outcome == "ok":
            self.user.stakes.append(str(done.answer["stakeId"]))
            del self.user.stakes[:-KEPT_IN_MIND]
            if key and self._random.random() < 0.05:
                self.user.unsettled.append(stake)
        elif key and (done.outcome == "unknown" or done.status in (409, 429, 503)):
            self.user.unsettled.append(stake)
        return done

    async def list(self, server: int) -> Operation:
        """Read a page: mostly the same one, so that it is in the cache, or by number, or after a cursor."""
        limit, page, cursor = 5, None, None
        if self._random.random() < 0.4:
            limit = self._random.choice((1, 2, 3, 5, 10))
            page = self._random.choice((None, 1, 2, 3))
        path = f"/api/stake?limit={limit}"
        if limit != 5 and self._cursors and self._random.random() < 0.3:
            page, (text, cursor) = None, self._cursors.pop()
            path += f"&cursor={text}"
        elif page is not None:
            path += f"&page={page}"
        done = await self._read(server, "list", path, {"page": page, "limit": limit, "cursor": cursor})
        items = done.answer.get("items")
        if done.status == 200 and done.answer.get("hasMore") and isinstance(items, list):
            self._cursors = [(str(done.answer["nextCursor"]), str(items[-1]["id"]))]
        return done

    async def get(self, server: int) -> Operation:
        """Read one stake, mostly a late one."""
        stake_id = self._random.choice(self.user.stakes[-5:])
        return await self._read(server, "get", f"/api/stake/{stake_id}", {"stake_id": stake_id})

    async def _read(self, server: int, kind: str, path: str, asked: Members) -> Operation:
        known = self.pages.get(path) if self._random.random() < 0.5 else None
        headers = {"If-None-Match": known[0]} if known else {}
        stands_for = known[1] if known else None
        done = await self._ask(server, kind, "GET", path, asked, headers=headers, stands_for=stands_for)
        if done.status == 200:
            if len(self.pages) >= KEPT_IN_MIND:
                self.pages.clear()
            body = {name: value for name, value in done.answer.items() if name in _OF_A_PAGE}
            self.pages[path] = (str(done.answer["etag"]), body)
        return done

    async def _refresh_with(self, server: int, refresh_token: str, session: str) -> Operation:
        asked = {"refresh_token": refresh_token, "session": session, "address": self._address}
        body = {"refreshToken": refresh_token}
        done = await self._ask(
            server, "refresh", "POST", "/api/auth/refresh", asked, body=body, signed_in=False
        )
        if done.outcome == "ok":
            self._spent = (refresh_token, session)
            self._take(done)
        elif done.status == 401:
            self.tokens = None
        return done

    async def _ask(
        self, server: int, kind: str, method: str, path: str, asked: Members, *,
        body: Members | None = None, headers: Members | None = None, stands_for: Members | None = None,
        signed_in: bool = True,
    ) -> Operation:  # fmt: skip
        sent = {
            "X-Forwarded-For": self._address,
            **{name: str(value) for name, value in (headers or {}).items()},
        }
        claims: Members = {}
        if signed_in:
            assert self.tokens is not None
            sent["Authorization"] = f"Bearer {self.tokens.access}"
            claims = self.tokens.claims
        call = Call(kind, method, path, {**asked, **claims}, sent, body, stands_for)
        done = await self._recorder.ask(self.number, self.user.name, server, call)
        if signed_in and done.status == 401:
            if done.answer.get("code") == "token_expired":
                await self.refresh(server)
            else:
                self.tokens = None
        return done

    def _take(self, done: Operation) -> None:
        claims = {name: done.answer[name] for name in ("session", "epoch")}
        self.tokens = Tokens(str(done.answer["token"]), str(done.answer["refreshToken"]), claims)

    def new_stake(self) -> Members:
        """A stake that nobody has asked for."""
        number = next(self._intentions)
        key = f"intention {number}" if self._random.random() < 0.5 else None
        return {"amount": f"{number}.25", "period": self._random.choice(PERIODS), "idempotency_key": key}

    def _any_server(self) -> int:
        return self._random.randrange(len(self._recorder.cluster.servers))

    def _pause_s(self, operation: Operation) -> float:
        if operation.status in (None, 429, 503):
            return self._random.uniform(0.05, 0.5)
        return self._random.expovariate(1 / self._pace_s)


_OF_A_PAGE = frozenset({"items", "hasMore", "nextCursor", "id", "amount", "period"})


class Runner(Protocol):
    """Whoever asks until told to stop."""

    async def run(self, until: Callable[[], bool]) -> None:
        """Ask until told to stop."""
        ...


class Newcomers:
    """One new user after the other signs up, asks a few things, and is not seen again."""

    def __init__(
        self, number: int, recorder: Recorder, rng: random.Random, intentions: "itertools.count[int]"
    ) -> None:
        self._number = number
        self._recorder = recorder
        self._random = rng
        self._intentions = intentions

    async def run(self, until: Callable[[], bool]) -> None:
        """Ask until told to stop."""
        for count in itertools.count(1):
            user = User(f"newcomer-{count}", [PASSWORD])
            client = Client(
                self._number, user, self._recorder, self._random, self._intentions, pace_s=NEWCOMERS_PACE_S
            )
            await client.sign_up(self._random.randrange(len(self._recorder.cluster.servers)))
            left = itertools.count(-NEWCOMERS_ACTS)
            await client.run(lambda left=left: until() or next(left) == 0)  # type: ignore[misc]
            if until():
                return


async def enrolled(
    recorder: Recorder, number: int, name: str, rng: random.Random, intentions: "itertools.count[int]"
) -> list[Client]:
    """A new user, written into the database, and two clients who hold one session of theirs each."""
    cluster = recorder.cluster
    service = Service(None, cluster.database_url, cluster.redis_url, cluster.settings)  # type: ignore[arg-type]
    began_s = time.monotonic()
    person = await service.enrol(name)
    user = User(name, [PASSWORD])
    claims = claims_of(person.token)
    ((user_id,),) = await service.sql("SELECT id FROM users WHERE username = $1", name)
    _note_set_up(recorder, number, name, "sign_up", began_s, {"id": str(user_id)})
    tokens = {"token": person.token, "refreshToken": person.refresh_token, **claims}
    _note_set_up(recorder, number, name, "sign_in", began_s, tokens)
    pace_s = rng.choice(PACES_S)
    clients = [Client(number + half, user, recorder, rng, intentions, pace_s=pace_s) for half in (0, 1)]
    clients[0].tokens = Tokens(person.token, person.refresh_token, claims)
    return clients


def _note_set_up(
    recorder: Recorder, client: int, user: str, kind: str, began_s: float, answer: Members
) -> None:
    status = 201 if kind == "sign_up" else 200
    asked = {"password": PASSWORD, "set_up": True}
    now_s = began_s if kind == "sign_up" else time.monotonic()
    recorder.history.append(
        Operation(
            recorder.number(), client, ANY_SERVER, user, kind, began_s, now_s, status, "ok", asked, answer
        )
    )
