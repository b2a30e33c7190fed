"""Each path has its methods: HEAD beside GET, OPTIONS everywhere, and 405 with `Allow` for the others."""

import pytest

from tests.http.conftest import StartService
from tests.support.service import Person, Service, assert_problem

ALLOWED = {
    "/api/users": "OPTIONS, POST",
    "/api/auth": "OPTIONS, POST",
    "/api/auth/refresh": "OPTIONS, POST",
    "/api/auth/logout": "OPTIONS, POST",
    "/api/me": "GET, HEAD, OPTIONS",
    "/api/me/password": "OPTIONS, POST",
    "/api/stake": "GET, HEAD, OPTIONS, POST",
    "/api/stake/019a9c40-11f2-7d0b-8a55-c0ffee5eed01": "GET, HEAD, OPTIONS, PATCH",
    "/api/stake/019a9c40-11f2-7d0b-8a55-c0ffee5eed01/unstake/quote": "OPTIONS, POST",
    "/api/stake/019a9c40-11f2-7d0b-8a55-c0ffee5eed01/unstake": "OPTIONS, POST",
    "/api/stake/019a9c40-11f2-7d0b-8a55-c0ffee5eed01/cancel": "OPTIONS, POST",
    "/api/rewards": "GET, HEAD, OPTIONS",
    "/api/plans": "GET, HEAD, OPTIONS",
    "/healthz": "GET, HEAD, OPTIONS",
    "/readyz": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
async def test_other_methods_are_not_allowed(service: Service, path: str, allowed: str) -> None:
    """405 names the methods there are, before anyone is asked for a token; OPTIONS says the same."""
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        if method in allowed.split(", "):
            continue
        answer = await service.client.request(method, path)
        assert answer.status_code == 405, method
        assert answer.headers["allow"] == allowed
        if method != "HEAD":
            assert_problem(answer, 405, "method_not_allowed")
    answer = await service.client.options(path)
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allowed)


@pytest.mark.native_only("the HTTP server before a Worker refuses methods that nobody has registered")
async def test_an_unknown_method_is_not_allowed(service: Service) -> None:
    """Nor does the application take it for another."""
    answer = await service.client.request("BREW", "/api/stake")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == ALLOWED["/api/stake"]


@pytest.mark.parametrize(
    "path",
    ["/api/stake", "/api/me", "/api/rewards", "/api/plans", "/healthz", "/readyz", "/openapi.json", "/docs"],
)
async def test_head_is_get_without_the_body(person: Person, path: str) -> None:
    """HEAD has the status and headers of GET, the body's length included, and no body."""
    get, head = await person.get(path), await person.request("HEAD", path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    for name in ("content-type", "cache-control", "etag", "content-security-policy"):
        assert head.headers.get(name) == get.headers.get(name), name
    assert abs(int(head.headers["content-length"]) - len(get.content)) <= 1  # fromCache: true or false


async def test_head_is_counted_and_conditional(start_service: StartService) -> None:
    """HEAD is a read like any other: it is limited, and can be 304."""
    service = await start_service(STAKEHOLD_LIMITS="stake-read=2")
    person = await service.enrol()
    etag = (await person.request("HEAD", "/api/stake")).headers["etag"]
    answer = await person.request("HEAD", "/api/stake", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert (await person.request("HEAD", "/api/stake")).status_code == 429
