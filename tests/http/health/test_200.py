"""GET /healthz answers 200 while the process is up."""

import asyncio

from tests.http.conftest import StartService
from tests.support.service import count_by_status


async def test_it_is_up_and_never_limited(start_service: StartService) -> None:
    """Its answer depends on nothing but the process, and no limit applies to it."""
    service = await start_service(STAKEHOLD_LIMITS="global=1")
    answers = await asyncio.gather(*(service.client.get("/healthz") for _ in range(50)))
    assert count_by_status(answers) == {200: 50}
    assert answers[0].json() == {"status": "up"}
    assert answers[0].headers["cache-control"] == "no-store"
    assert "ratelimit" not in answers[0].headers
