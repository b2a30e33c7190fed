"""GET /docs answers 200 with the documentation page and its files."""

import pytest

from tests.support.service import Service


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs.css", "text/css; charset=utf-8"),
        ("/docs.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_the_files_of_the_page(service: Service, path: str, media_type: str) -> None:
    """Each has its media type and may be kept for a minute."""
    answer = await service.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.content


async def test_the_page_may_run_its_own_files_alone(service: Service) -> None:
    """It has a policy of its own, once, and everything it loads is here."""
    answer = await service.client.get("/docs")
    [policy] = answer.headers.get_list("content-security-policy")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http://" not in answer.text
    assert "https://" not in answer.text
