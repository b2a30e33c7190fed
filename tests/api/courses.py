"""What people do with the service: requests that mean it, in an order in which they do what they are for.

What a request knows only from the answers before it, such as the id of a stake, stands in it as a name of
MEMORY: each service has made ids and tokens of its own.
"""

import json
from dataclasses import dataclass

from stakehold.domain.accounts import ADMIN, Scope
from tests.support.plans import make_plan
from tests.support.service import PASSWORD

TOKEN, REFRESH, SPENT, NAME = b"@token@", b"@refresh@", b"@spent@", b"@name@"
STAKE, CURSOR, ETAG, QUOTE = b"@stake@", b"@cursor@", b"@etag@", b"@quote@"
MEMORY = (TOKEN, REFRESH, SPENT, NAME, STAKE, CURSOR, ETAG, QUOTE)

GRADED = make_plan(
    id="GLD-6M", asset="GLD", scale=2, period_months=6,
    minimum_minor=500, maximum_minor=100_000, step_minor=50,
    early_exit="forfeit_part", early_exit_ppm=250_000, cooldown_s=86_400, grace_s=0,
)  # fmt: skip
"""A plan to be on sale beside those that are from the beginning, with more in its terms than they have."""

Field = tuple[bytes, bytes]

BEARER: Field = (b"Authorization", b"Bearer " + TOKEN)
JSON: Field = (b"Content-Type", b"application/json")
_ONCE: Field = (b"Idempotency-Key", b'"one"')


@dataclass(frozen=True)
class Request:
    """One request; `body` is sent in one piece or, if `chunked`, in several."""

    method: str
    target: bytes
    fields: tuple[Field, ...] = ()
    body: bytes = b""
    chunked: bool = False


@dataclass(frozen=True)
class Conversation:
    """Requests that are sent one after another, as a new user who is signed in, with this scope."""

    scope: Scope
    requests: tuple[Request, ...]


def get(target: bytes, *fields: Field) -> Request:
    """A read of somebody who is signed in."""
    return Request("GET", target, (BEARER, *fields))


def post(path: bytes, body: bytes, *fields: Field) -> Request:
    """A change by somebody who is signed in."""
    return Request("POST", path, (BEARER, JSON, *fields), body)


def refresh(token: bytes) -> Request:
    """A new pair of tokens for this refresh token."""
    return post(b"/api/auth/refresh", b'{"refreshToken": "%b"}' % token)


def _instruct(instruction: bytes, *fields: Field) -> Request:
    body = b'{"maturityInstruction": "%b"}' % instruction
    return Request("PATCH", b"/api/stake/" + STAKE, (BEARER, JSON, *fields), body)


def _adjust(path: bytes, amount: bytes, *fields: Field, of: bytes = NAME) -> Request:
    body = b'{"username": "%b", "asset": "STK", "amount": "%b", "reason": "Wire 4711"}' % (of, amount)
    return post(b"/api/admin/" + path, body, *fields)


READS_OF_THE_LEDGER = (
    b"/api/balances", b"/api/balances?asOf=2100-01-01",
    b"/api/ledger?limit=1", b"/api/ledger?limit=1&cursor=2",
    b"/api/ledger/verification", b"/api/ledger/verification?after=1",
    b"/api/rewards", b"/api/rewards?limit=1&from=2026-01-01&to=2100-01-01",
    b"/api/statement?from=2026-01-01&to=2100-01-01",
    b"/api/statement?from=2026-01-01&to=2100-01-01T00:00:00%2B01:00&format=csv",
)  # fmt: skip
_READ_THE_LEDGER = tuple(get(target) for target in READS_OF_THE_LEDGER)

CREDENTIALS = json.dumps({"username": NAME.decode(), "password": PASSWORD}).encode()
_NEW_PASSWORD = json.dumps({"currentPassword": PASSWORD, "newPassword": "a long walk home"}).encode()

ACCOUNT = (
    post(b"/api/users", CREDENTIALS.replace(NAME, b"x-" + NAME)),
    post(b"/api/auth", CREDENTIALS),
    refresh(REFRESH),
    get(b"/api/me"),
    post(b"/api/me/password", _NEW_PASSWORD),
    post(b"/api/auth/logout", b'{"all": true}'),
)
_DOCUMENTS = tuple(
    get(path)
    for path in (
        b"/openapi.json", b"/docs", b"/docs.css", b"/docs.js", b"/healthz", b"/readyz",
        b"/api/plans", b"/api/plans/GLD-6M", b"/api/plans/GLD-6M/versions", b"/api/plans/NONE",
        b"/api/plans/STK-12M/versions?before=1", b"/api/plans/stk-12m",
    )
)  # fmt: skip
_ORDER = b'{"amount": "150.50", "plan": "GLD-6M"}'
_GRADED_STAKE = post(b"/api/stake", _ORDER)
_CONFIRMED = b'{"quoteId": "' + QUOTE + b'"}'
_ONE_STAKE = b"/api/stake/" + STAKE
_QUOTED = (
    post(b"/api/stake/quote", b'{"amount": 0.1, "period": 12}'),
    post(b"/api/stake/quote", b'{"amount": "150.75", "plan": "GLD-6M"}'),
    post(b"/api/stake/quote", _ORDER),
    post(b"/api/stake", b'{"amount": "150", "plan": "GLD-6M", "quoteId": "' + QUOTE + b'"}'),
    post(b"/api/stake", _ORDER[:-1] + b', "quoteId": "' + QUOTE + b'"}'),
)
_LISTED = (
    _GRADED_STAKE, _GRADED_STAKE, get(b"/api/stake?limit=1"),
    get(b"/api/stake?limit=1&cursor=" + CURSOR), get(b"/api/stake?page=2&limit=1"),
)  # fmt: skip
_LEAVE = post(_ONE_STAKE + b"/unstake", _CONFIRMED)
_LEAVE_ONCE = post(_ONE_STAKE + b"/unstake", _CONFIRMED, _ONCE)
_ASK_TO_LEAVE = Request("POST", _ONE_STAKE + b"/unstake/quote", (BEARER,))
_CANCEL = Request("POST", _ONE_STAKE + b"/cancel", (BEARER,))
_CANCEL_ONCE = Request("POST", _ONE_STAKE + b"/cancel", (BEARER, _ONCE))
_LEFT = (
    _GRADED_STAKE, _CANCEL, _ASK_TO_LEAVE, _LEAVE_ONCE, _LEAVE_ONCE, _LEAVE, _ASK_TO_LEAVE, get(_ONE_STAKE),
    *_READ_THE_LEDGER,
)  # fmt: skip
_CANCELLED = (
    post(b"/api/stake", b'{"amount": "1e2", "period": 12}'), _ASK_TO_LEAVE,
    _CANCEL_ONCE, _CANCEL_ONCE, _CANCEL, _LEAVE, *_READ_THE_LEDGER,
)  # fmt: skip
_INSTRUCTED = (
    _GRADED_STAKE, get(_ONE_STAKE), get(_ONE_STAKE, (b"If-None-Match", ETAG)),
    _instruct(b"renew_all", (b"If-Match", ETAG)), _instruct(b"payout", (b"If-Match", b'"none"')),
    _instruct(b"renew_all", (b"If-Match", b"*")), _instruct(b"renew_principal"), get(_ONE_STAKE),
)  # fmt: skip
_ADJUSTED = (
    _adjust(b"deposits", b"100.5", _ONCE), _adjust(b"deposits", b"1.005e2", _ONCE),
    _adjust(b"deposits", b"100", _ONCE), _adjust(b"deposits", b"1", of=b"nobody-there"),
    _adjust(b"withdrawals", b"40"), _adjust(b"withdrawals", b"60.50000001"), *_READ_THE_LEDGER,
)  # fmt: skip

COURSES = (
    Conversation("", _LEFT),
    Conversation(ADMIN, _ADJUSTED),
    Conversation("", _CANCELLED),
    Conversation(ADMIN, _INSTRUCTED),
    Conversation("", (*_ADJUSTED[:1], *_LISTED)),
    Conversation(ADMIN, _QUOTED),
)
COURSES_HELD_ONCE = (Conversation("", ACCOUNT), Conversation("", _DOCUMENTS))
"""Hashing passwords takes long, and documents are the same to everybody."""

CHANGES = tuple({one: None for course in COURSES for one in course.requests if one not in _READ_THE_LEDGER})
"""Each of the other requests of the courses, to be sent at any time."""
