"""GET /api/plans answers 200 with the plans on sale."""

from tests.http.conftest import StartService
from tests.support.service import Service


async def test_the_default_catalogue(service: Service) -> None:
    """1, 3, 6 and 12 months at 3, 5, 8 and 12 % a year, from the smallest unit up, for everybody to read."""
    answer = await service.client.get("/api/plans")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=60"
    items = answer.json()["items"]
    assert [(item["id"], item["version"], item["period"], item["rate"]) for item in items] == [
        ("STK-1M", 1, "1", "0.03"),
        ("STK-3M", 1, "3", "0.05"),
        ("STK-6M", 1, "6", "0.08"),
        ("STK-12M", 1, "12", "0.12"),
    ]
    assert {(item["asset"], item["minimumAmount"]) for item in items} == {("STK", "0.00000001")}


async def test_a_new_version_replaces_the_old_and_stakes_keep_theirs(start_service: StartService) -> None:
    """Terms change for new stakes alone; a plan off sale is neither listed nor sold."""
    service = await start_service()
    person = await service.enrol()
    before = await person.stake(period=12)
    await service.sql(
        "INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from) "
        "VALUES ('STK-12M', 2, 'STK', 8, 12, 95000, 500000000, now() - INTERVAL '1 minute')"
    )
    await service.sql("UPDATE plans SET on_sale_until = now() WHERE id = 'STK-3M'")
    after = await person.stake(amount=5, period=12)
    assert (await person.get(f"/api/stake/{before}")).json()["rate"] == "0.12"
    assert (await person.get(f"/api/stake/{after}")).json()["rate"] == "0.095"
    refused = await person.post("/api/stake", {"amount": "4.99999999", "period": 12})
    assert refused.json()["errors"] == [
        {"pointer": "/amount", "code": "below_minimum", "detail": "At least 5."}
    ]
    off_sale = await person.post("/api/stake", {"amount": 5, "period": 3})
    assert off_sale.json()["periods"] == ["1", "6", "12"]
    items = (await service.client.get("/api/plans")).json()["items"]
    assert [(item["id"], item["version"]) for item in items] == [("STK-1M", 1), ("STK-6M", 1), ("STK-12M", 2)]
