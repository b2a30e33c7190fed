"""POST /api/stake answers 201 when the stake was made."""

import json
from uuid import UUID

from tests.support.service import Person


async def test_the_answer_is_success_and_the_id(person: Person) -> None:
    """The body is `{"success":true,"stakeId":"…"}` and nothing else; Location leads to the stake."""
    answer = await person.post("/api/stake", {"amount": 1000, "period": 12})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    stake_id = answer.json()["stakeId"]
    assert answer.content == f'{{"success":true,"stakeId":"{stake_id}"}}'.encode()
    assert answer.headers["location"] == f"/api/stake/{stake_id}"
    stake = await person.get(answer.headers["location"])
    assert stake.json()["id"] == stake_id
    assert "idempotency-replayed" not in answer.headers


async def test_the_id_is_a_uuid_of_version_7(person: Person) -> None:
    """Ids are strings, and sort by when they were made."""
    first, second = await person.stake(), await person.stake()
    assert UUID(first).version == UUID(second).version == 7
    assert first < second


EXACT = [
    # The JSON token as it is sent, and the amount as it is read back.
    ("1000", "1000"),
    ('"1000"', "1000"),
    ("1000.10", "1000.1"),
    ('"1000.10"', "1000.1"),
    ("0.1", "0.1"),
    ("0.3", "0.3"),
    ("1.10000000", "1.1"),
    ("0.30000000000000000000", "0.3"),
    ("1e3", "1000"),
    ("1E+3", "1000"),
    ('"1e3"', "1000"),
    ("1e-8", "0.00000001"),
    ("0.00000001", "0.00000001"),
    ("100e-10", "0.00000001"),
    ("9007199254740993", "9007199254740993"),
    ("9007199254740993.00000001", "9007199254740993.00000001"),
    ("123456789012345678901234567890.12345678", "123456789012345678901234567890.12345678"),
    ("999999999999999999999999999999.99999999", "999999999999999999999999999999.99999999"),
    ("1e29", "100000000000000000000000000000"),
]


async def test_amounts_are_kept_exactly(person: Person) -> None:
    """What is read back is what was sent, to the last digit and in canonical form, listed and by itself."""
    expected = []
    for token, amount in EXACT:
        body = f'{{"amount":{token},"period":12}}'
        answer = await person.post("/api/stake", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201, (token, answer.text)
        stake = await person.get(answer.headers["location"])
        assert stake.json()["amount"] == amount, token
        expected.append(amount)
    for _ in range(2):  # from the database, then from the cache
        page = await person.list_stakes(limit=100)
        assert [item["amount"] for item in reversed(page["items"])] == expected


async def test_a_media_type_with_charset_is_taken(person: Person) -> None:
    """`application/json; charset=utf-8` is JSON, in any case."""
    body = json.dumps({"amount": 1, "period": 1})
    for media_type in ("application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"'):
        answer = await person.post("/api/stake", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == 201, media_type


async def test_every_period_on_sale_can_be_chosen(person: Person) -> None:
    """A stake keeps the terms of the plan whose period was asked for."""
    plans = (await person.service.client.get("/api/plans")).json()["items"]
    for plan in plans:
        stake_id = await person.stake(period=int(plan["period"]))
        stake = (await person.get(f"/api/stake/{stake_id}")).json()
        assert (stake["period"], stake["rate"]) == (plan["period"], plan["rate"])
