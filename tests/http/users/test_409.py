"""POST /api/users answers 409 when another user has the name."""

import asyncio

from tests.support.service import PASSWORD, Service, assert_problem, count_by_status


async def test_a_name_belongs_to_one_user(service: Service) -> None:
    """Every spelling of a taken name is taken, and the first user's password stays."""
    await service.enrol("ada")
    for spelling in ("ada", "ADA", "Ａda"):
        answer = await service.client.post(
            "/api/users", json={"username": spelling, "password": "another password"}
        )
        assert_problem(answer, 409, "username_taken")
    await service.sign_in("ada")


async def test_racers_for_a_name_make_one_user(service: Service) -> None:
    """Of four who sign up with one name at once exactly one gets it."""
    answers = await asyncio.gather(
        *(
            service.client.post("/api/users", json={"username": "ada", "password": f"{PASSWORD} {number}"})
            for number in range(4)
        )
    )
    assert count_by_status(answers) == {201: 1, 409: 3}
    assert await service.sql("SELECT count(*) FROM users") == [(1,)]
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 201)
    await service.sign_in("ada", f"{PASSWORD} {winner}")
