"""PATCH /api/stake/{stakeId} answers 412 when the stake is not as If-Match says."""

import pytest

from tests.support.service import Person, assert_problem


@pytest.mark.parametrize("instruction", ["payout", "renew_all"])
async def test_whoever_has_not_seen_it_changes_nothing(person: Person, instruction: str) -> None:
    """Even where what is asked for is what it says already; and after the end, too."""
    stake_id = await person.stake()
    seen = (await person.get(f"/api/stake/{stake_id}")).headers["etag"]

    async def refused(tag: str) -> None:
        body = {"maturityInstruction": instruction}
        headers = {"If-Match": tag}
        answer = await person.request("PATCH", f"/api/stake/{stake_id}", json=body, headers=headers)
        assert_problem(answer, 412, "precondition_failed")

    await refused('"nothing"')
    await refused(f"W/{seen}")
    assert (await person.post(f"/api/stake/{stake_id}/cancel")).status_code == 200
    await refused(seen)
