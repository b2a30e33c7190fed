"""Trips to Redis and SQL statements of one request, counted at the wire through the proxies of the tests."""

from dataclasses import dataclass

import httpx
from tests.support.fakes import HeldBackground
from tests.support.native import running_process
from tests.support.postgres_proxy import PostgresProxy
from tests.support.resp_proxy import RespProxy

from bench.stores import PASSWORD, Person, Stores


@dataclass
class Budget:
    """Trips and statements until the answer, and those of what goes on behind it."""

    trips: int
    statements: int
    trips_behind: int
    statements_behind: int


@dataclass
class _Meter:
    client: httpx.AsyncClient
    background: HeldBackground
    redis: RespProxy
    postgres: PostgresProxy

    async def count(self, method: str, path: str, **options: object) -> Budget:
        await self.background.run()
        self.redis.commands.clear()
        self.postgres.executed.clear()
        (await self.client.request(method, path, **options)).raise_for_status()  # type: ignore[arg-type]
        trips, statements = len(self.redis.trips()), self.postgres.statements
        await self.background.run()
        return Budget(
            trips, statements, len(self.redis.trips()) - trips, self.postgres.statements - statements
        )


async def count_budgets(stores: Stores, person: Person) -> dict[str, Budget]:
    """By case, for a user whose entry is cached."""
    settings = {name: value for name, value in stores.settings.items() if not name.endswith("_URL")}
    headers = {"Authorization": f"Bearer {person.token}"}
    stake = {"amount": "12.5", "period": 12}
    credentials = {"username": person.name, "password": PASSWORD}
    background, redis = HeldBackground(), RespProxy(stores.valkey.url)
    await redis.start()
    try:
        async with (
            PostgresProxy(stores.postgres.url) as postgres,
            running_process(postgres.url, redis.url, settings, background=background) as process,
        ):
            meter = _Meter(process.service.client, background, redis, postgres)
            await meter.count("GET", "/api/stake", headers=headers)
            return {
                "miss": await meter.count("GET", "/api/stake?limit=11", headers=headers),
                "cached": await meter.count("GET", "/api/stake?limit=11", headers=headers),
                "create": await meter.count("POST", "/api/stake", headers=headers, json=stake),
                "sign-in": await meter.count("POST", "/api/auth", json=credentials),
            }
    finally:
        await redis.stop()
