"""What Schemathesis is told about the service: who signs in, and what it may refuse beyond its schemas.

Loaded by the `schemathesis` command that test_campaign.py starts; configured by the environment it is given.
"""

import asyncio
import atexit
import json
import os
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st

from stakehold.domain.accounts import Scope
from tests.api import oracle
from tests.support.service import PASSWORD, Person, Service

_SERVICE = Service(None, os.environ["DATABASE_URL"], "", {"JWT_SECRET": os.environ["JWT_SECRET"]})  # type: ignore[arg-type]
_ENDS_SESSIONS = ("signOut", "changePassword")
_FOR_OPERATORS = ("deposit", "withdraw")
_TOKEN_AGE_MAX_S = 600


def _enrol(role: str, scope: Scope = "") -> Person:
    return asyncio.run(_SERVICE.enrol(f"{role}-{uuid.uuid4().hex}", scope=scope))


class SignedIn:
    """One resident makes all calls but those that end sessions: each of these has a guest of its own."""

    def __init__(self) -> None:
        self._resident: Person | None = None
        self._made_at_s = 0.0

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        """An access token."""
        if _id_of(case) in _ENDS_SESSIONS:
            return _enrol("guest").token
        if _id_of(case) in _FOR_OPERATORS:
            return _enrol("operator", "admin").token
        if self._resident is None or time.monotonic() - self._made_at_s > _TOKEN_AGE_MAX_S:
            self._resident, self._made_at_s = _enrol("resident"), time.monotonic()
        return self._resident.token

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        """Send it."""
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


if os.environ["STAKEHOLD_API_SIGNED_IN"] == "yes":
    schemathesis.auth(refresh_interval=None)(SignedIn)


# Text as the schema says is seldom a name, a password or an amount; half of what is tried should be one.
_LETTERS = st.characters(categories=["Ll", "Lu", "Nd"])
_FORMATS = {
    "username": st.text(_LETTERS, min_size=3, max_size=32) | st.text(min_size=3, max_size=64),
    "password": st.text(_LETTERS, min_size=8, max_size=64) | st.text(min_size=8, max_size=128),
    "plan": st.sampled_from(["STK-1M", "STK-12M"]) | st.from_regex(r"[A-Z0-9._-]{1,32}", fullmatch=True),
    "amount": st.decimals(min_value="0.00000001", max_value="1e29", places=8).map("{:f}".format)
    | st.from_regex(r"[1-9]{1,20}[eE][+-]?[0-9]{1,2}", fullmatch=True),
}
for _name, _strategy in _FORMATS.items():
    schemathesis.openapi.format(f"stakehold-{_name}", _strategy)


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Say what values of these members look like, for generation alone."""
    members = {name: schema.get("properties") for name, schema in raw_schema["components"]["schemas"].items()}
    members["SignUp"]["username"]["format"] = "stakehold-username"
    members["SignUp"]["password"]["format"] = "stakehold-password"
    members["ChangePassword"]["newPassword"]["format"] = "stakehold-password"
    for body in ("CreateStake", "QuoteStake"):
        members[body]["amount"]["oneOf"][1]["format"] = "stakehold-amount"
        members[body]["plan"]["format"] = "stakehold-plan"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Know the secret, every other time: nothing that is generated does."""
    if not _is_positive(case) or len(str(case.body)) % 2:
        return
    match _id_of(case):
        case "changePassword":
            case.body = {**case.body, "currentPassword": PASSWORD}
        case "signIn":
            case.body = {"username": _enrol("guest").username, "password": PASSWORD}
        case "refresh":
            case.body = {"refreshToken": _enrol("guest").refresh_token}
        case "deposit" | "withdraw" if "Authorization" in (case.headers or {}):
            _know_balance(case)
        case "changeStake" | "unstake" if "Authorization" in (case.headers or {}):
            _know_stake(case)


def _know_stake(case: schemathesis.Case) -> None:
    """Have it be about a stake of whoever makes the call, and leave it with a quote for it."""
    authorization = {"Authorization": case.headers["Authorization"]}
    with httpx.Client(base_url=case.operation.base_url, headers=authorization) as client:
        made = client.post("/api/stake", json={"amount": 1, "period": 12})
        if made.status_code != 201:
            return
        stake_id = made.json()["stakeId"]
        case.path_parameters = {"stakeId": stake_id}
        if _id_of(case) == "unstake":
            case.body = {"quoteId": client.post(f"/api/stake/{stake_id}/unstake/quote").json()["quoteId"]}


def _know_balance(case: schemathesis.Case) -> None:
    """Have it be about a user there is, who has something to be taken."""
    body = {"username": _enrol("guest").username, "asset": "STK", "amount": "2", "reason": "of the tests"}
    if _id_of(case) == "withdraw":
        authorization = {"Authorization": case.headers["Authorization"]}
        with httpx.Client(base_url=case.operation.base_url, headers=authorization) as client:
            client.post("/api/admin/deposits", json=body)
    case.body = body


_tally: Counter[str] = Counter()


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response
) -> None:
    """Count what was tried and answered."""
    mode = "positive" if _is_positive(case) else "negative"
    token = "token" if "Authorization" in response.request.headers else "none"
    _tally[f"{response.request.method} {case.operation.path} {mode} {token} {response.status_code}"] += 1


@atexit.register
def _write_tally() -> None:
    Path(os.environ["STAKEHOLD_API_TALLY"]).write_text(json.dumps(_tally))


@schemathesis.check
def refuses_what_the_documentation_says(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """What is valid by its schema is refused for a documented reason, and never taken in spite of one."""
    if not _is_positive(case) or response.request.method != case.operation.method.upper():
        return
    operation, body, query = _id_of(case), case.body, case.query or {}
    if response.status_code == 422:
        problem = response.json()
        for field in problem["errors"]:
            allowed = oracle.may_refuse(operation, body, query, problem["code"], field["pointer"])
            assert allowed, f"refused without a documented reason: {field}"
    elif 200 <= response.status_code < 300:
        assert not oracle.must_refuse(operation, body, query), "taken, against the documentation"


@schemathesis.check
def names_the_field(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """A refusal for content says which field it is about, unless the query could not be read."""
    if response.status_code == 422 and response.request.method != "HEAD":
        problem = response.json()
        assert problem.get("errors") or problem["detail"] == "The query could not be read.", problem


def _id_of(case: schemathesis.Case) -> str:
    identifier: str = case.operation.definition.raw["operationId"]
    return identifier


def _is_positive(case: schemathesis.Case) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive
