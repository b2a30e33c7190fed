"""GET /api/plans/{planId}/versions answers 422 to what is no version."""

import pytest

from tests.support.service import Service, assert_field, assert_problem


@pytest.mark.parametrize("before", ["0", "-1", "1.5", "x", "2147483649"])
async def test_what_is_no_version_is_refused(service: Service, before: str) -> None:
    """`before` is a whole number from 1 on."""
    answer = await service.client.get("/api/plans/STK-12M/versions", params={"before": before})
    assert_field(assert_problem(answer, 422, "validation_error"), "?before")
