"""`stakehold serve` as a process of its own, with everything from the environment."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stakehold.runtime.embedded_server import free_port
from tests.support.native import JWT_SECRET
from tests.support.service import Service

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
CONNECTIONS_MAX = 64


@dataclass
class ServedService(Service):
    """A service in processes of its own; `process` is the one that supervises the others."""

    process: asyncio.subprocess.Process = None  # type: ignore[assignment]
    log_path: Path = Path()

    async def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)


def program() -> str:
    """The `stakehold` command of the environment the tests run in."""
    return str(Path(sys.executable).parent / "stakehold")


def clean_environment() -> dict[str, str]:
    """Ours, without what would configure a service."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STAKEHOLD_", "UPSTASH_", "JWT_"))
        and name not in ("DATABASE_URL", "REDIS_URL", "PORT")
    }


@asynccontextmanager
async def served(
    directory: Path, database_url: str, settings: Mapping[str, str], *, processes: int = 4
) -> AsyncIterator[ServedService]:
    """Start `stakehold serve` on loopback, wait until it answers /readyz, and stop it at the end."""
    port = free_port()
    environment = {
        **clean_environment(),
        "JWT_SECRET": JWT_SECRET,
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "STAKEHOLD_PROCESSES": str(processes),
        "STAKEHOLD_DRAIN_S": "0",
        **settings,
    }
    log_path = directory / f"serve-{port}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program(), "serve", env=environment, stdout=log, stderr=log, cwd=directory
        )
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        timeout=15,
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
    )
    service = ServedService(
        client, database_url, settings.get("REDIS_URL", ""), environment, process=process, log_path=log_path
    )
    try:
        await _until_ready(service)
        yield service
    finally:
        await client.aclose()
        if process.returncode is None:
            try:
                await service.stop()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_ready(service: ServedService) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            assert service.process.returncode is None, service.log_path.read_text()
            try:
                if (await service.client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
