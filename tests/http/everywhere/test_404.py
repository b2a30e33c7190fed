"""What has no address is 404, as a problem."""

import itertools

import pytest

from tests.support.service import Service, assert_problem

UNKNOWN = [
    "/", "/api", "/api/", "/api/stakes", "/api/stake/", "/api/auth/", "//api/stake", "/API/stake",
    "/api/stake/a/b", "/healthz/", "/favicon.ico", "/.env", "/.git/config",
    "/api/%73take%00", "/api/stake%20", "/💰",
]  # fmt: skip


async def test_an_unknown_path_is_not_found(service: Service, subtests: pytest.Subtests) -> None:
    """Paths are exact: no trailing slash, no other case, nothing of the file system; any method gets 404."""
    for path, method in itertools.product(UNKNOWN, ("GET", "POST", "DELETE", "OPTIONS", "HEAD")):
        with subtests.test(path=path, method=method):
            answer = await service.client.request(method, path)
            assert answer.status_code == 404
            assert method == "HEAD" or answer.json()["code"] == "not_found"


async def test_the_problem_names_what_was_asked(service: Service) -> None:
    """`instance` is the path, without the query, which may hold what is not to be repeated."""
    answer = await service.client.get("/nothing?token=secret")
    assert_problem(answer, 404, "not_found")
    assert "secret" not in answer.text


@pytest.mark.native_only("a Worker's platform resolves dots, so that `instance` is what became of the path")
async def test_dots_lead_nowhere(service: Service) -> None:
    """A path is taken as it was sent, and named so."""
    assert_problem(await service.client.get("/%2e%2e/%2e%2e/etc/passwd"), 404, "not_found")
