"""A refresh token that is sent as X-Request-Id is neither logged nor echoed."""

import secrets
from io import BytesIO

from tests.support.native import running_service


async def test_a_refresh_token_is_no_request_id(database_url: str, redis_url: str) -> None:
    """The answer has an id of ours instead."""
    log = BytesIO()
    async with running_service(database_url, redis_url, log=log) as service:
        token = "shr_" + secrets.token_urlsafe(64)[:86]
        answer = await service.client.get("/api/plans", headers={"X-Request-Id": token})
        assert token not in answer.headers["x-request-id"]
    assert token.encode() not in log.getvalue()
