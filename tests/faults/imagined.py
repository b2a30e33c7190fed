"""Runs of a service that keeps its promises, imagined from a seed: what the checker must find nothing in.

Clients ask at random, two users share four of them; each request takes effect at one moment between its start
and its end. Some writes are answered 503 `outcome_unknown`, done or not, and are sent again with their key.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.final_state import FinalState, KeyRow, SessionRow, StakeRow, UserRow
from tests.faults.history import History, Operation, classify
from tests.faults.promises.limits import BY_ADDRESS, POLICIES
from tests.faults.promises.run import Rules

RULES = Rules(
    limits={
        "auth": (6, 5.0), "sign-up": (6, 5.0), "refresh": (6, 5.0), "account": (6, 5.0),
        "stake-create": (8, 5.0), "stake-read": (10, 5.0), "global": (40, 5.0), "auth-failure": (3, 20.0),
    },
    processes=2,
)  # fmt: skip

Members = dict[str, Any]


@dataclass
class _User:
    id: str
    password: str
    disabled: bool = False
    epoch: int = 0
    stakes: list[Members] = field(default_factory=list)
    """Oldest first."""
    keys: dict[str, Members] = field(default_factory=dict)
    sessions: dict[str, Members] = field(default_factory=dict)


@dataclass
class _Client:
    number: int
    user: str
    token: Members = field(default_factory=dict)
    refresh_token: str = ""
    spent: tuple[str, str] | None = None
    """A refresh token that was exchanged, and its session."""
    cursor: str | None = None
    retry: Members | None = None


class _Refusal(Exception):
    def __init__(self, status: int, code: str, **members: Any) -> None:
        self.status, self.members = status, {"code": code, **members}


class Imagined:
    """The service, its clients, and the history they write."""

    def __init__(self, seed: int) -> None:
        self.history = History()
        self._random = random.Random(seed)
        self._users: dict[str, _User] = {}
        self._passwords = {name: f"first {name}" for name in ("ada", "bob")}
        self._numbers, self._ids = itertools.count(1), itertools.count(1)
        self._now_s = 100.0
        self._charged: dict[tuple[str, str], list[float]] = {}
        self._clients = [_Client(number, name) for number, name in enumerate(("ada", "ada", "bob", "bob"))]

    def run(self, operations: int) -> "Imagined":
        """Let the clients ask so many times, together."""
        for name in ("ada", "bob"):
            self._one_after_another(next(one for one in self._clients if one.user == name), "sign_up")
        events: list[tuple[float, int, Callable[[], None]]] = []
        order = itertools.count()
        begun = 0

        def later(wait_s: float, what: Callable[[], None]) -> None:
            heapq.heappush(events, (self._now_s + self._random.uniform(0.001, wait_s), next(order), what))

        def ask(client: _Client) -> None:
            nonlocal begun
            if begun == operations:
                return
            begun += 1
            kind, request = self._choose(client)
            number, started_s = next(self._numbers), self._now_s

            def take_effect() -> None:
                status, answer = self._answer(client.user, kind, request)

                def end() -> None:
                    self._note(client, number, kind, request, started_s, status, answer)
                    later(0.3, lambda: ask(client))

                later(0.2, end)

            later(0.2, take_effect)

        for client in self._clients:
            later(0.3, lambda client=client: ask(client))  # type: ignore[misc]
        while events:
            self._now_s, _, what = heapq.heappop(events)
            what()
        return self

    @property
    def final_state(self) -> FinalState:
        """The rows as they are now."""
        return FinalState(
            users=[
                UserRow(user.id, name, "disabled" if user.disabled else "active", user.epoch)
                for name, user in self._users.items()
            ],
            stakes=[
                StakeRow(user.id, stake["id"], stake["amount"], stake["period"])
                for user in self._users.values()
                for stake in user.stakes
            ],
            keys=[
                KeyRow(user.id, key, kept["stake_id"])
                for user in self._users.values()
                for key, kept in user.keys.items()
            ],
            sessions=[
                SessionRow(user.id, session, kept["epoch"], kept["revoked"])
                for user in self._users.values()
                for session, kept in user.sessions.items()
            ],
        )

    # What clients ask.

    def _choose(self, client: _Client) -> tuple[str, Members]:
        if client.retry is not None and self._random.random() < 0.7:
            request, client.retry = client.retry, None
            return "create", {**request, **client.token, "request_id": None}
        kinds = (
            "list",
            "get",
            "me",
            "create",
            "sign_in",
            "refresh",
            "sign_out",
            "change_password",
            "disable",
        )
        weights = (30, 10, 5, 30, 6, 5, 3, 3, 1)
        kind = self._random.choices(kinds, weights)[0] if client.token else "sign_in"
        if kind == "disable" and self._users[client.user].disabled:
            kind = "enable"
        if self._users[client.user].disabled and self._random.random() < 0.5:
            kind = "enable"
        return kind, self._request(client, kind)

    def _request(self, client: _Client, kind: str) -> Members:
        number = next(self._ids)
        token = dict(client.token)
        match kind:
            case "sign_up" | "sign_in":
                wrong = kind == "sign_in" and self._random.random() < 0.15
                password = "guess" if wrong else self._passwords[client.user]
                return {"password": password, "address": f"192.0.2.{client.number}"}
            case "refresh":
                refresh_token, session = client.refresh_token, token.get("session")
                if client.spent is not None and self._random.random() < 0.2:
                    refresh_token, session = client.spent
                address = f"192.0.2.{client.number}"
                return {"refresh_token": refresh_token, "session": session, "address": address}
            case "sign_out":
                return {**token, "all": self._random.random() < 0.3}
            case "change_password":
                return {**token, "password": self._passwords[client.user], "new_password": f"next {number}"}
            case "create":
                key = f"key {number}" if self._random.random() < 0.7 else None
                period = self._random.choice((1, 12))
                return {**token, "amount": str(number), "period": period, "idempotency_key": key}
            case "list":
                limit = self._random.choice((1, 2, 5, 100))
                if client.cursor is not None and self._random.random() < 0.5:
                    return {**token, "page": None, "limit": limit, "cursor": client.cursor}
                page = self._random.choice((None, 1, 1, 2, 3))
                return {**token, "page": page, "limit": limit, "cursor": None}
            case "get":
                known = [stake["id"] for user in self._users.values() for stake in user.stakes]
                return {**token, "stake_id": self._random.choice(known) if known else "nothing"}
        return token

    def _one_after_another(self, client: _Client, kind: str) -> None:
        request, started_s = self._request(client, kind), self._now_s
        self._now_s += 0.1
        status, answer = self._answer(client.user, kind, request)
        self._now_s += 0.1
        self._note(client, next(self._numbers), kind, request, started_s, status, answer)

    def _note(
        self, client: _Client, number: int, kind: str, request: Members, started_s: float, status: int,
        answer: Members,
    ) -> None:  # fmt: skip
        outcome = classify(kind, status, answer.get("code"))
        server = self._random.randrange(2)
        self.history.append(
            Operation(
                number, client.number, server, client.user, kind, started_s, self._now_s, status, outcome,
                request, answer,
            )
        )  # fmt: skip
        if kind == "refresh" and outcome == "ok":
            client.spent = (request["refresh_token"], request["session"])
        if "session" in answer:
            client.token = {"session": answer["session"], "epoch": answer["epoch"]}
            client.refresh_token = answer["refreshToken"]
        elif status == 401 or (kind == "sign_out" and outcome == "ok"):
            client.token = {}
        if kind == "change_password" and outcome == "ok":
            self._passwords[client.user] = request["new_password"]
        if kind == "create" and request["idempotency_key"]:
            again = outcome == "unknown" or (outcome == "ok" and self._random.random() < 0.2)
            client.retry = request if again else client.retry
        if kind == "list" and status == 200:
            client.cursor = answer["items"][-1]["id"] if answer["hasMore"] else None

    # What the service does.

    def _answer(self, name: str, kind: str, request: Members) -> tuple[int, Members]:
        """Take effect, now: the status and the answer."""
        headers = {"x-request-id": f"r{next(self._ids)}"}
        if kind in ("disable", "enable"):
            user = self._users[name]
            user.epoch += kind == "disable" and not user.disabled
            user.disabled = kind == "disable"
            return 200, {}
        lost = kind in ("create", "sign_out") and self._random.random() < 0.15
        try:
            self._charge(name, kind, request)
            if lost and self._random.random() < 0.5:
                raise _Refusal(503, "outcome_unknown")
            status, body = getattr(self, f"_{kind}")(name, request)
            if lost:
                raise _Refusal(503, "outcome_unknown")
        except _Refusal as refusal:
            retry = {"retry-after": "1"} if refusal.status in (429, 503) else {}
            return refusal.status, {**refusal.members, **headers, **retry}
        return status, {**body, **headers}

    def _charge(self, name: str, kind: str, request: Members) -> None:
        if kind not in BY_ADDRESS:
            user, session = self._users[name], self._users[name].sessions.get(request["session"])
            if user.disabled or session is None or session["revoked"] or session["epoch"] < user.epoch:
                raise _Refusal(401, "session_ended")
        subject = request["address"] if kind in BY_ADDRESS else name
        names = [(subject, POLICIES[kind]), (subject, "global")]
        if kind in ("sign_in", "change_password"):
            names.append((f"guesses at {name}", "auth-failure"))
        for who, policy in names:
            quota, window_s = RULES.limits[policy]
            times = self._charged.setdefault((who, policy), [])
            if sum(time_s > self._now_s - window_s for time_s in times) >= quota:
                raise _Refusal(429, "rate_limited", **{"violated-policies": [policy]})
        for key in names[:2]:
            self._charged[key].append(self._now_s)

    def _sign_up(self, name: str, request: Members) -> tuple[int, Members]:
        self._users[name] = _User(f"user {name}", request["password"])
        return 201, {"id": f"user {name}"}

    def _guess(self, name: str, password: str, refusal: _Refusal) -> None:
        if password != self._users[name].password or self._users[name].disabled:
            self._charged[f"guesses at {name}", "auth-failure"].append(self._now_s)
            raise refusal

    def _sign_in(self, name: str, request: Members) -> tuple[int, Members]:
        self._guess(name, request["password"], _Refusal(401, "invalid_credentials"))
        return 200, self._begin_session(self._users[name])

    def _begin_session(self, user: _User) -> Members:
        session = f"session {next(self._ids)}"
        refresh_token = f"refresh {next(self._ids)}"
        user.sessions[session] = {"epoch": user.epoch, "revoked": False, "refresh": refresh_token}
        return {"session": session, "epoch": user.epoch, "refreshToken": refresh_token}

    def _refresh(self, name: str, request: Members) -> tuple[int, Members]:
        user = self._users[name]
        session = user.sessions[request["session"]]
        if user.disabled or session["revoked"] or session["epoch"] < user.epoch:
            raise _Refusal(401, "invalid_refresh_token")
        if session["refresh"] != request["refresh_token"]:
            session["revoked"] = True
            raise _Refusal(401, "invalid_refresh_token")
        session["refresh"] = f"refresh {next(self._ids)}"
        told = {"session": request["session"], "epoch": session["epoch"], "refreshToken": session["refresh"]}
        return 200, told

    def _sign_out(self, name: str, request: Members) -> tuple[int, Members]:
        if request["all"]:
            self._users[name].epoch += 1
        else:
            self._users[name].sessions[request["session"]]["revoked"] = True
        return 204, {}

    def _change_password(self, name: str, request: Members) -> tuple[int, Members]:
        user = self._users[name]
        self._guess(name, request["password"], _Refusal(403, "wrong_password"))
        user.password = request["new_password"]
        user.epoch += 1
        return 200, self._begin_session(user)

    def _me(self, name: str, request: Members) -> tuple[int, Members]:
        return 200, {"username": name}

    def _create(self, name: str, request: Members) -> tuple[int, Members]:
        user, key = self._users[name], request["idempotency_key"]
        if key in user.keys:
            return 201, {"stakeId": user.keys[key]["stake_id"], "idempotency-replayed": "true"}
        stake_id = f"{round(self._now_s * 1e6):016d}-{next(self._ids)}"
        user.stakes.append({"id": stake_id, "amount": request["amount"], "period": str(request["period"])})
        if key is not None:
            user.keys[key] = {"stake_id": stake_id}
        return 201, {"stakeId": stake_id}

    def _list(self, name: str, request: Members) -> tuple[int, Members]:
        stakes, limit = self._users[name].stakes[::-1], request["limit"]
        if request["cursor"] is not None:
            stakes = [stake for stake in stakes if stake["id"] < request["cursor"]]
        else:
            stakes = stakes[((request["page"] or 1) - 1) * limit :]
        return 200, {"items": stakes[:limit], "hasMore": len(stakes) > limit}

    def _get(self, name: str, request: Members) -> tuple[int, Members]:
        for stake in self._users[name].stakes:
            if stake["id"] == request["stake_id"]:
                return 200, stake
        raise _Refusal(404, "not_found")
