"""Examples for the OpenAPI document, made from the schemas themselves so that they cannot drift from them."""

from typing import Any, Final

import msgspec

from stakehold.domain.errors import FieldError, StakeholdError
from stakehold.http import schemas
from stakehold.http.problems import PROBLEMS, problem_body

_USER_ID = "01a20505-e0af-7c44-9f0a-2f3b6c1d8e90"
_STAKE_ID = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"
_REQUEST_ID = "7d6f0c0a4c1b4f0e9b7d2a9f5e3c1b80"
_PASSPHRASE = "a long walk on a cold day"  # noqa: S105
_JWT = (
    "eyJhbGciOiJIUzI1NiIsImtpZCI6InR6SjAwX21jRWZKaCIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJzdGFrZWhvb"
    "GQiLCJhdWQiOiJzdGFrZWhvbGQiLCJzdWIiOiIwMWEyMDUwNS1lMGFmLTdjNDQtOWYwYS0yZjNiNmMxZDhlOTAiLCJ"
    "pYXQiOjE3OTUzODA4MjAsIm5iZiI6MTc5NTM4MDgyMCwiZXhwIjoxNzk1MzgxNzIwLCJqdGkiOiJGdEtNLVBNRWpMc"
    "zRUaFNjLXY4MGJRIiwic2lkIjoiMDFhMjA1MDktMzgyMC03YTExLThiMGMtOWQxZTJmM2E0YjVjIiwiZXBvY2giOjF"
    "9.FQNdhDKW0OSf7_1V-odl_SjtWCVjnjRlVnUJ72IaEjs"
)
_REFRESH = "shr_AaIFBeCvfESfCi87bB2OkAGiBQk4IHoRiwydHi86S1xQ2FjgmF7Mf2BBiq8MxatYf0LCVwqIQJWp6Mys0PZUXA"

_STAKE = schemas.StakeItem(
    id=_STAKE_ID,
    amount="1000",
    period="12",
    asset="STK",
    rate="0.12",
    status="active",
    created_at="2026-11-22T20:53:45.123Z",
    matures_at="2027-11-22T00:00:00.000Z",
)
_UP = schemas.Check(state="up")

_STRUCTS: Final[tuple[msgspec.Struct, ...]] = (
    schemas.SignUp(username="testuser2", password=_PASSPHRASE),
    schemas.SignIn(username="testuser", password="password123"),  # noqa: S106
    schemas.Refresh(refresh_token=_REFRESH),
    schemas.SignOut(all=False),
    schemas.ChangePassword(current_password="password123", new_password=_PASSPHRASE),  # noqa: S106
    schemas.User(id=_USER_ID, username="testuser", created_at="2026-11-22T20:50:01.007Z"),
    schemas.TokenAnswer(token=_JWT, expires_in=900, refresh_token=_REFRESH),
    schemas.CreateStake(amount=msgspec.Raw(b"1000"), period=12),
    schemas.StakeCreated(success=True, stake_id=_STAKE_ID),
    _STAKE,
    schemas.StakePage(items=[_STAKE], from_cache=True, has_more=True, next_cursor="AaIFCUwjfQuKVcD_7l7tAQ"),
    schemas.PlanList(
        items=[
            schemas.PlanItem(
                id="STK-12M", version=1, asset="STK", period="12", rate="0.12", minimum_amount="0.00000001"
            )
        ]
    ),
    schemas.Health(status="up"),
    schemas.Readiness(status="ready", checks=schemas.Checks(database=_UP, redis=_UP)),
)
_BY_SCHEMA: Final = {type(example): msgspec.json.decode(msgspec.json.encode(example)) for example in _STRUCTS}

_PROBLEM_FIELDS: Final[dict[str, tuple[FieldError, ...]]] = {
    "validation_error": (FieldError("/amount", "invalid_amount", "The amount is greater than zero."),),
    "unknown_period": (FieldError("/period", "unknown_period", "One of 1, 3, 6, 12."),),
    "idempotency_key_reused": (FieldError("Idempotency-Key", "reused", "Use a new key for a new request."),),
}
_PROBLEM_EXTRA: Final[dict[str, dict[str, Any]]] = {
    "unknown_period": {"periods": ["1", "3", "6", "12"]},
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
