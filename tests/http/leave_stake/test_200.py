"""POST /api/stake/{stakeId}/unstake, /cancel and /unstake/quote answer 200 with what leaving comes to."""

from tests.support.service import Person


async def _quote(person: Person, stake_id: str) -> dict[str, str]:
    answer = await person.post(f"/api/stake/{stake_id}/unstake/quote")
    assert answer.status_code == 200, answer.text
    quote: dict[str, str] = answer.json()
    return quote


async def test_what_is_quoted_is_what_happens(person: Person) -> None:
    """On its first day nothing has accrued: the principal comes back, and the stake is closed at once."""
    stake_id = await person.stake(amount="12.5")
    quote = await _quote(person, stake_id)
    amounts = {name: quote[name] for name in ("principal", "reward", "forfeited", "returned")}
    assert amounts == {"principal": "12.5", "reward": "0", "forfeited": "0", "returned": "12.5"}
    answer = await person.post(f"/api/stake/{stake_id}/unstake", {"quoteId": quote["quoteId"]})
    assert answer.status_code == 200
    assert answer.json() == {"stakeId": stake_id, "status": "closed_early", **amounts, "releasesAt": None}
    assert answer.headers["cache-control"] == "no-store"
    assert "idempotency-replayed" not in answer.headers
    stake = (await person.get(f"/api/stake/{stake_id}")).json()
    assert (stake["status"], stake["realised"]["reward"]) == ("closed_early", "0")


async def test_sent_again_it_is_answered_again(person: Person) -> None:
    """With a key or without: the same body, and a header that says so."""
    for headers in ({}, {"Idempotency-Key": '"leave"'}):
        stake_id = await person.stake()
        body = {"quoteId": (await _quote(person, stake_id))["quoteId"]}
        first = await person.post(f"/api/stake/{stake_id}/unstake", body, headers=headers)
        again = await person.post(f"/api/stake/{stake_id}/unstake", body, headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"


async def test_the_page_shows_it_at_once(person: Person) -> None:
    """A list that was cached before is not shown after."""
    stake_id = await person.stake()
    for _ in range(2):
        assert (await person.list_stakes())["items"][0]["status"] == "active"
    answer = await person.post(f"/api/stake/{stake_id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    page = await person.list_stakes()
    assert (page["items"][0]["status"], page["fromCache"]) == ("cancelled", False)
    again = await person.post(f"/api/stake/{stake_id}/cancel")
    assert again.json() == answer.json()
    assert again.headers["idempotency-replayed"] == "true"
