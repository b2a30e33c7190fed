"""The peer: the same endpoints on the TypeScript stack (bench/peer), beside the service in the same run.

It is skipped, and the report says why, where node or npm are missing or its packages cannot be installed.
"""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

from bench.stores import LIMIT_QUOTA, LIMIT_WINDOW_S, Stores
from stakehold.database.stake_creation import CREATE_KEYLESS
from stakehold.database.stakes import _PAGE
from stakehold.runtime.embedded_server import free_port
from stakehold.runtime.settings import CONNECTIONS_PER_CORE, cores

HERE = Path(__file__).resolve().parent / "peer"
INSTALL_TIMEOUT_S = 120.0


class NoPeerError(Exception):
    """The peer cannot be run here; the message says why."""


async def install() -> None:
    """Install what its lock names, if that was not done yet. Raises NoPeerError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NoPeerError("node and npm are not on the PATH")
    if (HERE / "node_modules" / ".package-lock.json").exists():
        return
    process = await asyncio.create_subprocess_exec(
        npm, "ci", cwd=HERE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, printed = await asyncio.wait_for(process.communicate(), INSTALL_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        raise NoPeerError("npm did not install its packages in time") from None
    if process.returncode != 0:
        said = printed.decode().strip().splitlines()
        raise NoPeerError(f"npm could not install its packages: {said[0] if said else 'it says nothing'}")


async def start(stack: AsyncExitStack, stores: Stores, *, tokens_kept: bool) -> tuple[int, int]:
    """Start one process of it: its port and process id."""
    port = free_port()
    told = {
        "port": port,
        "secret": stores.secret,
        "database_url": stores.postgres.url,
        "redis_url": stores.valkey.url,
        "pool_size": CONNECTIONS_PER_CORE * cores(),
        "quota": LIMIT_QUOTA,
        "window_ms": LIMIT_WINDOW_S * 1000,
        "create": CREATE_KEYLESS["external"],
        "page": _PAGE,
        "tokens_kept": tokens_kept,
    }
    path = stores.directory / f"peer-{port}.json"
    path.write_text(json.dumps(told))
    process = await asyncio.create_subprocess_exec("node", str(HERE / "server.js"), str(path))
    stack.callback(process.terminate)
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return port, process.pid
            except OSError:
                await asyncio.sleep(0.05)
