"""The order of a request: token, body, gate, service, gate again, answer.

    verify the token → check scope, query, body → gate.enter → session → handler or page → gate.leave → answer

A body that is not valid is still counted, and opens no fence. Every exit whose outcome is known leaves the
gate; after an unknown outcome the fence is left to expire, so that no reader caches what may still change.
"""

import contextlib
import dataclasses

from starlette.types import Receive, Scope

from stakehold.domain.errors import AuthenticationError, DatabaseError, InsufficientScopeError, StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import REQUEST_DEADLINE_S
from stakehold.gate import (
    Caller,
    Entered,
    Entering,
    FillTicket,
    NewEntry,
    Policy,
    SessionRefusedError,
)
from stakehold.http.call import Answer, Call, StreamedAnswer
from stakehold.http.pages import Page, matches
from stakehold.http.reading import read_body, read_query
from stakehold.security.tokens import Claims
from stakehold.services.sessions import require_session

GLOBAL_POLICY = "global"
FRESH_S = 300
STALE_S = 300

_BEARER = b"bearer "
_JSON = (b"content-type", b"application/json")
_READ_CACHE_CONTROL = (b"cache-control", b"private, no-cache")


async def answer(call: Call, scope: Scope, receive: Receive) -> Answer | StreamedAnswer:
    """Answer one request for an operation. Raises StakeholdError and ClientGoneError."""
    operation = call.operation
    if operation.policy is None:
        assert operation.handler is not None
        return await operation.handler(call)
    policies = call.container.services.gate.policies
    limits = (policies.get(operation.policy), policies.get(GLOBAL_POLICY))
    if operation.signed_in:
        try:
            claims = _verify_token(call)
        except AuthenticationError:
            # Nobody is signed in: the address pays, from what it has for everything together.
            await _enter(call, _address(call, scope), limits[1:])
            raise
        call.caller = Caller(claims.user_id, claims.session_id, claims.epoch, claims.scope)
        call.caller_text = claims.sub
        subject = f"u:{claims.sub}"
    else:
        subject = _address(call, scope)
        if operation.charges_user and b"authorization" in call.headers:
            with contextlib.suppress(AuthenticationError):
                subject = f"u:{_verify_token(call).sub}"
    refused = _missing_scope(call) or await _read(call, scope["query_string"], receive)
    try:
        entered = await _enter(call, subject, limits, whole=refused is None)
    except SessionRefusedError:
        await _enter(call, _address(call, scope), limits[1:])
        raise
    if refused is not None:
        raise refused
    return await _serve(call, entered)


def _address(call: Call, scope: Scope) -> str:
    """The subject of those who are not signed in."""
    return f"a:{call.container.client_address(scope)}"


def _verify_token(call: Call) -> Claims:
    header = call.headers.get(b"authorization")
    if header is None:
        raise AuthenticationError("This call needs a bearer token.", code="missing_token")
    if header[:7].lower() != _BEARER:
        raise AuthenticationError(
            "The token is sent as: Authorization: Bearer <token>.", code="invalid_token"
        )
    try:
        token = header[7:].strip(b" ").decode("ascii")
    except UnicodeDecodeError:
        raise AuthenticationError("The access token is not valid.", code="invalid_token") from None
    return call.container.services.tokens.verify(token)


def _missing_scope(call: Call) -> StakeholdError | None:
    """What is wrong with the caller's scope, to be raised once it was counted."""
    needed = call.operation.scope
    if needed is None or needed in call.signed_in().scope.split(" "):
        return None
    return InsufficientScopeError(needed)


async def _read(call: Call, query_string: bytes, receive: Receive) -> StakeholdError | None:
    """Fill in query and body; what is wrong with them is returned, to be raised once it was counted."""
    operation = call.operation
    try:
        call.query = read_query(operation, query_string)
        call.body = await read_body(operation, call.headers, receive, call.deadline)
        if operation.parse is not None:
            call.parsed = operation.parse(call)
    except StakeholdError as error:
        return error
    return None


async def _enter(call: Call, subject: str, limits: tuple[Policy, ...], *, whole: bool = False) -> Entered:
    """Go through the gate: as the call's user with page and fences if `whole`, else to be counted alone."""
    operation = call.operation
    entering = Entering(
        request_id=call.charge_id,
        limits=limits,
        subject=subject,
        caller=call.caller if subject.startswith("u:") else None,
        page=operation.page(call) if whole and operation.page else None,
        fences=operation.fences if whole else (),
    )
    call.entered = await call.container.services.gate.enter(entering, call.deadline)
    return call.entered


async def _serve(call: Call, entered: Entered) -> Answer | StreamedAnswer:
    """The handler or the page, with the fence left whenever the outcome is known."""
    gate = call.container.services.gate
    outcome_known = True
    try:
        if call.caller is not None:
            await require_session(call.container.services, call.caller, entered, call.deadline)
        if call.operation.load is not None:
            return await _serve_page(call, entered)
        assert call.operation.handler is not None
        return await call.operation.handler(call)
    except DatabaseError as error:
        outcome_known = error.code != "outcome_unknown"
        raise
    except StakeholdError:
        raise
    except BaseException:
        # A fault of ours, or a cancellation: nobody knows how far the write came.
        outcome_known = False
        raise
    finally:
        if entered.fence is not None and outcome_known:
            await gate.leave(entered.fence, call.deadline)


async def _serve_page(call: Call, entered: Entered) -> Answer:
    """Answer a read: from the cache, or from the database, storing what was read where that is allowed."""
    services = call.container.services
    read = entered.page
    assert read is not None
    if read.entry is not None:
        if read.refresh and read.ticket is not None:
            services.background.start(_refresh(call, read.ticket), "refresh a stale page")
        return _page_answer(call, read.entry.body, read.entry.etag)
    if read.ticket is None:
        page = await _load(call)
    else:
        ticket = read.ticket
        page = await services.gate.flights.join(ticket.flight_key, lambda: _load_and_store(call, ticket))
    return _page_answer(call, page.body, page.etag)


async def _load(call: Call) -> Page:
    assert call.operation.load is not None
    return await call.operation.load(call)


async def _load_and_store(call: Call, ticket: FillTicket) -> Page:
    page = await _load(call)
    services = call.container.services
    services.background.start(services.gate.fill(ticket, _entry(page)), "store a page")
    return page


async def _refresh(call: Call, ticket: FillTicket) -> None:
    """Read a stale page again, after its answer, with a deadline of its own."""
    services = call.container.services
    later = dataclasses.replace(call, deadline=Deadline.after(services.clock, REQUEST_DEADLINE_S))
    page = await _load(later)
    await services.gate.fill(ticket, _entry(page))


def _entry(page: Page) -> NewEntry:
    return NewEntry(
        body=page.cached_body,
        etag=page.etag,
        fresh_s=FRESH_S,
        stale_s=STALE_S,
        now_ms=page.now_ms,
        not_after_ms=page.not_after_ms,
    )


def _page_answer(call: Call, body: bytes, etag: str) -> Answer:
    headers = [(b"etag", etag.encode()), _READ_CACHE_CONTROL]
    if matches(etag, call.headers.get(b"if-none-match")):
        return Answer(304, b"", headers)
    return Answer(200, body, [_JSON, *headers])
