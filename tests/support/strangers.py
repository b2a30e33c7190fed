"""Requests that no signed-in user makes: each must be refused before anything is done for it."""

from uuid import uuid4

from tests.support.service import Service, assert_problem


async def assert_refuses_strangers(service: Service, method: str, path: str, body: object = None) -> None:
    """Without a good token of an existing session the call is 401, with the challenge to meet."""
    unknown = service.token(uuid4(), uuid4())
    for authorization, code, challenge in (
        (None, "missing_token", 'Bearer realm="stakehold"'),
        ("Basic dGVzdDp0ZXN0", "invalid_token", 'Bearer realm="stakehold", error="invalid_token"'),
        ("Bearer", "invalid_token", 'Bearer realm="stakehold", error="invalid_token"'),
        ("Bearer nonsense", "invalid_token", 'Bearer realm="stakehold", error="invalid_token"'),
        (f"Token {unknown}", "invalid_token", 'Bearer realm="stakehold", error="invalid_token"'),
        (f"Bearer {unknown}", "session_ended", 'Bearer realm="stakehold", error="invalid_token"'),
    ):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await service.client.request(method, path, json=body, headers=headers)
        assert_problem(answer, 401, code)
        assert answer.headers["www-authenticate"] == challenge, authorization
        policies = answer.headers["ratelimit-policy"]
        expected = "global" if code != "session_ended" else None
        assert expected is None or policies.startswith(f'"{expected}";'), policies
