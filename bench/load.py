"""wrk: what it is told to send, and what it says was answered."""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.stores import PASSWORD, Person
from bench.usage import Usage

CONNECTIONS = 48
_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class NoLoadGeneratorError(Exception):
    """wrk is not installed."""

    def __init__(self) -> None:
        super().__init__("`make bench` needs wrk, which is not on the PATH: apt-get install wrk, or see "
                         "https://github.com/wg/wrk")  # fmt: skip


@dataclass
class Result:
    """One round: what was answered, how fast, and what that cost."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int = 0
    cpu_us: dict[str, float] = field(default_factory=dict)
    trips: float | None = None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def require_wrk() -> str:
    """The path of wrk. Raises NoLoadGeneratorError."""
    path = shutil.which("wrk")
    if path is None:
        raise NoLoadGeneratorError
    return path


def parsed(printed: str) -> Result:
    """What wrk printed. Refusals (4xx, 5xx) and broken connections are errors."""
    answered = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", printed)
    if answered is None:
        raise ValueError(f"wrk printed something else:\n{printed}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    return Result(
        requests=int(answered[1]),
        seconds=float(answered[2]) * _UNIT_MS[answered[3]] / 1000,
        p50_ms=_percentile_ms(printed, "50%"),
        p99_ms=_percentile_ms(printed, "99%"),
        errors=int(refused[1] if refused else 0) + sum(map(int, broken.groups() if broken else ())),
    )


def _percentile_ms(printed: str, name: str) -> float:
    found = re.search(rf"^\s*{name}\s+([\d.]+)(us|ms|s|m)\s*$", printed, re.MULTILINE)
    if found is None:
        raise ValueError(f"wrk printed no {name}:\n{printed}")
    return float(found[1]) * _UNIT_MS[found[2]]


async def wrk(
    url: str, script: Path, seconds: int, usage: Usage, *, connections: int = CONNECTIONS
) -> Result:
    """Send for `seconds` what `script` says; the answers are judged by wrk."""
    process = await asyncio.create_subprocess_exec(
        require_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s",
        "-s", str(script), url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    result = parsed(printed.decode())
    result.cpu_us = usage.us_a_request(result.requests)
    return result


def _script(path: Path, requests: Sequence[str], next_request: str) -> Path:
    """A wrk script that goes round `requests`, texts in Lua's notation."""
    listed = ",\n".join(requests)
    path.write_text(
        f"local requests = {{\n{listed}\n}}\nlocal count, turn, pass = {len(requests)}, 0, 0\n"
        "function request()\n"
        "  turn = turn + 1\n"
        "  if turn > count then turn, pass = 1, pass + 1 end\n"
        f"  return {next_request}\n"
        "end\n"
    )
    return path


def _head(person: Person) -> str:
    return f" HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer {person.token}\\r\\n"


def cached_reads(path: Path, people: Sequence[Person]) -> Path:
    """Everybody's first page, in turn."""
    requests = [f'"GET /api/stake?page=1&limit=10{_head(person)}\\r\\n"' for person in people]
    return _script(path, requests, "requests[turn]")


def missing_reads(path: Path, people: Sequence[Person]) -> Path:
    """Everybody's stakes, in turn, each time by another limit than before: ten stakes, and no cached page.

    There are 91 limits from 10 to 100, so the pages must be dropped before a round.
    """
    requests = [f'"{_head(person)}\\r\\n"' for person in people]
    return _script(path, requests, '"GET /api/stake?limit=" .. (10 + pass % 91) .. requests[turn]')


def creations(path: Path, people: Sequence[Person]) -> Path:
    """A stake for everybody, in turn."""
    body = '{\\"amount\\":\\"12.5\\",\\"period\\":12}'
    return _script(path, [_post("/api/stake", body, _head(person)) for person in people], "requests[turn]")


def sign_ins(path: Path, people: Sequence[Person]) -> Path:
    """Everybody signs in, in turn."""
    requests = []
    for person in people:
        body = f'{{\\"username\\":\\"{person.name}\\",\\"password\\":\\"{PASSWORD}\\"}}'
        requests.append(_post("/api/auth", body, " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"))
    return _script(path, requests, "requests[turn]")


def _post(path: str, body: str, head: str) -> str:
    length = len(body.replace("\\", ""))
    return (
        f'"POST {path}{head}Content-Type: application/json\\r\\nContent-Length: {length}\\r\\n\\r\\n{body}"'
    )
