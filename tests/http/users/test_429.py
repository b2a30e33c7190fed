"""POST /api/users answers 429 beyond 10 sign-ups of an address in any minute."""

import asyncio

from tests.support.service import Service, assert_problem, count_by_status


async def test_ten_of_an_address_pass(service: Service) -> None:
    """Ten attempts are looked at, refused ones included; then an address has to wait, yet can sign in."""
    await service.enrol("ada")
    answers = await asyncio.gather(
        *(service.client.post("/api/users", json={"username": "x", "password": "y"}) for _ in range(15))
    )
    assert count_by_status(answers) == {422: 10, 429: 5}
    answer = await service.client.post("/api/users", json={"username": "x", "password": "y"})
    assert assert_problem(answer, 429, "rate_limited")["violated-policies"] == ["sign-up"]
    await service.sign_in("ada")
