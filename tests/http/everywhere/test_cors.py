"""Cross-origin requests: for the origins a setting names, and no others."""

from tests.http.conftest import StartService
from tests.support.service import Service

ORIGIN = "https://app.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_it_is_off(service: Service) -> None:
    """Without the setting no answer has a CORS header, and OPTIONS is only OPTIONS."""
    for answer in (
        await service.client.get("/healthz", headers={"Origin": ORIGIN}),
        await service.client.options("/api/stake", headers={"Origin": ORIGIN, **PREFLIGHT}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_named_origin_may_call(start_service: StartService) -> None:
    """A preflight lists the path's methods and our headers; answers, problems too, may be read whole."""
    service = await start_service(STAKEHOLD_CORS_ORIGINS=f"{ORIGIN},https://other.example")
    preflight = await service.client.options("/api/stake", headers={"Origin": ORIGIN, **PREFLIGHT})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in preflight.headers["access-control-allow-methods"]
    accepted = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "if-none-match", "x-request-id"} <= set(
        accepted
    )
    one = "/api/stake/019a9c40-11f2-7d0b-8a55-c0ffee5eed01"
    preflight = await service.client.options(
        one, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    )
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "if-match" in preflight.headers["access-control-allow-headers"].lower().split(", ")
    for path in ("/healthz", "/api/me", "/nothing"):
        answer = await service.client.get(path, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["vary"] == "Origin"
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers


async def test_any_origin_may_where_all_are_named(start_service: StartService) -> None:
    """With `*` every origin is let in, each by its own name."""
    service = await start_service(STAKEHOLD_CORS_ORIGINS="*")
    for origin in (ORIGIN, "http://localhost:3000", "null"):
        answer = await service.client.get("/healthz", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"


async def test_another_origin_may_not(start_service: StartService) -> None:
    """Neither a foreign origin nor one that looks alike is let in; caches are told that answers differ."""
    service = await start_service(STAKEHOLD_CORS_ORIGINS=ORIGIN)
    for origin in (
        "https://evil.example",
        "http://app.example",
        ORIGIN + ".evil.example",
        "null",
        "HTTPS://APP.EXAMPLE",
    ):
        for answer in (
            await service.client.get("/healthz", headers={"Origin": origin}),
            await service.client.options("/api/stake", headers={"Origin": origin, **PREFLIGHT}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert answer.headers["vary"] == "Origin"
    assert (await service.client.get("/healthz")).headers["vary"] == "Origin"
