"""What can go wrong, by type: each maps to one HTTP status and one problem (http/problems.py).

`code` is stable and machine-readable; `detail` is for a person and never carries anything internal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused.

    `pointer` is a JSON pointer into the body (`/amount`), `?name` for a query parameter, or a header's
    name.
    """

    pointer: str
    code: str
    detail: str


class AlteredRowError(Exception):
    """A row was altered behind the service's back: a fault, which is logged and of which nobody is told more.

    `fault` says what of it is not as it was.
    """

    def __init__(self, row: str, fault: str) -> None:
        super().__init__(f"{row} {fault}")
        self.fault = fault


class StakeholdError(Exception):
    """Base of every error the service answers with. Never raised itself."""

    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        fields: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """`retry_after_s` becomes `Retry-After`; `extra` becomes members of the problem."""
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.fields = fields
        self.retry_after_s = retry_after_s
        self.extra = dict(extra or {})


class MalformedRequestError(StakeholdError):
    """The request could not be read at all: not JSON, not HTTP as we take it (400)."""

    default_code = "malformed_request"


class ValidationError(StakeholdError):
    """The request was read and its content is refused; `fields` names what (422)."""

    default_code = "validation_error"


class AuthenticationError(StakeholdError):
    """Credentials or token are missing, wrong or no longer good (401)."""

    default_code = "authentication_error"


class ForbiddenError(StakeholdError):
    """The caller is known and may not do this (403)."""

    default_code = "forbidden"


class InsufficientScopeError(ForbiddenError):
    """The caller's token, or the caller by now, has not the scope that this needs (403)."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(
            f"This needs an access token with the scope {scope}.",
            code="insufficient_scope",
            extra={"scope": scope},
        )


class NotFoundError(StakeholdError):
    """There is no such thing, or it is another user's (404)."""

    default_code = "not_found"


class ConflictError(StakeholdError):
    """The request does not fit the present state (409)."""

    default_code = "conflict"


class PreconditionFailedError(StakeholdError):
    """What the request was made for is not as the client has seen it (412)."""

    default_code = "precondition_failed"


class RateLimitError(StakeholdError):
    """A rate limit is used up (429)."""

    default_code = "rate_limited"


class DatabaseError(StakeholdError):
    """The database is away, or its answer is unknown (503)."""

    default_code = "database_unavailable"


class ExternalServiceError(StakeholdError):
    """Another service that we need is away (503)."""

    default_code = "external_service_unavailable"


class OverloadedError(StakeholdError):
    """We have more work than we may queue (503)."""

    default_code = "overloaded"
