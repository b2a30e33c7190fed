"""GET /api/plans answers 429 beyond 60 reads of an address in any minute."""

import asyncio

from tests.support.service import Service, assert_problem, count_by_status


async def test_sixty_of_an_address_pass(service: Service) -> None:
    """Exactly 60 of 70 concurrent reads pass; the health checks go on."""
    answers = await asyncio.gather(*(service.client.get("/api/plans") for _ in range(70)))
    assert count_by_status(answers) == {200: 60, 429: 10}
    problem = assert_problem(await service.client.get("/api/plans"), 429, "rate_limited")
    assert problem["violated-policies"] == ["plan-read"]
    assert (await service.client.get("/healthz")).status_code == 200
