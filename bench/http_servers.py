"""Which HTTP server costs less: Granian or uvicorn, one process, the same small ASGI application.

The application awaits once, as for a reply of Redis, and answers 3 KB of JSON with a dozen headers. wrk
drives each server in turn, rounds interleaved; CPU is that of the server's processes. Needs wrk on the PATH.

    .venv/bin/pip install granian uvicorn httptools uvloop
    .venv/bin/python bench/http_servers.py [rounds] [seconds]
"""

import asyncio
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BODY = b'{"items":[' + b",".join([b'{"id":"019aad4e-3c1f-7d2a-9b1e-6f0d4c2a8e57"}'] * 64) + b"]}"
HEADERS = [
    (b"content-type", b"application/json"),
    (b"etag", b'"0123456789abcdef"'),
    (b"cache-control", b"private, no-cache"),
    (b"x-request-id", b"0123456789abcdef0123456789abcdef"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"ratelimit-policy", b'"stake-read";q=60;w=60, "global";q=100;w=60'),
    (b"ratelimit", b'"stake-read";r=59;t=60, "global";r=99;t=60'),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """One await that leaves the task, then the answer."""
    if scope["type"] != "http":
        return
    ready = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(ready.set_result, None)
    await ready
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


PYTHON = sys.executable
SERVERS = {
    "granian": [
        PYTHON, "-m", "granian", "http_servers:app", "--interface", "asginl", "--http", "1", "--no-ws",
        "--loop", "uvloop", "--log-level", "error",
    ],
    "uvicorn": [
        PYTHON, "-m", "uvicorn", "http_servers:app", "--loop", "uvloop", "--http", "httptools", "--ws",
        "none", "--lifespan", "off", "--no-access-log", "--no-server-header", "--no-date-header",
        "--log-level", "error",
    ],
}  # fmt: skip
SERVERS["bounded"] = [
    "stakehold.runtime.http_protocol:BoundedHttpProtocol" if option == "httptools" else option
    for option in SERVERS["uvicorn"]
]
"""uvicorn with our protocol, as `stakehold serve` runs it."""


def cpu_s(group: int) -> float:
    """Seconds of processor time that the processes of a group have used."""
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(name: str, port: int, seconds: int) -> tuple[float, float, float]:
    """Requests a second, p99 in ms, and CPU µs a request."""
    server = subprocess.Popen([*SERVERS[name], "--port", str(port)], cwd=HERE, start_new_session=True)
    wrk = shutil.which("wrk") or "wrk"
    address = f"http://127.0.0.1:{port}/api/stake?page=1&limit=10"
    load = [wrk, "-t1", "-c48", "--latency", "-H", "Authorization: Bearer " + "x" * 300]
    try:
        for _ in range(100):
            if subprocess.run([wrk, "-t1", "-c1", "-d1", address], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        before_s = cpu_s(server.pid)
        shown = subprocess.run([*load, f"-d{seconds}", address], capture_output=True, text=True).stdout
        used_s = cpu_s(server.pid) - before_s
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    requests = int(re.search(r"(\d+) requests in", shown)[1])  # type: ignore[index]
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", shown)
    assert p99
    assert "Non-2xx" not in shown
    p99_ms = float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
    return requests / seconds, p99_ms, used_s / requests * 1e6


def main() -> None:
    """Interleaved rounds; medians."""
    rounds, seconds = int((sys.argv[1:] or ["5"])[0]), int((sys.argv[2:] or ["4"])[0])
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SERVERS}
    for number in range(rounds):
        for position, name in enumerate(SERVERS):
            found[name].append(measure(name, 18400 + 10 * number + position, seconds))
    for name, results in found.items():
        rate, p99_ms, cpu_us = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:8} {rate:9.0f}/s   p99 {p99_ms:6.1f} ms   CPU {cpu_us:6.1f} µs a request")


if __name__ == "__main__":
    main()
