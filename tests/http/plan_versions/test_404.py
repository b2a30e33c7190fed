"""GET /api/plans/{planId}/versions answers 404 where there is no such plan."""

import pytest

from tests.support.service import Service, assert_problem


@pytest.mark.parametrize("text", ["STK-2M", "stk-1m", "%00"])
async def test_what_names_no_plan_has_no_history(service: Service, text: str) -> None:
    """It is not an empty one."""
    assert_problem(await service.client.get(f"/api/plans/{text}/versions"), 404, "not_found")
