"""POST /api/auth/refresh answers 429 beyond 30 refreshes of an address in any minute."""

import asyncio

from tests.support.service import Service, assert_problem, count_by_status


async def test_thirty_of_an_address_pass(service: Service) -> None:
    """Exactly 30 of 40 concurrent attempts are looked at."""
    answers = await asyncio.gather(
        *(service.client.post("/api/auth/refresh", json={"refreshToken": "x"}) for _ in range(40))
    )
    assert count_by_status(answers) == {401: 30, 429: 10}
    answer = await service.client.post("/api/auth/refresh", json={"refreshToken": "x"})
    assert assert_problem(answer, 429, "rate_limited")["violated-policies"] == ["refresh"]
