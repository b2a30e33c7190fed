"""POST /api/stake answers 409 while the first request with its Idempotency-Key is not done."""

import asyncpg

from tests.support.service import Person, assert_problem


async def test_a_key_in_flight_is_a_conflict(person: Person) -> None:
    """While the first request stays under way, a second one is told to come again, and makes nothing."""
    service = person.service
    await person.stake(key="known")
    [(user_id,)] = await service.sql("SELECT id FROM users")
    connection = await asyncpg.connect(service.database_url)
    try:
        first = connection.transaction()
        await first.start()
        await connection.execute(
            "INSERT INTO idempotency (user_id, scope, key, body_hash, stake_id, expires_at) "
            "SELECT user_id, scope, 'under-way', body_hash, stake_id, expires_at FROM idempotency "
            "WHERE user_id = $1",
            user_id,
        )
        answer = await person.post(
            "/api/stake", {"amount": 1, "period": 12}, headers={"Idempotency-Key": '"under-way"'}
        )
        assert_problem(answer, 409, "idempotency_in_flight")
        assert int(answer.headers["retry-after"]) >= 1
        await first.rollback()
    finally:
        await connection.close()
    assert len((await person.list_stakes())["items"]) == 1
    await person.stake(key="under-way")
    assert len((await person.list_stakes())["items"]) == 2
