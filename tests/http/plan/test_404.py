"""GET /api/plans/{planId} answers 404 where there is no such plan."""

import pytest

from tests.support.service import Service, assert_problem


@pytest.mark.parametrize("text", ["STK-2M", "stk-1m", "STK-1M%20", "%00", "'", "A" * 33, "STK-1M%0A", "💰"])
async def test_what_names_no_plan_is_not_found(service: Service, text: str) -> None:
    """A name has one spelling; what cannot be one reaches no store, and is counted."""
    answer = await service.client.get(f"/api/plans/{text}")
    assert_problem(answer, 404, "not_found")
    assert "RateLimit" in answer.headers
