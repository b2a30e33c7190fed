"""What is deployed to Workers does what its own OpenAPI document says, too: the campaign of test_campaign.py.

A failure prints the seed; STAKEHOLD_TEST_SEED repeats a run, and STAKEHOLD_SOAK_EXAMPLES makes a longer one.
"""

import asyncio
from pathlib import Path

from tests.api.campaign import run_campaign
from tests.api.conftest import NO_LIMITS
from tests.api.test_campaign import (
    EXAMPLES,
    RUN_TIMEOUT_S,
    assert_each_took_and_refused,
    assert_without_finding,
)
from tests.support.worker import WorkerHost, running_worker


async def test_every_operation_keeps_to_its_description(
    worker_host: WorkerHost, database_url: str, redis_url: str, seed: int, tmp_path: Path
) -> None:
    """No check finds anything, each operation took and refused something, and Workers refused nothing."""
    limits = {"STAKEHOLD_LIMITS": NO_LIMITS}
    async with running_worker(worker_host, database_url, redis_url, limits) as service:
        document = (await service.client.get("/openapi.json")).json()
        # Upstash's front is in this process.
        result = await asyncio.to_thread(
            run_campaign, service, tmp_path, document,
            url=f"http://127.0.0.1:{service.port}", seed=seed, examples=EXAMPLES, timeout_s=RUN_TIMEOUT_S,
        )  # fmt: skip
    assert_without_finding(result)
    assert_each_took_and_refused(result, document)
