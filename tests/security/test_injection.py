"""What a client writes stays a value: in SQL, in Redis' keys and scripts, in the log, in patterns."""

import importlib
import json
import pkgutil
import re
import time
from collections.abc import AsyncIterator, Iterator
from io import BytesIO

import httpx
import pytest

import stakehold
from tests.support.fakes import CheapScrypt
from tests.support.native import Process, running_process
from tests.support.service import PASSWORD
from tests.support.worker_platform import worker_platform

HOSTILE = (
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    "\\'; SELECT pg_sleep(3); --",
    "$1) OR (1=1",
    "%' OR username LIKE '%",
    "}:limit:auth",
    "{u:0}:account",
    "\r\nFLUSHALL\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    "\n') redis.call('FLUSHALL') --",
    '"},{"event":"request","status":200}\n{"level":"error"',
    "\x1b[2J\u202e\u2028",
    "${jndi:ldap://127.0.0.1/a}",
    "{0.__class__.__mro__} %(x)s %n",
    "../../../../etc/passwd\0.json",
    "x" * 250,
)
ROOMY = ",".join(
    f"{name}=100000"
    for name in ("auth", "global", "sign-up", "refresh", "account", "stake-create", "stake-read")
)
KEY = re.compile(
    rb"sh0:(incarnation|\{(u:[0-9a-f-]{36}|n:[\w.+@-]*|a:192\.0\.2\.1)\}:[a-z]+(:[a-z-]+)?)", re.ASCII
)
"""What a key may be: nothing of it is a client's but a username in normal form."""


@pytest.fixture
async def process(database_url: str, redis_url: str) -> AsyncIterator[Process]:
    async with running_process(
        database_url,
        redis_url,
        {"STAKEHOLD_LIMITS": ROOMY},
        scrypt=CheapScrypt(),
        log=BytesIO(),
    ) as started:
        yield started


def attempts(text: str, headers: dict[str, str]) -> Iterator[httpx.Request]:
    """A request for every place that takes a text, with this one in it."""
    base = "http://stakehold.test"
    yield httpx.Request("POST", f"{base}/api/auth", json={"username": text, "password": text})
    yield httpx.Request("POST", f"{base}/api/auth", json={"username": "maria", "password": text})
    yield httpx.Request("POST", f"{base}/api/users", json={"username": text, "password": PASSWORD})
    yield httpx.Request("POST", f"{base}/api/auth/refresh", json={"refreshToken": text})
    change = {"currentPassword": text, "newPassword": text}
    yield httpx.Request("POST", f"{base}/api/me/password", json=change, headers=headers)
    for name in ("amount", "period", text):
        stake = {"amount": 1, "period": 12, name: text}
        yield httpx.Request("POST", f"{base}/api/stake", json=stake, headers=headers)
    for name in ("cursor", "page", "limit", text):
        yield httpx.Request("GET", f"{base}/api/stake", params={name: text}, headers=headers)
    path = httpx.QueryParams({"": text}).__str__()[1:].replace("+", "%20")
    yield httpx.Request("GET", f"{base}/api/stake/{path}", headers=headers)
    line = re.sub(r"[^\x20-\x7e]", " ", text).strip()
    for name in ("Idempotency-Key", "X-Request-Id", "If-None-Match", "X-Forwarded-For", "Origin"):
        stake = {"amount": 1, "period": 12}
        yield httpx.Request("POST", f"{base}/api/stake", json=stake, headers={**headers, name: line})
    yield httpx.Request("GET", f"{base}/api/me", headers={"Authorization": f"Bearer {line}"})


async def test_no_text_becomes_more_than_a_value(process: Process, database_url: str, redis_url: str) -> None:
    """Every hostile text in every place: no fault, no row or key beyond what was asked for, nothing slow."""
    service = process.service
    maria, johan = await service.sign_up("maria"), await service.sign_up("johan")
    stake_id = await johan.stake()
    made = 0
    for text in HOSTILE:
        for request in attempts(text, maria.headers):
            answer = await service.client.send(request)
            assert answer.status_code < 500, (request.url, text, answer.text)
            assert not re.search(r"[\r\n]", "".join(f"{n}{v}" for n, v in answer.headers.items()))
            if request.url.path == "/api/stake" and answer.status_code == 201:
                made += "idempotency-replayed" not in answer.headers
    assert await service.sql("SELECT username FROM users ORDER BY username") == [("johan",), ("maria",)]
    assert await service.sql("SELECT count(*) FROM stakes WHERE id::TEXT <> $1", stake_id) == [(made,)]
    keys = await service.redis("KEYS", "*")
    assert isinstance(keys, list)
    assert keys, "nothing has emptied Redis"
    assert [key for key in keys if not isinstance(key, bytes) or not KEY.fullmatch(key)] == []
    assert (await johan.get(f"/api/stake/{stake_id}")).status_code == 200
    await service.sign_in("maria")


async def test_no_text_writes_a_line_of_the_log(database_url: str, redis_url: str) -> None:
    """Each line is JSON and one that we wrote: as many as there were requests."""
    log = BytesIO()
    sent = 0
    async with running_process(
        database_url, redis_url, {"STAKEHOLD_LIMITS": ROOMY}, scrypt=CheapScrypt(), log=log
    ) as process:
        maria = await process.service.sign_up("maria")
        for text in HOSTILE:
            for request in attempts(text, maria.headers):
                await process.service.client.send(request)
                sent += 1
    written = log.getvalue()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["event"] for line in lines].count("request") == sent + 2
    assert {line["event"] for line in lines} <= {"request", "counters"}
    assert not set(written) - {0x0A} - set(range(0x20, 0x7F)), "no character moves a terminal"


def _patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    """Every pattern of the service that is kept in a module."""
    found = {}
    # What runs on Workers alone imports what the platform brings, which is played meanwhile.
    with worker_platform():
        for module in pkgutil.walk_packages(stakehold.__path__, "stakehold."):
            if module.name.endswith(("__main__", "cli")):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern) and "dotenv" not in module.name:
                    found[f"{module.name}.{name}"] = value
    return found


PIECES = (
    "a", "0", '"', "\\", "[", "{", " ", ".", "-", "=", "$", "/", "\\\\", '\\"', "a=", "é", "\n", "%", "A0",
    " - at `$.", "Object contains unknown field `", "$scrypt$ln=14,r=8,p=5$", "auth=1,",
)  # fmt: skip
TEXT_LENGTH = 16 * 1024
"""As long as a body or a header may be."""


@pytest.mark.parametrize("name", _patterns())
def test_no_pattern_takes_long(name: str) -> None:
    """16 KiB of anything repeated, with and without an end that spoils the match, cost next to nothing."""
    pattern = _patterns()[name]
    for piece in PIECES:
        for start in ("", '"', "Object contains unknown field `"):
            for end in ("", "!", "`"):
                text = start + piece * (TEXT_LENGTH // len(piece)) + end
                begun_s = time.process_time()
                for look in (pattern.search, pattern.fullmatch):
                    look(text.encode() if isinstance(pattern.pattern, bytes) else text)  # type: ignore[arg-type]
                assert time.process_time() - begun_s < 0.5, (piece, start, end)
