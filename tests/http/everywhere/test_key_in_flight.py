"""Every call that takes an Idempotency-Key answers 409 while the first request with it is not done."""

import asyncio

import asyncpg

from tests.support.service import Person, assert_problem

KEY = {"Idempotency-Key": '"under-way"'}
HOLD = """
INSERT INTO idempotency (user_id, scope, key, body_hash, expires_at)
SELECT id, $2, 'under-way', '\\x00', now() + INTERVAL '1 hour' FROM users WHERE username = $1
"""


async def test_a_key_in_flight_is_a_conflict(person: Person) -> None:
    """Whoever comes again meanwhile is told when to; nothing is done, and the key is good afterwards."""
    operator = await person.service.enrol(scope="admin")
    left, cancelled = f"/api/stake/{await person.stake()}", f"/api/stake/{await person.stake()}"
    quote = (await person.post(f"{left}/unstake/quote")).json()
    money = {"username": person.username, "asset": "STK", "amount": "1", "reason": "Wire 4711"}
    calls = (
        (person, f"{left}/unstake", {"quoteId": quote["quoteId"]}),
        (person, f"{cancelled}/cancel", None),
        (operator, "/api/admin/deposits", money),
        (operator, "/api/admin/withdrawals", money),
    )
    before = (await person.get("/api/ledger")).json()
    connection = await asyncpg.connect(person.service.database_url)
    try:
        first = connection.transaction()
        await first.start()
        for who, path, _ in calls:
            await connection.execute(HOLD, who.username, f"POST {path}")
        answers = await asyncio.gather(*(who.post(path, body, headers=KEY) for who, path, body in calls))
        await first.rollback()
    finally:
        await connection.close()
    for answer in answers:
        assert_problem(answer, 409, "idempotency_in_flight")
        assert int(answer.headers["retry-after"]) >= 1
    assert (await person.get("/api/ledger")).json() == before
    for who, path, body in calls:
        answer = await who.post(path, body, headers=KEY)
        assert answer.status_code in (200, 201), answer.text
        assert "idempotency-replayed" not in answer.headers
