"""Readers who miss the cache together share one reading of the database."""

import asyncio

import pytest

from tests.http.conftest import ROOMY, StartService
from tests.support.postgres_proxy import PostgresProxy


@pytest.mark.native_only("no request of a Worker may wait for another")
async def test_many_who_miss_together_read_once(start_service: StartService, database_url: str) -> None:
    """20 who ask one process for the same page at once cost one statement, and all get the page."""
    async with PostgresProxy(database_url) as proxy:
        service = await start_service(DATABASE_URL=proxy.url, STAKEHOLD_LIMITS=ROOMY)
        person = await service.enrol()
        stake_id = await person.stake()
        proxy.executed.clear()
        pages = await asyncio.gather(*(person.list_stakes() for _ in range(20)))
        assert {page["items"][0]["id"] for page in pages} == {stake_id}
        assert proxy.statements == 1
