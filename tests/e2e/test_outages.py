"""Stores that stop and return while requests run: clear answers meanwhile, and recovery without a restart."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import httpx
import pytest

from stakehold.database.migrate import migrate
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.support.served import ServedService, served
from tests.support.service import Person

HANG_S = 10.0
RECOVERY_S = 10.0
OUTAGE_S = 4.0
ROOMY = "stake-create=100000,stake-read=100000,global=100000"


class _Load:
    """Reads and writes without pause, and what they were answered."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.acknowledged: set[str] = set()
        self.bad: list[str] = []
        self.last_trouble_s = 0.0
        self.stopped = False

    async def run(self) -> None:
        await asyncio.gather(*(self._read() for _ in range(4)), *(self._write() for _ in range(4)))

    async def _read(self) -> None:
        while not self.stopped:
            await self._send(self.person.get("/api/stake"))

    async def _write(self) -> None:
        while not self.stopped:
            answer = await self._send(self.person.post("/api/stake", {"amount": 1, "period": 1}))
            if answer is not None and answer.status_code == 201:
                self.acknowledged.add(answer.json()["stakeId"])

    async def _send(self, request: Awaitable[httpx.Response]) -> httpx.Response | None:
        began_s = time.monotonic()
        try:
            answer = await request
        except httpx.TransportError as error:
            self.bad.append(repr(error))
            return None
        now_s = time.monotonic()
        self.slowest_s = max(self.slowest_s, now_s - began_s)
        self.answers[f"{answer.status_code}"] += 1
        if answer.status_code == 503:
            self.last_trouble_s = now_s
            if "retry-after" not in answer.headers or answer.json()["status"] != 503:
                self.bad.append(answer.text)
        elif answer.status_code not in (200, 201, 429):
            self.bad.append(f"{answer.status_code} {answer.text}")
        return answer


async def _stakes_of(person: Person) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = (await person.get(f"/api/stake?limit=100{cursor}")).json()
        found += [item["id"] for item in page["items"]]
        if not page["hasMore"]:
            return found
        cursor = f"&cursor={page['nextCursor']}"


@pytest.mark.parametrize("how", ["stopped", "killed", "frozen"])
@pytest.mark.parametrize("which", ["redis", "database"])
async def test_a_store_goes_and_returns_under_load(tmp_path: Path, which: str, how: str) -> None:
    """While a store is away answers are 2xx, 429 or a 503 problem with Retry-After, none after 10 s.

    Within 10 s of its return all is well again without a restart; every acknowledged stake is there once.
    """
    postgres = EmbeddedPostgres(tmp_path, announce=lambda _: None)
    valkey = EmbeddedValkey(tmp_path)
    await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(valkey.start)
    try:
        await migrate(postgres.url, clock=SystemClock(), entropy=SystemEntropy())
        settings = {"REDIS_URL": valkey.url, "STAKEHOLD_LIMITS": ROOMY}
        async with served(tmp_path, postgres.url, settings, processes=2) as service:
            await _go_and_return(service, valkey if which == "redis" else postgres, how)
    finally:
        valkey.stop()
        postgres.stop()


async def _go_and_return(service: ServedService, store: EmbeddedPostgres | EmbeddedValkey, how: str) -> None:
    person = await service.sign_up()
    load = _Load(person)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(0.5)  # the load before the outage
    await _take_away(store, how)
    await asyncio.sleep(OUTAGE_S)
    await _bring_back(store, how)
    back_s = time.monotonic()
    await asyncio.sleep(RECOVERY_S / 2)
    load.stopped = True
    await running
    assert load.bad == []
    assert load.slowest_s < HANG_S
    assert load.last_trouble_s < back_s + RECOVERY_S / 2, "still in trouble long after the return"
    ready = (await service.client.get("/readyz")).json()
    assert ready["status"] == "ready"
    found = await _stakes_of(person)
    assert len(found) == len(set(found))
    assert load.acknowledged <= set(found)


async def _take_away(store: EmbeddedPostgres | EmbeddedValkey, how: str) -> None:
    assert store.process is not None
    if how == "frozen":
        store.process.send_signal(signal.SIGSTOP)
        if isinstance(store, EmbeddedPostgres):
            _signal_session(store, signal.SIGSTOP)
    elif how == "killed":
        await asyncio.to_thread(store.kill)
    else:
        await asyncio.to_thread(store.stop)


async def _bring_back(store: EmbeddedPostgres | EmbeddedValkey, how: str) -> None:
    if how == "frozen":
        assert store.process is not None
        if isinstance(store, EmbeddedPostgres):
            _signal_session(store, signal.SIGCONT)
        store.process.send_signal(signal.SIGCONT)
    else:
        await asyncio.to_thread(store.start)


def _signal_session(store: EmbeddedPostgres, number: signal.Signals) -> None:
    """PostgreSQL's sessions are processes of their own, children of the one we started."""
    assert store.process is not None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == store.process.pid:
            os.kill(int(entry.name), number)
