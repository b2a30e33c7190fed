"""Every answer has an X-Request-Id: the client's where it is usable, else a new one."""

import pytest

from tests.http.conftest import StartService
from tests.support.service import Service


@pytest.mark.parametrize("given", ["a", "7d6f0c0a-4c1b.4f0e_9b7d", "x" * 128])
async def test_a_usable_id_comes_back(service: Service, given: str) -> None:
    """In the header, and in a problem's body."""
    for path in ("/healthz", "/nothing", "/api/me"):
        answer = await service.client.get(path, headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a,b", "<script>", 'a"b', "ä", "a\tb", "{}"])
async def test_an_unusable_id_is_replaced(service: Service, given: str) -> None:
    """Nothing that could break a log or a page is repeated."""
    answer = await service.client.get("/nothing", headers={b"X-Request-Id": given.encode()})
    assert answer.status_code == 404
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


async def test_new_ids_are_never_alike(service: Service) -> None:
    """Without one from the client each answer has its own."""
    ids = {(await service.client.get("/healthz")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_a_repeated_id_is_counted_each_time(start_service: StartService) -> None:
    """A client's id buys no free requests."""
    service = await start_service(STAKEHOLD_LIMITS="stake-read=2")
    person = await service.enrol()
    statuses = [
        (await person.get("/api/stake", headers={"X-Request-Id": "same"})).status_code for _ in range(3)
    ]
    assert statuses == [200, 200, 429]
