"""What an entry of the route table says: routes, methods, limits and the OpenAPI document come from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from stakehold.domain.accounts import Scope
from stakehold.gate import Resource
from stakehold.http.call import Answer, Call, StreamedAnswer
from stakehold.http.pages import Page


@dataclass(frozen=True, slots=True)
class Outcome:
    """One successful answer: its status, what it means, the body's schema, the headers worth naming."""

    status: int
    description: str
    schema: type[msgspec.Struct] | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `problems` are the codes the handler adds; those of the pipeline follow from the other fields.
    `policy` is the rate limit charged beside `global`; without one the operation is never limited. Who is
    not signed in pays by address; `charges_user` lets a valid token pay for a call that needs none.
    `parse` checks what a schema cannot say, before anything is asked of a store; what it returns is
    `Call.parsed`. `scope` is what the token of who is signed in must have; a write asks `users.is_operator`
    again, in its transaction. A read that may be answered from the cache has `page`, which names its entry,
    and `load` in place of a handler. `fences` are what a write opens. `if_match`: it can be made to depend on
    what the client has seen.
    """

    id: str
    method: str
    path: str
    summary: str
    tag: str
    outcomes: tuple[Outcome, ...]
    handler: Callable[[Call], Awaitable[Answer | StreamedAnswer]] | None = None
    load: Callable[[Call], Awaitable[Page]] | None = None
    page: Callable[[Call], str] | None = None
    parse: Callable[[Call], object] | None = None
    problems: tuple[str, ...] = ()
    policy: str | None = None
    signed_in: bool = False
    scope: Scope | None = None
    charges_user: bool = False
    body: type[msgspec.Struct] | None = None
    body_optional: bool = False
    query: type[msgspec.Struct] | None = None
    fences: tuple[Resource, ...] = ()
    idempotent: bool = False
    if_match: bool = False

    def problem_codes(self) -> tuple[str, ...]:
        """Every problem the operation may answer with, the pipeline's included."""
        codes = [*self.problems]
        if self.signed_in:
            codes += ["missing_token", "invalid_token", "token_expired", "session_ended"]
        if self.scope:
            codes.append("insufficient_scope")
        if self.body:
            codes += ["request_timeout", "content_too_large", "unsupported_media_type", "validation_error"]
        if self.query or self.idempotent:
            codes.append("validation_error")
        if self.policy:
            codes.append("rate_limited")
        codes += ["malformed_request", "header_fields_too_large", "internal_error"]
        if self.policy:
            codes += ["database_unavailable", "outcome_unknown", "overloaded"]
        return tuple(dict.fromkeys(codes))
