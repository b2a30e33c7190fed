"""POST /api/users answers 403 when signing up is switched off."""

from tests.http.conftest import StartService
from tests.support.service import PASSWORD, assert_problem


async def test_signing_up_can_be_switched_off(start_service: StartService) -> None:
    """Nobody is made then; users who are there sign in."""
    service = await start_service(STAKEHOLD_SIGN_UP="off")
    answer = await service.client.post("/api/users", json={"username": "ada", "password": PASSWORD})
    assert_problem(answer, 403, "sign_up_closed")
    assert await service.sql("SELECT count(*) FROM users") == [(0,)]
    person = await service.enrol("bob")
    await service.sign_in(person.username)
