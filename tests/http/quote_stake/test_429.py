"""POST /api/stake/quote answers 429 beyond 60 quotes of a user in any minute."""

import asyncio

from tests.support.service import Person, assert_problem, count_by_status


async def test_sixty_of_a_user_pass(limited_person: Person) -> None:
    """Exactly 60 of 62 pass, and none of them is counted as a stake."""
    body = {"amount": 1, "period": 12}
    answers = await asyncio.gather(*(limited_person.post("/api/stake/quote", body) for _ in range(62)))
    assert count_by_status(answers) == {200: 60, 429: 2}
    refused = assert_problem(await limited_person.post("/api/stake/quote", body), 429, "rate_limited")
    assert refused["violated-policies"] == ["quote"]
    assert (await limited_person.post("/api/stake", body)).status_code == 201
