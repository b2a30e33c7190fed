"""Examples for the OpenAPI document, made from the schemas themselves so that they cannot drift from them."""

from typing import Any, Final

import msgspec

from stakehold.domain.errors import FieldError, StakeholdError
from stakehold.http.problems import PROBLEMS, problem_body
from stakehold.http.schemas import accounts, exits, health, ledger, operators, plans, quotes, rewards, stakes

_REQUEST_ID = "7d6f0c0a4c1b4f0e9b7d2a9f5e3c1b80"

_STRUCTS: Final[tuple[msgspec.Struct, ...]] = (
    *accounts.EXAMPLES,
    *stakes.EXAMPLES,
    *quotes.EXAMPLES,
    *exits.EXAMPLES,
    *ledger.EXAMPLES,
    *operators.EXAMPLES,
    *rewards.EXAMPLES,
    *plans.EXAMPLES,
    *health.EXAMPLES,
)
_BY_SCHEMA: Final = {type(example): msgspec.json.decode(msgspec.json.encode(example)) for example in _STRUCTS}

_PROBLEM_FIELDS: Final[dict[str, tuple[FieldError, ...]]] = {
    "validation_error": (FieldError("/amount", "invalid_amount", "The amount is greater than zero."),),
    "unknown_period": (FieldError("/period", "unknown_period", "On sale: 1, 3, 6, 12."),),
    "unknown_plan": (FieldError("/plan", "unknown_plan", "One that GET /api/plans has."),),
    "invalid_quote": (FieldError("/quoteId", "invalid_quote", "Not one of ours for this."),),
    "quote_mismatch": (FieldError("/amount", "quote_mismatch", "Not as it was quoted."),),
    "insufficient_funds": (FieldError("/amount", "insufficient_funds", "More than is available."),),
    "idempotency_key_reused": (FieldError("Idempotency-Key", "reused", "Use a new key for a new request."),),
}
_PROBLEM_EXTRA: Final[dict[str, dict[str, Any]]] = {
    "unknown_period": {"periods": ["1", "3", "6", "12"]},
    "insufficient_scope": {"scope": "admin"},
    "rate_limited": {"violated-policies": ["stake-create"]},
}


def example_of(schema: type[msgspec.Struct]) -> Any:
    """A body of `schema`; KeyError where there is no example."""
    return _BY_SCHEMA[schema]


def problem_example(code: str) -> Any:
    """A problem of the kind `code`, as the service writes it."""
    error = StakeholdError(
        PROBLEMS[code].summary,
        code=code,
        fields=_PROBLEM_FIELDS.get(code, ()),
        extra=_PROBLEM_EXTRA.get(code),
    )
    return msgspec.json.decode(problem_body(error, instance="/api/stake", request_id=_REQUEST_ID))
