"""GET /api/rewards answers 200 with what was earned, paid and forfeited."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Person

NOTHING = {"earned": "0", "paid": "0", "forfeited": "0"}


async def _rewards(person: Person, query: str = "") -> dict[str, Any]:
    answer = await person.get(f"/api/rewards{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    page: dict[str, Any] = answer.json()
    return page


async def test_who_has_no_stakes_has_no_rewards(person: Person) -> None:
    """Without a range it is all days, today included."""
    page = await _rewards(person)
    tomorrow = date.fromisoformat(page["to"])
    assert abs(tomorrow - timedelta(1) - datetime.now(UTC).date()) <= timedelta(1)
    assert page == {
        "from": "0001-01-01",
        "to": page["to"],
        "items": [],
        "totals": [],
        "hasMore": False,
        "nextCursor": None,
    }


async def test_a_range_that_has_not_begun_is_empty(person: Person) -> None:
    """It ends where it begins, and not before."""
    await person.stake()
    for first in ("2099-01-01", "9999-12-31"):
        page = await _rewards(person, f"?from={first}")
        assert (page["from"], page["to"]) == (first, first)
        assert page["totals"] == [{"asset": "STK", **NOTHING}]


async def test_a_stake_that_was_paid(person: Person) -> None:
    """The whole of it, and parts that add up, in plain decimals of the asset."""
    stake_id = await person.stake(amount=1000, period=12)
    await person.service.sql(
        "UPDATE stakes SET state = 'paid_out', due_at = NULL, reward_minor = 12000000000,"
        " forfeited_minor = 0, ended_at = TIMESTAMPTZ '2022-01-02 00:00:05Z'"
    )
    for change in ("value_date = DATE '2021-01-02'", "maturity_date = DATE '2022-01-02'"):
        await _force(person, change)
    whole = {"asset": "STK", "earned": "120", "paid": "120", "forfeited": "0"}
    page = await _rewards(person)
    assert (page["items"], page["totals"]) == ([{"stakeId": stake_id, **whole}], [whole])
    january = (await _rewards(person, "?from=2021-01-01&to=2021-02-01"))["totals"]
    assert january == [{"asset": "STK", "earned": "9.86301369", "paid": "0", "forfeited": "0"}]
    rest = (await _rewards(person, "?from=2021-02-01"))["totals"]
    assert rest == [{"asset": "STK", "earned": "110.13698631", "paid": "120", "forfeited": "0"}]
    assert (await _rewards(person, "?to=2021-01-02"))["totals"] == []
    assert (await _rewards(person, "?from=2022-01-03"))["totals"] == []


async def _force(person: Person, change: str) -> None:
    """Change the terms of a stake, which no statement of the service can."""
    await person.service.sql("ALTER TABLE stakes DISABLE TRIGGER stakes_terms_stay")
    await person.service.sql(f"UPDATE stakes SET {change}")
    await person.service.sql("ALTER TABLE stakes ENABLE TRIGGER stakes_terms_stay")


async def test_pages_have_each_stake_once(person: Person) -> None:
    """Newest first; the totals, by asset, are on the first page and of all stakes."""
    await put_on_sale(person.service.database_url, make_plan(id="WHOLE", asset="WHL", scale=0))
    made = [await person.stake() for _ in range(2)]
    whole = await person.post("/api/stake", {"amount": 7, "plan": "WHOLE"})
    made.append(whole.json()["stakeId"])
    page = await _rewards(person, "?limit=2")
    assert page["totals"] == [{"asset": "STK", **NOTHING}, {"asset": "WHL", **NOTHING}]
    assert [item["stakeId"] for item in page["items"]] == made[:0:-1]
    assert page["hasMore"]
    older = await _rewards(person, f"?limit=2&cursor={page['nextCursor']}")
    assert [item["stakeId"] for item in older["items"]] == made[:1]
    assert (older["hasMore"], older["nextCursor"], older["totals"]) == (False, None, None)


async def test_nothing_of_others_is_told(person: Person) -> None:
    """Everybody sees their own."""
    await person.stake()
    assert (await _rewards(await person.service.enrol()))["items"] == []
