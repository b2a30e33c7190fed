"""GET /api/balances, /api/ledger, /api/ledger/verification and /api/statement answer 200, to their owner."""

import csv
import hashlib
import io
from decimal import Decimal

from tests.support.service import Person, assert_field, assert_problem

FROM_TO = "from=2020-01-01&to=2099-12-31"


async def _moved(person: Person) -> Person:
    """Two stakes, one of them cancelled, and a deposit with a reason that a spreadsheet might run."""
    operator = await person.service.enrol(scope="admin")
    body = {"username": person.username, "asset": "STK", "amount": "5", "reason": '=HYPERLINK("x","y")'}
    assert (await operator.post("/api/admin/deposits", body)).status_code == 201
    await person.stake(amount="10.25")
    stake_id = await person.stake(amount="3")
    assert (await person.post(f"/api/stake/{stake_id}/cancel")).status_code == 200
    return person


async def test_balances_are_what_the_ledger_comes_to(person: Person) -> None:
    """Now and at any moment; before the first transfer there is nothing."""
    await _moved(person)
    expected = [{"asset": "STK", "available": "8", "staked": "10.25", "total": "18.25"}]
    for query in ("", "?asOf=2099-01-01", "?asOf=2099-01-01t00:00:00z", "?asOf=2099-01-01T00:00:00%2B02:00"):
        answer = await person.get("/api/balances" + query)
        assert answer.status_code == 200
        assert answer.json()["items"] == expected
        assert answer.headers["cache-control"] == "no-store"
    assert (await person.get("/api/balances?asOf=2020-01-01")).json()["items"] == []
    transfers = (await person.get("/api/ledger")).json()["items"]
    first = (await person.get(f"/api/balances?asOf={transfers[-1]['createdAt']}")).json()["items"]
    assert first[0]["available"] == "5"


async def test_the_ledger_is_paged_and_hashes_are_made_as_documented(person: Person) -> None:
    """By cursor, newest first, none twice; each hash follows from the one before."""
    await _moved(person)
    found, cursor = [], ""
    while True:
        page = (await person.get(f"/api/ledger?limit=2{cursor}")).json()
        found += page["items"]
        if not page["hasMore"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert [one["seq"] for one in found] == [4, 3, 2, 1]
    user_id = (await person.get("/api/me")).json()["id"]
    previous = ""
    for one in found[::-1]:
        minor = int(Decimal(one["amount"]) * 10**8)
        parts = (
            previous, user_id, one["seq"], one["id"], one["kind"], one["debitAccount"], one["creditAccount"],
            one["asset"], minor, one["stakeId"], one["reverses"], one["actor"], _ms(one["createdAt"]),
            one["reason"],
        )  # fmt: skip
        text = "|".join("" if part is None else str(part) for part in parts)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert one["hash"] == previous
    verified = (await person.get("/api/ledger/verification")).json()
    assert verified == {
        "valid": True, "complete": True, "first": 1, "last": 4, "lastHash": previous, "fault": None,
    }  # fmt: skip
    assert (await person.get("/api/ledger/verification?after=2")).json()["first"] == 3
    problem = assert_problem(await person.get("/api/ledger/verification?after=9"), 422, "validation_error")
    assert_field(problem, "?after", "past_the_end")


def _ms(moment: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(moment).timestamp() * 1000)


async def test_a_statement_reconciles(person: Person) -> None:
    """Opening balances and all entries come to the closing balances, in JSON and in CSV."""
    await _moved(person)
    answer = await person.get(f"/api/statement?{FROM_TO}")
    assert answer.status_code == 200
    statement = answer.json()
    opening, closing = statement["opening"][0], statement["closing"][0]
    for name in ("available", "staked"):
        moved = sum(Decimal(entry[f"{name}Change"]) for entry in statement["entries"])
        assert Decimal(opening[name]) + moved == Decimal(closing[name])
        assert statement["entries"][-1][name] == closing[name]
    assert (closing["available"], closing["staked"]) == ("8", "10.25")
    answer = await person.get(f"/api/statement?{FROM_TO}&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.text.count("\r\n") == 7
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["kind"] for row in rows] == ["opening", "deposit", "stake", "stake", "principal", "closing"]
    assert sum(Decimal(row["availableChange"] or 0) for row in rows) == Decimal("8")
    for row in rows:
        for name, cell in row.items():
            assert not cell.startswith(("=", "+", "@", "\t")), (name, cell)
            assert not cell.startswith("-") or name.endswith("Change")
    assert rows[1]["reason"] == '\'=HYPERLINK("x","y")'


async def test_a_statement_of_no_time_is_empty(person: Person) -> None:
    """It opens and closes with the same, and another's is not in it."""
    await _moved(await person.service.enrol())
    for query in ("from=2020-01-01&to=2020-01-01", "from=2020-01-01&to=2099-01-01"):
        statement = (await person.get(f"/api/statement?{query}")).json()
        assert (statement["opening"], statement["closing"], statement["entries"]) == ([], [], [])
    assert (await person.get("/api/ledger")).json()["items"] == []


async def test_a_query_that_makes_no_sense_names_its_field(person: Person) -> None:
    """422, before anything is read."""
    for path, pointer in (
        ("/api/balances?asOf=yesterday00", "?asOf"),
        ("/api/balances?asOf=2027-02-30", "?asOf"),
        ("/api/statement?to=2027-01-01", "?from"),
        ("/api/statement?from=2027-01-02&to=2027-01-01", "?to"),
        ("/api/statement?from=2027-01-01T00:00:00&to=2027-01-02", "?from"),
        ("/api/statement?from=2027-01-01&to=2027-01-02&format=pdf", "?format"),
        ("/api/ledger?cursor=0", "?cursor"),
        ("/api/ledger/verification?after=-1", "?after"),
    ):
        answer = await person.get(path)
        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["pointer"] == pointer, (path, answer.text)
