"""Leaving a stake answers 409 when it cannot be left, or not like this; 404 and 422 for what is not."""

import pytest

from tests.support.service import Person

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
