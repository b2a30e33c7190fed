"""GET /readyz answers 200 while the service can serve."""

from tests.http.conftest import StartService
from tests.support.resp_proxy import RespProxy
from tests.support.service import Service


async def test_ready(service: Service) -> None:
    """With both stores there it says so of each."""
    answer = await service.client.get("/readyz")
    assert answer.status_code == 200
    up = {"state": "up"}
    assert answer.json() == {"status": "ready", "checks": {"database": up, "redis": up}}
    assert answer.headers["cache-control"] == "no-store"


async def test_without_redis_it_is_degraded_and_still_ready(
    start_service: StartService, redis_url: str
) -> None:
    """Redis away makes the service slower, not unready: users are served, and the state says so."""
    proxy = RespProxy(redis_url)
    await proxy.start()
    try:
        service = await start_service(REDIS_URL=proxy.url)
        person = await service.enrol()
        await person.stake()
        proxy.refuse()
        proxy.cut()
        answer = await service.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["status"] == "degraded"
        assert answer.json()["checks"] == {"database": {"state": "up"}, "redis": {"state": "down"}}
        stake_id = await person.stake()
        page = await person.list_stakes()
        assert page["items"][0]["id"] == stake_id
        assert page["fromCache"] is False
    finally:
        await proxy.stop()
