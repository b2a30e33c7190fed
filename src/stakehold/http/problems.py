"""Every problem the service answers with (RFC 9457): one kind a code, one status a kind."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stakehold.domain import errors

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""Registered by draft-ietf-httpapi-ratelimit-headers-11."""


class HttpError(errors.StakeholdError):
    """A request refused for its HTTP alone; its code names the problem, and so the status."""

    def __init__(self, code: str, detail: str, *, allow: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.allow = allow


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem. `summary` is what the documentation says of it."""

    code: str
    status: int
    title: str
    summary: str

    @property
    def type(self) -> str:
        """The URI reference that names the kind, and leads to its documentation."""
        return QUOTA_EXCEEDED if self.code == "rate_limited" else f"/docs#{self.code}"


_KINDS = (
    ProblemKind("malformed_request", 400, "Malformed request", "The body is not JSON, or cannot be read."),
    ProblemKind(
        "authentication_error", 401, "Authentication needed", "There is no bearer token, or not one we take."
    ),
    ProblemKind("missing_token", 401, "Authentication needed", "The call needs a bearer token."),
    ProblemKind("invalid_token", 401, "Token refused", "The access token is not one of ours."),
    ProblemKind("token_expired", 401, "Token expired", "The access token has expired: refresh it."),
    ProblemKind(
        "session_ended", 401, "Session ended", "The user signed out, changed the password, or was disabled."
    ),
    ProblemKind(
        "invalid_credentials", 401, "Sign-in refused", "The username and password do not go together."
    ),
    ProblemKind(
        "invalid_refresh_token", 401, "Refresh refused", "The refresh token is unknown, spent or expired."
    ),
    ProblemKind("forbidden", 403, "Not allowed", "The caller may not do this."),
    ProblemKind(
        "insufficient_scope",
        403,
        "Insufficient scope",
        "The access token has not the `scope` that this needs.",
    ),
    ProblemKind("sign_up_closed", 403, "Sign-up closed", "This service takes no new users by itself."),
    ProblemKind("wrong_password", 403, "Wrong password", "The current password is not right."),
    ProblemKind("not_found", 404, "Not found", "There is no such thing, or it is another user's."),
    ProblemKind("method_not_allowed", 405, "Method not allowed", "`Allow` lists the methods to use."),
    ProblemKind("request_timeout", 408, "Request timeout", "The body did not arrive in time."),
    ProblemKind("conflict", 409, "Conflict", "The request does not fit the present state."),
    ProblemKind("username_taken", 409, "Username taken", "Another user has this username."),
    ProblemKind(
        "idempotency_in_flight", 409, "Still in progress", "A request with this Idempotency-Key is under way."
    ),
    ProblemKind("quote_expired", 409, "Quote expired", "The quote was good for a minute: ask for another."),
    ProblemKind("capacity_exceeded", 409, "Capacity exceeded", "The plan has not as much room left."),
    ProblemKind(
        "user_cap_exceeded", 409, "Cap exceeded", "It is more than one user may have staked in the plan."
    ),
    ProblemKind(
        "early_exit_not_allowed", 409, "No early exit", "The plan does not let anybody leave before maturity."
    ),
    ProblemKind("minimum_hold", 409, "Held too short", "The plan asks for more days before leaving early."),
    ProblemKind("stake_matured", 409, "Matured", "The stake has matured: it is paid out or renewed."),
    ProblemKind("stake_ended", 409, "Ended", "The stake has ended, or is being left already."),
    ProblemKind("grace_period_over", 409, "Grace period over", "Only a stake just made can be cancelled."),
    ProblemKind(
        "precondition_failed", 412, "Precondition failed", "It is not as `If-Match` says: read it again."
    ),
    ProblemKind("content_too_large", 413, "Content too large", "A body may have 16 KiB."),
    ProblemKind(
        "unsupported_media_type", 415, "Unsupported media type", "A body is sent as application/json."
    ),
    ProblemKind("validation_error", 422, "Validation error", "`errors` names each field refused."),
    ProblemKind(
        "unknown_period", 422, "Unknown period", "No plan on sale has this period; `periods` lists those."
    ),
    ProblemKind("unknown_plan", 422, "Unknown plan", "No plan of this name is on sale."),
    ProblemKind(
        "invalid_quote", 422, "Invalid quote", "It is no quote of ours, for this user, of what is asked for."
    ),
    ProblemKind("unknown_asset", 422, "Unknown asset", "No plan is, or was, counted in this asset."),
    ProblemKind("quote_mismatch", 422, "Quote mismatch", "The quote is for another stake than is asked for."),
    ProblemKind(
        "insufficient_funds", 422, "Insufficient funds", "The user has less available than the amount."
    ),
    ProblemKind(
        "idempotency_key_reused",
        422,
        "Idempotency-Key reused",
        "The key was used before, with a different body.",
    ),
    ProblemKind(
        "rate_limited", 429, "Quota exceeded", "A rate limit is used up; `Retry-After` says for how long."
    ),
    ProblemKind(
        "header_fields_too_large", 431, "Header fields too large", "The header may have 16 KiB in all."
    ),
    ProblemKind("internal_error", 500, "Internal error", "A fault of ours; it has been logged."),
    ProblemKind(
        "database_unavailable", 503, "Database unavailable", "Nothing was changed; try again in a moment."
    ),
    ProblemKind(
        "outcome_unknown",
        503,
        "Outcome unknown",
        "The change may have been made: look, or send it again with the same Idempotency-Key.",
    ),
    ProblemKind(
        "external_service_unavailable", 503, "Service unavailable", "A service that we need is away."
    ),
    ProblemKind("overloaded", 503, "Overloaded", "There is too much to do; try again in a moment."),
)

PROBLEMS: dict[str, ProblemKind] = {kind.code: kind for kind in _KINDS}


class ProblemField(msgspec.Struct, frozen=True):
    """One refused field: where it is, and why."""

    pointer: Annotated[
        str,
        Meta(description="A JSON pointer into the body, `?name` of a query parameter, or a header's name."),
    ]
    code: Annotated[str, Meta(description="Why, for programs.")]
    detail: Annotated[str, Meta(description="Why, for people.")]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success (RFC 9457, with `code`, `request_id` and `errors`)."""

    type: Annotated[
        str,
        Meta(
            description="Names the kind of problem, and leads to its documentation.",
            extra_json_schema={"format": "uri-reference"},
        ),
    ]
    title: Annotated[str, Meta(description="The kind of problem, for people.")]
    status: Annotated[int, Meta(description="The answer's status.", ge=400, le=599)]
    detail: Annotated[str, Meta(description="This problem, for people; may change.")]
    instance: Annotated[str, Meta(description="The path that was asked.")]
    code: Annotated[str, Meta(description="The kind of problem, for programs; stable.")]
    request_id: Annotated[str, Meta(description="As in `X-Request-Id`.")]
    errors: Annotated[tuple[ProblemField, ...], Meta(description="The fields that were refused.")] = ()


def kind_of(error: errors.StakeholdError) -> ProblemKind:
    """The kind of problem that `error` is answered with."""
    return PROBLEMS.get(error.code) or PROBLEMS[error.default_code]


def problem_body(error: errors.StakeholdError, *, instance: str, request_id: str) -> bytes:
    """The problem's JSON. `error.extra` becomes members beside the standard ones."""
    kind = kind_of(error)
    problem: dict[str, Any] = msgspec.to_builtins(
        Problem(
            type=kind.type,
            title=kind.title,
            status=kind.status,
            detail=error.detail,
            instance=instance,
            code=kind.code,
            request_id=request_id,
            errors=tuple(ProblemField(field.pointer, field.code, field.detail) for field in error.fields),
        )
    )
    return msgspec.json.encode({**problem, **error.extra})


def problem_headers(error: errors.StakeholdError) -> list[tuple[bytes, bytes]]:
    """The headers that belong to the problem itself."""
    kind = kind_of(error)
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    elif kind.status == 503:
        headers.append((b"retry-after", b"1"))
    if kind.status == 401:
        challenge = b'Bearer realm="stakehold"'
        if kind.code in ("invalid_token", "token_expired", "session_ended"):
            challenge += b', error="invalid_token"'
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, errors.InsufficientScopeError):
        challenge = f'Bearer realm="stakehold", error="insufficient_scope", scope="{error.scope}"'.encode()
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, HttpError) and error.allow is not None:
        headers.append((b"allow", error.allow.encode()))
    return headers
