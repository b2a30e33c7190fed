"""Every request has one line in the log, and no line has a secret."""

import json

from tests.support.native import JWT_SECRET
from tests.support.service import PASSWORD, Service


async def test_one_line_a_request_and_no_secrets(service: Service) -> None:
    """Method, route, status, duration and request id are there; passwords, tokens and keys are not."""
    person = await service.sign_up("ada")
    stake_id = await person.stake(key="my-own-key")
    await person.get(f"/api/stake/{stake_id}", headers={"X-Request-Id": "mine"})
    await service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
    await service.client.post("/api/auth", json={"username": "ada", "password": "a wrong guess"})
    await service.client.get("/nothing?token=in-the-query")
    await person.get("/api/me", headers={"X-Request-Id": 'x"},\n{"event":"request'.replace("\n", "")})
    text = "\n".join(await service.log())
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/api/users", 201),
        ("POST", "/api/auth", 200),
        ("POST", "/api/stake", 201),
        ("GET", "/api/stake/{stakeId}", 200),
        ("POST", "/api/auth/refresh", 200),
        ("POST", "/api/auth", 401),
        ("GET", None, 404),
        ("GET", "/api/me", 200),
    ]
    assert requests[3]["request_id"] == "mine"
    # Who is signed in is known by id; for anybody else there is where they came from.
    assert all(("user_id" in line and line["user_id"]) or line["client_address"] for line in requests)
    assert not any(line["user_id"] and "client_address" in line for line in requests)
    assert all(line["duration_ms"] >= 0 for line in requests)
    secrets = (
        PASSWORD,
        "a wrong guess",
        person.token,
        person.refresh_token,
        JWT_SECRET,
        "in-the-query",
        "shr_",
    )
    for secret in secrets:
        assert secret not in text
    assert person.token.rpartition(".")[2] not in text
