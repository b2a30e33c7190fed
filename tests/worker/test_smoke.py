"""The checks of `make smoke` pass the Worker, as they pass a server."""

import asyncio

import pytest

from deploy import smoke
from tests.support.worker import WorkerHost, running_worker

USER = {"username": "smoke-tester", "password": "a smoke that rises slowly"}


async def test_the_worker_passes(
    worker_host: WorkerHost, database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every check that `make smoke` makes of a deployment, made of the bundle in WebAssembly."""
    settings = {"STAKEHOLD_LIMITS": "stake-read=20"}
    async with running_worker(worker_host, database_url, redis_url, settings) as service:
        made = await service.client.post("/api/users", json=USER)
        assert made.status_code == 201, "\n".join(await service.log())
        secrets = {"SMOKE_USERNAME": USER["username"], "SMOKE_PASSWORD": USER["password"]}
        status = await asyncio.to_thread(smoke.main, [f"http://127.0.0.1:{service.port}"], secrets)
    assert status == 0, capsys.readouterr().out
