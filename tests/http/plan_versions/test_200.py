"""GET /api/plans/{planId}/versions answers 200 with the plan's history."""

from stakehold.domain.plans import Band
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Service


async def test_every_version_is_there_newest_first(service: Service) -> None:
    """On sale or not; of one version alone, that one as the plan is told by itself."""
    history = (await service.client.get("/api/plans/STK-12M/versions")).json()
    alone = (await service.client.get("/api/plans/STK-12M")).json()
    assert alone.pop("availableCapacity") is None
    assert history == {"items": [alone], "hasMore": False}
    for version in (2, 3):
        await put_on_sale(service.database_url, make_plan(version=version, bands=(Band(0, version),)))
    answer = await service.client.get("/api/plans/STK-12M/versions")
    assert answer.headers["cache-control"] == "public, max-age=60"
    items = answer.json()["items"]
    assert [(item["version"], item["rate"]) for item in items] == [
        (3, "0.000003"),
        (2, "0.000002"),
        (1, "0.12"),
    ]


async def test_a_long_history_is_read_in_pages(service: Service) -> None:
    """At most 100 at a time, and all of them in the end."""
    await service.sql(
        "INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from)"
        " SELECT 'STK-12M', n, 'STK', 8, 12, 120000, 1, now() FROM generate_series(2, 150) AS n"
    )
    found, before = [], 2**31
    while True:
        page = (await service.client.get(f"/api/plans/STK-12M/versions?before={before}")).json()
        found += [item["version"] for item in page["items"]]
        assert len(page["items"]) <= 100
        if not page["hasMore"]:
            break
        before = found[-1]
    assert found == list(range(150, 0, -1))
    assert (await service.client.get("/api/plans/STK-12M/versions?before=1")).json() == {
        "items": [],
        "hasMore": False,
    }
