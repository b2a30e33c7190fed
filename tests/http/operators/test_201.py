"""POST /api/admin/deposits and /withdrawals answer 201 with the transfer; 403 to whoever is no operator."""

import pytest

from tests.support.service import Person, Service, assert_field, assert_problem


async def _operator(service: Service) -> Person:
    return await service.enrol(scope="admin")


def _body(person: Person, amount: object, reason: str = "Wire 4711") -> dict[str, object]:
    return {"username": person.username, "asset": "STK", "amount": amount, "reason": reason}


async def test_what_is_deposited_is_available_and_can_be_withdrawn(person: Person) -> None:
    """Each is a transfer in the user's ledger, with who did it and why."""
    operator = await _operator(person.service)
    answer = await operator.post("/api/admin/deposits", _body(person, "100.5"))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["seq"], answer.json()["kind"], answer.json()["amount"]) == (1, "deposit", "100.5")
    assert (await operator.post("/api/admin/withdrawals", _body(person, "0.5", "=1+1"))).status_code == 201
    balances = (await person.get("/api/balances")).json()["items"]
    assert balances == [{"asset": "STK", "available": "100", "staked": "0", "total": "100"}]
    [second, first] = (await person.get("/api/ledger")).json()["items"]
    assert (first["debitAccount"], first["creditAccount"]) == ("custody", "available")
    assert (second["debitAccount"], second["creditAccount"]) == ("available", "custody")
    assert (first["reason"], second["reason"]) == ("Wire 4711", "=1+1")
    assert first["actor"] == second["actor"]
    assert first["actor"].startswith("operator:")
    assert (await person.get("/api/ledger/verification")).json()["valid"]


async def test_a_key_moves_money_once(person: Person) -> None:
    """Sent again it is answered as before, and with another body refused."""
    operator = await _operator(person.service)
    headers = {"Idempotency-Key": '"wire-4711"'}
    first = await operator.post("/api/admin/deposits", _body(person, "7"), headers=headers)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    for amount in ("7", 7, "7.0", 7.0):
        again = await operator.post("/api/admin/deposits", _body(person, amount), headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotency-replayed"] == "true"
    other = await operator.post("/api/admin/deposits", _body(person, "8"), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await person.get("/api/balances")).json()["items"][0]["available"] == "7"


async def test_what_is_not_right_moves_nothing(person: Person) -> None:
    """More than there is, an asset or a user that is not, no reason, and no scope."""
    operator = await _operator(person.service)
    for path, change, status, code in (
        ("withdrawals", {}, 422, "insufficient_funds"),
        ("deposits", {"asset": "GLD"}, 422, "unknown_asset"),
        ("deposits", {"username": "nobody-there"}, 404, "not_found"),
        ("deposits", {"reason": ""}, 422, "validation_error"),
        ("deposits", {"amount": "-1"}, 422, "validation_error"),
        ("deposits", {"amount": "0.123456789"}, 422, "validation_error"),
    ):
        answer = await operator.post(f"/api/admin/{path}", {**_body(person, "1"), **change})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await person.get("/api/ledger")).json()["items"] == []


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("reason", "a\0b"), ("reason", "a\nb"), ("reason", "a\n"), ("reason", "a\u0085b"),
        ("reason", " \u2003"), ("reason", "x" * 501),
        ("asset", "\0"), ("asset", "ST\0K"), ("asset", "stk"), ("asset", "S" * 33),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["deposits", "withdrawals"])
async def test_text_that_cannot_be_kept_is_named(person: Person, path: str, field: str, text: str) -> None:
    """Control characters, blanks alone, more than is kept, and what names no asset: 422; nothing moves."""
    operator = await _operator(person.service)
    answer = await operator.post(f"/api/admin/{path}", {**_body(person, "1"), field: text})
    assert_field(assert_problem(answer, 422, "validation_error"), f"/{field}")
    assert (await person.get("/api/ledger")).json()["items"] == []


@pytest.mark.parametrize("path", ["deposits", "withdrawals"])
async def test_whoever_is_no_operator_is_refused(person: Person, path: str) -> None:
    """403 before anything is looked at, for one's own balance too."""
    answer = await person.post(f"/api/admin/{path}", _body(person, "1"))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert (await person.get("/api/balances")).json()["items"] == []
