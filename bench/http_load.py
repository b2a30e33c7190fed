"""Requests a second of one server process under wrk: cached reads, and creations; beside the bare server.

    .venv/bin/python bench/http_load.py [seconds]

Needs wrk (Debian's package). Starts stores and server of its own on loopback, and stops them. The rounds are
interleaved and the medians printed, with the ratio of each to what the same server answers without doing
anything. The load generator and both stores share the machine with the server.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from stakehold.database.migrate import migrate
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey, free_port
from stakehold.runtime.outside import SystemClock, SystemEntropy

CONNECTIONS = 48
ROUNDS = 3
UNLIMITED = ",".join(f"{name}=1000000" for name in ("stake-create", "stake-read", "global"))

BARE = """
import sys, uvicorn
from stakehold.runtime.http_protocol import BoundedHttpProtocol
body = b'{"items":[' + b"0," * 130 + b"0]}"
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), http=BoundedHttpProtocol, lifespan="off", ws="none",
    log_config=None, access_log=False, server_header=False, loop="uvloop")
"""


def wrk(url: str, seconds: int, script: str = "") -> tuple[float, float, float]:
    """Requests a second, and the median and 99th percentile in milliseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
    if script:
        command[1:1] = ["-s", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        sys.exit(printed)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])  # type: ignore[index]
    return rate, _milliseconds(printed, "50%"), _milliseconds(printed, "99%")


def _milliseconds(printed: str, percentile: str) -> float:
    number, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", printed).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


async def sign_in(base: str) -> str:
    """Make a user with ten stakes and return a token."""
    async with httpx.AsyncClient(base_url=base, timeout=10) as client:
        user = {"username": f"bench-{uuid.uuid4().hex[:12]}", "password": uuid.uuid4().hex}
        (await client.post("/api/users", json=user)).raise_for_status()
        token: str = (await client.post("/api/auth", json=user)).json()["token"]
        for _ in range(10):
            body = {"amount": "12.5", "period": 12}
            headers = {"Authorization": f"Bearer {token}"}
            (await client.post("/api/stake", json=body, headers=headers)).raise_for_status()
        return token


async def until_ready(url: str) -> None:
    """Wait for an answer."""
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


def lua(directory: Path, token: str, method: str) -> str:
    """A wrk script that sends the token, and for POST a stake."""
    lines = [f'wrk.headers["Authorization"] = "Bearer {token}"']
    if method == "POST":
        lines += ['wrk.method = "POST"', 'wrk.headers["Content-Type"] = "application/json"']
        lines += ['wrk.body = \'{"amount": "12.5", "period": 12}\'']
    path = directory / f"{method}.lua"
    path.write_text("\n".join(lines))
    return str(path)


async def main(seconds: int) -> None:
    """Start everything, measure, print."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres, valkey = EmbeddedPostgres(directory, announce=lambda _: None), EmbeddedValkey(directory)
        for store in (postgres, valkey):
            store.start()
            stack.callback(store.stop)
        await migrate(postgres.url, clock=SystemClock(), entropy=SystemEntropy())
        port, bare_port = free_port(), free_port()
        environment = {
            **os.environ, "DATABASE_URL": postgres.url, "REDIS_URL": valkey.url,
            "JWT_SECRET": uuid.uuid4().hex * 2,
            "PORT": str(port), "STAKEHOLD_PROCESSES": "1", "STAKEHOLD_LIMITS": UNLIMITED,
        }  # fmt: skip
        program = str(Path(sys.executable).parent / "stakehold")
        with (directory / "log").open("wb") as log:
            served = subprocess.Popen([program, "serve"], env=environment, stdout=log, stderr=log)
        stack.callback(served.terminate)
        bare = subprocess.Popen([sys.executable, "-c", BARE, str(bare_port)])
        stack.callback(bare.terminate)
        base = f"http://127.0.0.1:{port}"
        try:
            await until_ready(f"{base}/readyz")
        except TimeoutError:
            sys.exit((directory / "log").read_text())
        await until_ready(f"http://127.0.0.1:{bare_port}/")
        token, other = await sign_in(base), await sign_in(base)
        runs = {
            "bare server": (f"http://127.0.0.1:{bare_port}/", ""),
            "GET /api/stake, cached": (f"{base}/api/stake", lua(directory, token, "GET")),
            "POST /api/stake": (f"{base}/api/stake", lua(directory, other, "POST")),
        }
        seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, (url, script) in runs.items():
                seen[name].append(await asyncio.to_thread(wrk, url, seconds, script))
    floor = statistics.median(rate for rate, _, _ in seen["bare server"])
    print(f"{'':24} {'requests/s':>11} {'of bare':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, results in seen.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:24} {rate:11.0f} {rate / floor:8.2f} {p50:8.2f} {p99:8.2f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
