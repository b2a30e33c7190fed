"""GET /readyz of a process on its way out."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stakehold.http.call import Call
from stakehold.http.handlers.health import readyz
from tests.support.native import running_process


@pytest.mark.parametrize("draining", [False, True])
async def test_a_draining_process_is_not_ready(database_url: str, redis_url: str, draining: bool) -> None:
    """Whoever balances load sends it nothing more, though both stores are up."""
    async with running_process(database_url, redis_url) as process:
        container = dataclasses.replace(process.container, draining=lambda: draining)
        answer = await readyz(cast(Call, SimpleNamespace(container=container)))
    body: dict[str, Any] = json.loads(answer.body)
    assert (answer.status, body["status"]) == ((503, "draining") if draining else (200, "ready"))
    assert body["checks"] == {"database": {"state": "up"}, "redis": {"state": "up"}}
    assert ((b"retry-after", b"1") in answer.headers) is draining
