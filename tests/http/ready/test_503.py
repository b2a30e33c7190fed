"""GET /readyz answers 503 while the service cannot serve."""

from tests.http.conftest import StartService
from tests.support.postgres_proxy import PostgresProxy


async def test_without_the_database_it_is_unready(start_service: StartService, database_url: str) -> None:
    """The body says what is away; when the database is back, so is the service, without a restart."""
    async with PostgresProxy(database_url) as proxy:
        service = await start_service(DATABASE_URL=proxy.url)
        assert (await service.client.get("/readyz")).status_code == 200
        proxy.stall()
        answer = await service.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unready"
        assert answer.json()["checks"]["database"] == {"state": "down"}
        assert answer.json()["checks"]["redis"] == {"state": "up"}
        assert int(answer.headers["retry-after"]) >= 1
        assert (await service.client.get("/healthz")).status_code == 200
        proxy.resume()
        assert (await service.client.get("/readyz")).status_code == 200
