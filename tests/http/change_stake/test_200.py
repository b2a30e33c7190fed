"""PATCH /api/stake/{stakeId} answers 200 with the stake as it is now; 412 when it was seen otherwise."""

from tests.support.service import Person


async def _patch(
    person: Person, stake_id: str, instruction: str, **headers: str
) -> tuple[int, dict[str, str]]:
    answer = await person.request(
        "PATCH",
        f"/api/stake/{stake_id}",
        json={"maturityInstruction": instruction},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    return answer.status_code, {**answer.json(), "etag": answer.headers.get("etag", "")}


async def test_the_instruction_is_what_was_said_last(person: Person) -> None:
    """It is answered as the stake reads from then on, with its tag."""
    stake_id = await person.stake()
    for instruction in ("renew_all", "renew_principal", "payout", "payout"):
        status, stake = await _patch(person, stake_id, instruction)
        assert (status, stake["maturityInstruction"]) == (200, instruction)
        read = await person.get(f"/api/stake/{stake_id}")
        assert read.json() == {name: value for name, value in stake.items() if name != "etag"}
        assert read.headers["etag"] == stake["etag"]
        assert (await person.list_stakes())["items"][0]["maturityInstruction"] == instruction


async def test_whoever_has_not_seen_the_last_change_changes_nothing(person: Person) -> None:
    """If-Match is compared strongly; `*` is any, and without it the last word counts."""
    stake_id = await person.stake()
    seen = (await person.get(f"/api/stake/{stake_id}")).headers["etag"]
    status, changed = await _patch(person, stake_id, "renew_all", If_Match=f'"other", {seen}')
    assert status == 200
    for stale in (seen, '"nothing"', f"W/{changed['etag']}"):
        status, problem = await _patch(person, stake_id, "payout", If_Match=stale)
        assert (status, problem["code"]) == (412, "precondition_failed")
    assert (await person.get(f"/api/stake/{stake_id}")).json()["maturityInstruction"] == "renew_all"
    assert (await _patch(person, stake_id, "payout", If_Match="*"))[0] == 200


async def test_what_has_ended_is_told_nothing(person: Person) -> None:
    """409 after the end, 404 for another's, 422 for another word."""
    stake_id = await person.stake()
    assert (await _patch(person, stake_id, "sell"))[0] == 422
    assert (await person.post(f"/api/stake/{stake_id}/cancel")).status_code == 200
    status, problem = await _patch(person, stake_id, "renew_all")
    assert (status, problem["code"]) == (409, "stake_ended")
    other = await person.service.enrol()
    assert (await _patch(other, stake_id, "renew_all"))[0] == 404
