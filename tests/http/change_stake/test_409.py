"""PATCH /api/stake/{stakeId} answers 409 once there is no maturity ahead, whatever is asked for."""

import pytest

from tests.support.service import Person, assert_problem

INSTRUCTIONS = ("payout", "renew_all")


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
async def test_what_has_ended_is_told_nothing(person: Person, instruction: str) -> None:
    """What it would have done is not confirmed either."""
    stake_id = await person.stake()
    assert (await person.post(f"/api/stake/{stake_id}/cancel")).status_code == 200
    body = {"maturityInstruction": instruction}
    assert_problem(await person.request("PATCH", f"/api/stake/{stake_id}", json=body), 409, "stake_ended")


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
async def test_a_matured_stake_is_told_so(person: Person, instruction: str) -> None:
    """Whether or not it was settled before."""
    stake_id = await person.stake()
    await person.service.let_stakes_mature()
    for settled in (False, True):
        if settled:
            assert (await person.get(f"/api/stake/{stake_id}")).json()["status"] == "paid_out"
        body = {"maturityInstruction": instruction}
        answer = await person.request("PATCH", f"/api/stake/{stake_id}", json=body)
        assert_problem(answer, 409, "stake_matured")
