"""POST /api/stake answers 503 when nobody can say what became of the stake, and never makes two of one."""

from collections.abc import AsyncIterator

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.postgres_proxy import PostgresProxy
from tests.support.service import Person, assert_problem

STAKE = {"amount": 1, "period": 12}
INSERT = "INSERT INTO stakes"


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[PostgresProxy]:
    async with PostgresProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def person(start_service: StartService, proxy: PostgresProxy) -> Person:
    service = await start_service(DATABASE_URL=proxy.url, STAKEHOLD_LIMITS=ROOMY)
    person = await service.enrol()
    await person.list_stakes()
    return person


@pytest.mark.parametrize("cut", ["cut_requests", "cut_answers"])
@pytest.mark.parametrize("key", [None, "key"])
async def test_one_lost_connection_is_settled(
    person: Person, proxy: PostgresProxy, cut: str, key: str | None
) -> None:
    """Whether the statement or its answer was lost, the stake is made once and the answer is 201."""
    getattr(proxy, cut)(1, INSERT)
    stake_id = await person.stake(key=key)
    assert [item["id"] for item in (await person.list_stakes())["items"]] == [stake_id]


async def test_what_stays_unknown_is_said_to_be(person: Person, proxy: PostgresProxy) -> None:
    """When every answer is lost it is 503 with Retry-After; sent again with its key, it is one stake."""
    headers = {"Idempotency-Key": '"key"'}
    # That statement alone: whether the session is cached by now, or read from the database, is chance.
    proxy.cut_answers(100, INSERT)
    answer = await person.post("/api/stake", STAKE, headers=headers)
    assert_problem(answer, 503, "outcome_unknown")
    assert int(answer.headers["retry-after"]) >= 1
    assert "postgres" not in answer.text.lower()
    proxy.cut_nothing_more()
    stake_id = await person.stake(key="key")
    assert [item["id"] for item in (await person.list_stakes())["items"]] == [stake_id]
