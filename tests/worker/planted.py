"""A plugin for pytest: a Worker that answers one thing otherwise, and leaves one test out."""

from typing import Any

import httpx
import pytest

from tests.support import worker

_send = worker._ToPort.handle_async_request


async def _answer_otherwise(self: Any, request: httpx.Request) -> httpx.Response:
    answer = await _send(self, request)
    if request.url.path == "/readyz":
        answer.headers["vary"] = "Origin"
    return answer


worker._ToPort.handle_async_request = _answer_otherwise  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave it out for no reason that the suite knows."""
    for item in items:
        if "/health/" in item.nodeid and "[worker" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="forgotten"))
