"""GET /api/plans/{planId} answers 200 with the terms of one plan."""

from stakehold.domain.plans import Band
from tests.http.conftest import StartService
from tests.support.plans import make_plan, put_on_sale
from tests.support.service import Service

DAY_MS = 86_400_000
FAR_MS = 4_000_000_000_000


async def test_every_term_is_told(service: Service) -> None:
    """Amounts are decimals at the asset's scale, rates fractions; what there is not is null or left out."""
    gold = make_plan(
        id="GLD-6M",
        asset="GLD",
        scale=3,
        period_months=6,
        bands=(Band(0, 30_000), Band(1_000_500, 50_000)),
        day_count="ACT/ACT",
        minimum_minor=500,
        maximum_minor=10**37,
        step_minor=500,
        user_cap_minor=10**38 - 1,
        capacity_minor=10**38 - 1,
        on_sale_from_ms=1_700_000_000_123,
        on_sale_until_ms=FAR_MS,
        early_exit="forfeit_part",
        early_exit_ppm=500_000,
        minimum_hold_days=7,
        cooldown_s=172_800,
        grace_s=0,
    )
    await put_on_sale(service.database_url, gold)
    answer = await service.client.get("/api/plans/GLD-6M")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.json() == {
        "id": "GLD-6M",
        "version": 1,
        "asset": "GLD",
        "period": "6",
        "rate": "0.03",
        "minimumAmount": "0.5",
        "scale": 3,
        "dayCount": "ACT/ACT",
        "rateBands": [{"from": "0", "rate": "0.03"}, {"from": "1000.5", "rate": "0.05"}],
        "maximumAmount": "1" + "0" * 34,
        "step": "0.5",
        "userCap": "9" * 35 + ".999",
        "capacity": "9" * 35 + ".999",
        "onSaleFrom": "2023-11-14T22:13:20.123Z",
        "onSaleUntil": "2096-10-02T07:06:40.000Z",
        "earlyExit": {"policy": "forfeit_part", "share": "0.5"},
        "minimumHoldDays": 7,
        "cooldownSeconds": 172800,
        "gracePeriodSeconds": 0,
        "availableCapacity": "9" * 35 + ".999",
    }


async def test_what_is_left_of_a_capacity_is_told(start_service: StartService) -> None:
    """All that is staked in the plan counts, whatever the version; less than nothing is nothing."""
    service = await start_service()
    person = await service.enrol()
    minor = 10**8
    for version, capacity, available in ((1, 10, "7"), (2, 4, "1"), (3, 2, "0"), (4, None, None)):
        limit = None if capacity is None else capacity * minor
        await put_on_sale(service.database_url, make_plan(id="P", version=version, capacity_minor=limit))
        if version == 1:
            assert (await service.client.get("/api/plans/P")).json()["availableCapacity"] == "10"
            stake = {"amount": "3", "plan": "P"}
            assert (await person.post("/api/stake", stake)).status_code == 201
        plan = (await service.client.get("/api/plans/P")).json()
        assert (plan["version"], plan["availableCapacity"]) == (version, available)
    versions = (await service.client.get("/api/plans/P/versions")).json()["items"]
    assert all("availableCapacity" not in item for item in versions)


async def test_it_is_the_item_of_the_list(service: Service) -> None:
    """The same plan reads the same by itself and in the catalogue."""
    for item in (await service.client.get("/api/plans")).json()["items"]:
        assert (await service.client.get(f"/api/plans/{item['id']}")).json() == item
        assert item["earlyExit"] == {"policy": "forfeit_all"}
        assert item["onSaleUntil"] is item["maximumAmount"] is item["userCap"] is item["capacity"] is None


async def test_the_version_on_sale_comes_first_then_the_latest(start_service: StartService) -> None:
    """Tomorrow's version is not told before it is on sale, unless there is no other."""
    service = await start_service()
    reduced = make_plan(id="STK-3M", version=2, period_months=3, early_exit="reduced_rate", early_exit_ppm=1)
    await put_on_sale(service.database_url, reduced)
    await put_on_sale(service.database_url, make_plan(id="STK-3M", version=3, on_sale_from_ms=FAR_MS))
    plan = (await service.client.get("/api/plans/STK-3M")).json()
    assert (plan["version"], plan["earlyExit"]) == (2, {"policy": "reduced_rate", "rate": "0.000001"})
    await service.sql("UPDATE plans SET on_sale_until = now() WHERE version < 3 AND id = 'STK-3M'")
    assert (await service.client.get("/api/plans/STK-3M")).json()["version"] == 3
