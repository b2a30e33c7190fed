"""The loop of a server process: rounds until it is stopped, whatever becomes of one."""

import asyncio
import contextlib
import json
from io import BytesIO
from typing import Any

import pytest

from stakehold.domain.errors import DatabaseError
from stakehold.runtime import upkeep
from stakehold.runtime.container import build_container, close_container
from stakehold.runtime.settings import load_settings
from stakehold.services.upkeep import Upkeep
from tests.support.native import JWT_SECRET


async def test_a_round_that_fails_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str
) -> None:
    """Each has its line in the log where there is something to tell, and its faults, without their words."""
    faulty = Upkeep(settled=3)
    faulty.take(ValueError("amount of somebody"))
    rounds: list[Upkeep | Exception] = [
        ValueError("secret"), Upkeep(), faulty, DatabaseError("away"), Upkeep(swept=2),
    ]  # fmt: skip
    over = asyncio.Event()

    async def keep_up(*_: object) -> Upkeep:
        if not rounds:
            over.set()
            await asyncio.Event().wait()
        done = rounds.pop(0)
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(upkeep, "keep_up", keep_up)
    monkeypatch.setattr(upkeep, "PAUSE_S", 0.0)
    monkeypatch.setattr(upkeep, "JITTER_S", 0.0)
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": JWT_SECRET}
    settings, stream = load_settings(stores, production=True), BytesIO()
    container = await build_container(settings, log_stream=stream)
    loop = asyncio.create_task(upkeep.run_upkeep(container, settings))
    try:
        async with asyncio.timeout(5):
            await over.wait()
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop
        await close_container(container)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told: list[tuple[Any, ...]] = [
        (line["event"], line["level"], line.get("settled"), line.get("fault"))
        for line in lines
        if line["event"] in ("upkeep", "fault")
    ]
    assert told == [
        ("fault", "error", None, "ValueError"),
        ("upkeep", "warning", 3, None),
        ("fault", "error", None, "ValueError"),
        ("fault", "error", None, "DatabaseError"),
        ("upkeep", "info", 0, None),
    ]
    assert b"secret" not in stream.getvalue()
    assert b"somebody" not in stream.getvalue()
