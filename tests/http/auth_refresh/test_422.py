"""POST /api/auth/refresh answers 422 to a body without a refresh token."""

import pytest

from tests.support.service import Service, assert_field, assert_problem


@pytest.mark.parametrize("body", [{}, {"refreshToken": ""}, {"refreshToken": 1}, {"refreshToken": "x" * 513}])
async def test_the_field_is_named(service: Service, body: object) -> None:
    """Missing, empty, mistyped or too long."""
    answer = await service.client.post("/api/auth/refresh", json=body)
    assert_field(assert_problem(answer, 422, "validation_error"), "/refreshToken")
