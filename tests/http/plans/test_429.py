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


async def test_a_valid_token_pays_for_itself(service: Service) -> None:
    """Signed in, the user pays and not the address; a token that is not valid changes nothing."""
    person = await service.enrol()
    signed_in = await asyncio.gather(*(person.get("/api/plans") for _ in range(62)))
    assert count_by_status(signed_in) == {200: 60, 429: 2}
    forged = {"Authorization": "Bearer not-a-token"}
    others = await asyncio.gather(*(service.client.get("/api/plans", headers=forged) for _ in range(62)))
    assert count_by_status(others) == {200: 60, 429: 2}
