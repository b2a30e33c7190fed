"""Leaving a stake answers 409 when it cannot be left, or not like this; 404 and 422 for what is not."""

import pytest

from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person, assert_problem

UNKNOWN = "019a9c40-11f2-7d0b-8a55-c0ffee5eed01"


async def test_what_has_ended_is_not_left(person: Person) -> None:
    """A cancelled stake can be neither quoted nor left, and a closed one not cancelled."""
    stake_id = await person.stake()
    quote = (await person.post(f"/api/stake/{stake_id}/unstake/quote")).json()["quoteId"]
    assert (await person.post(f"/api/stake/{stake_id}/cancel")).status_code == 200
    for path, body in (("unstake/quote", None), ("unstake", {"quoteId": quote})):
        answer = await person.post(f"/api/stake/{stake_id}/{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "stake_ended")
    closed = await person.stake()
    quote = (await person.post(f"/api/stake/{closed}/unstake/quote")).json()["quoteId"]
    assert (await person.post(f"/api/stake/{closed}/unstake", {"quoteId": quote})).status_code == 200
    answer = await person.post(f"/api/stake/{closed}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "stake_ended")


@pytest.mark.parametrize("path", ["unstake/quote", "unstake", "cancel"])
async def test_another_users_stake_is_not_there(person: Person, path: str) -> None:
    """404, as for one that nobody has."""
    other = await person.service.enrol()
    stake_id = await other.stake()
    quote = (await other.post(f"/api/stake/{stake_id}/unstake/quote")).json()["quoteId"]
    mine = await person.stake()
    own = (await person.post(f"/api/stake/{mine}/unstake/quote")).json()["quoteId"]
    for identifier in (stake_id, UNKNOWN, "nothing"):
        body = {"quoteId": quote if identifier == stake_id else own} if path == "unstake" else None
        answer = await person.post(f"/api/stake/{identifier}/{path}", body)
        assert answer.status_code in (404, 422), answer.text
        assert answer.json()["code"] in ("not_found", "invalid_quote", "quote_mismatch")
    assert (await other.list_stakes())["items"][0]["status"] == "active"


async def test_a_quote_that_is_none_is_refused(person: Person) -> None:
    """422 that names the field."""
    stake_id = await person.stake()
    for quote in ("x", "shq_x.y", "shq_" + "a" * 300 + ".b"):
        answer = await person.post(f"/api/stake/{stake_id}/unstake", {"quoteId": quote})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_quote"), answer.text
        assert answer.json()["errors"][0]["pointer"] == "/quoteId"


@pytest.mark.parametrize(
    ("terms", "action", "code"),
    [
        ({"early_exit": "not_allowed"}, "unstake/quote", "early_exit_not_allowed"),
        ({"minimum_hold_days": 1}, "unstake/quote", "minimum_hold"),
        ({"grace_s": 0}, "cancel", "grace_period_over"),
    ],
)
async def test_the_plan_decides(person: Person, terms: dict[str, object], action: str, code: str) -> None:
    """Whether a stake can be left, when, and whether it can be taken back."""
    await put_on_sale(person.service.database_url, make_plan(id="FIRM", **terms))
    made = await person.post("/api/stake", {"amount": 1, "plan": "FIRM"})
    answer = await person.post(f"{made.headers['location']}/{action}")
    assert_problem(answer, 409, code)
    assert (await person.get(made.headers["location"])).json()["status"] == "active"


async def test_what_is_being_left_is_not_left_again(person: Person) -> None:
    """While a cooldown runs it can be neither quoted, nor cancelled, nor told what to do at maturity."""
    await put_on_sale(person.service.database_url, make_plan(id="SLOW", cooldown_s=3600))
    made = await person.post("/api/stake", {"amount": 1, "plan": "SLOW"})
    path = made.headers["location"]
    quote = (await person.post(f"{path}/unstake/quote")).json()
    left = await person.post(f"{path}/unstake", {"quoteId": quote["quoteId"]})
    assert (left.status_code, left.json()["status"]) == (200, "unstaking")
    assert left.json()["releasesAt"] >= quote["releasesAt"]
    stake = (await person.get(path)).json()
    assert (stake["status"], stake["releasesAt"]) == ("unstaking", left.json()["releasesAt"])
    assert_problem(await person.post(f"{path}/unstake/quote"), 409, "stake_ended")
    assert_problem(await person.post(f"{path}/cancel"), 409, "stake_ended")
    body = {"maturityInstruction": "renew_all"}
    assert_problem(await person.request("PATCH", path, json=body), 409, "stake_ended")
    again = await person.post(f"{path}/unstake", {"quoteId": quote["quoteId"]})
    assert again.json() == left.json()


async def test_a_matured_stake_is_told_so(person: Person) -> None:
    """Whether or not it was settled before."""
    stake_id = await person.stake()
    quote = (await person.post(f"/api/stake/{stake_id}/unstake/quote")).json()["quoteId"]
    await person.service.let_stakes_mature()
    for settled in (False, True):
        if settled:
            assert (await person.get(f"/api/stake/{stake_id}")).json()["status"] == "paid_out"
        for action, body in (("unstake/quote", None), ("unstake", {"quoteId": quote}), ("cancel", None)):
            assert_problem(await person.post(f"/api/stake/{stake_id}/{action}", body), 409, "stake_matured")


async def test_a_key_stands_for_one_request(person: Person) -> None:
    """On each stake; with another quote for it the key is refused, and nothing happens."""
    stakes = [await person.stake() for _ in range(2)]
    key = {"Idempotency-Key": '"leave"'}
    for stake_id in stakes:
        path = f"/api/stake/{stake_id}/unstake"
        first = second = (await person.post(f"{path}/quote")).json()["quoteId"]
        while second == first:  # within one millisecond they are the same
            second = (await person.post(f"{path}/quote")).json()["quoteId"]
        answer = await person.post(path, {"quoteId": first}, headers=key)
        assert (answer.status_code, "idempotency-replayed" in answer.headers) == (200, False)
        again = await person.post(path, {"quoteId": second}, headers=key)
        assert_problem(again, 422, "idempotency_key_reused")
