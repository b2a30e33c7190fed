"""A body may have 16 KiB, counted as it arrives."""

from collections.abc import AsyncIterator

import pytest

from tests.support.service import Person, assert_problem

LIMIT = 16 * 1024
JSON = {"Content-Type": "application/json"}


def stake_of_size(size: int) -> bytes:
    """A valid body of exactly so many bytes."""
    return b'{"amount": 1,' + b" " * (size - 26) + b'"period": 12}'


async def in_chunks(body: bytes, chunk: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), chunk):
        yield body[start : start + chunk]


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_limit_is_exact(person: Person, chunked: bool) -> None:
    """16,384 bytes are taken and 16,385 are not, with a Content-Length and without one."""
    for size, status in ((LIMIT, 201), (LIMIT + 1, 413)):
        body = stake_of_size(size)
        assert len(body) == size
        content = in_chunks(body) if chunked else body
        answer = await person.post("/api/stake", content=content, headers=JSON)
        assert answer.status_code == status, size
    assert_problem(answer, 413, "content_too_large")
    assert len((await person.list_stakes())["items"]) == 1


async def test_a_body_without_end_is_not_read_to_its_end(person: Person) -> None:
    """The answer comes when the limit is passed, not when the client stops sending."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * 2**20:
            sent += 4096
            yield b" " * 4096

    assert_problem(await person.post("/api/stake", content=endless(), headers=JSON), 413, "content_too_large")
    assert sent < 64 * 2**20


@pytest.mark.parametrize(
    "path", ["/api/auth", "/api/users", "/api/auth/refresh", "/api/auth/logout", "/api/me/password"]
)
async def test_every_body_is_bounded(person: Person, path: str) -> None:
    """Whatever the route, too much is refused before it is parsed."""
    answer = await person.post(path, content=b"[" * (LIMIT + 1), headers=JSON)
    assert_problem(answer, 413, "content_too_large")


async def test_it_is_counted(limited_person: Person) -> None:
    """A body that is too large costs as much of the limit as any other."""
    answer = await limited_person.post("/api/stake", content=b" " * (LIMIT + 1), headers=JSON)
    assert answer.status_code == 413
    assert '"stake-create";r=19' in answer.headers["ratelimit"]
