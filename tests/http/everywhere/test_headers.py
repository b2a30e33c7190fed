"""Security headers are on every answer, whatever its status."""

import pytest

from tests.http.conftest import StartService
from tests.support.conformance import EVERYWHERE
from tests.support.service import Service


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/nothing"),
        ("DELETE", "/api/me"),
        ("OPTIONS", "/api/me"),
        ("GET", "/api/me"),
        ("GET", "/docs"),
    ],
)
async def test_every_answer_has_them(service: Service, method: str, path: str) -> None:
    """Nothing is sniffed, framed, or referred to; an API answer may load nothing at all."""
    answer = await service.client.request(method, path)
    for name, value in EVERYWHERE.items():
        assert answer.headers.get_list(name) == [value]
    [policy] = answer.headers.get_list("content-security-policy")
    if path != "/docs":
        assert policy == "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_transport_security_is_a_setting(service: Service, start_service: StartService) -> None:
    """Strict-Transport-Security is sent where the operator serves by TLS alone, and only there."""
    assert "strict-transport-security" not in (await service.client.get("/healthz")).headers
    secured = await start_service(STAKEHOLD_HSTS="on")
    answer = await secured.client.get("/nothing")
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
