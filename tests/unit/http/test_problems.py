"""What a problem says in its header, whoever raised it."""

import pytest

from stakehold.domain.errors import ExternalServiceError, OverloadedError, StakeholdError, ValidationError
from stakehold.http.problems import problem_headers


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (OverloadedError("Too much to do.", retry_after_s=7), b"7"),
        (ExternalServiceError("Away."), b"1"),
        (ValidationError("Refused."), None),
    ],
    ids=["503 with its own", "503 without one", "422"],
)
def test_every_503_says_when_to_come_back(error: StakeholdError, retry_after: bytes | None) -> None:
    """`Retry-After` is the error's own, or a second; what is not worth repeating has none."""
    assert dict(problem_headers(error)).get(b"retry-after") == retry_after
