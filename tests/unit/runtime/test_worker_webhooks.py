"""Webhooks by the platform's fetch: held to what the native sender does, but for what it cannot see."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stakehold.runtime.settings import load_settings
from stakehold.services.webhooks import NotDeliveredError, Reply
from tests.support.receiver import SECRET
from tests.support.worker_platform import Body, JsException, Platform, worker_module, worker_platform

URL = "https://receiver.example/engines"


@pytest.fixture
def platform() -> Iterator[Platform]:
    with worker_platform() as platform:
        yield platform


async def post(url: str = URL, *, private: bool = False) -> Reply:
    sender = worker_module("worker_webhooks").FetchWebhookSender(private=private)
    reply: Reply = await sender.post(
        url, headers={"webhook-id": "1"}, body='{"a": "é"}'.encode(), timeout_s=0.25
    )
    return reply


def answer(status: int, body: Body | None = None, retry_after: object = None) -> SimpleNamespace:
    return SimpleNamespace(status=status, body=body, headers={"Retry-After": retry_after})


async def test_a_post_is_one_fetch(platform: Platform) -> None:
    """Method, headers, body and a timeout; a redirect is an answer."""
    seen: list[tuple[Any, Any]] = []

    async def fetch(*arguments: Any, **options: Any) -> Any:
        seen.append((arguments, options))
        return answer(307)

    platform.fetch = fetch
    assert await post() == Reply(307)
    assert seen == [
        (
            (URL,),
            {
                "method": "POST", "headers": {"webhook-id": "1"}, "body": '{"a": "é"}',
                "redirect": "manual", "signal": 250,
            },
        )
    ]  # fmt: skip


async def test_the_body_of_an_answer_is_let_go_unread(platform: Platform) -> None:
    """So that its connection does not count any more; the status stands, whatever that comes to."""

    class Broken(Body):
        async def cancel(self) -> None:
            raise JsException("TypeError", "it broke off")

    for body in (Body(b"x" * 10_000), Broken(b"x")):

        async def fetch(*_: Any, body: Body = body, **__: Any) -> Any:
            return answer(200, body)

        platform.fetch = lambda *arguments, fetch=fetch, **options: fetch(*arguments)
        assert await post() == Reply(200)
        assert body.reads == 0
        assert body.cancelled or isinstance(body, Broken)


@pytest.mark.parametrize(("said", "read"), [("120", "120"), (None, None), (object(), None)])
async def test_retry_after_is_read_where_there_is_one(
    platform: Platform, said: object, read: str | None
) -> None:
    """JavaScript's null is no text, whatever Python gets to see of it."""

    async def fetch(*_: Any, **__: Any) -> Any:
        return answer(503, retry_after=said)

    platform.fetch = fetch
    assert await post() == Reply(503, read)


async def test_failures_say_nothing_of_the_address(platform: Platform) -> None:
    """A timeout is one; of all else only the name is told."""
    error = JsException("TimeoutError", f"no answer of {URL}")

    async def fetch(*_: Any, **__: Any) -> Any:
        raise error

    platform.fetch = fetch
    with pytest.raises(TimeoutError):
        await post()
    error = JsException("TypeError", f"fetch of {URL} failed")
    with pytest.raises(NotDeliveredError) as failed:
        await post()
    assert failed.value.reason == "no answer: TypeError"
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "https://8.8.8.8/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "http://receiver.example/",
    ],
)
async def test_addresses_and_private_names_are_refused_unfetched(platform: Platform, url: str) -> None:
    """What can be told without the platform's resolver."""
    with pytest.raises(NotDeliveredError, match="not sent"):
        await post(url)


async def test_the_settings_say_where_events_go(platform: Platform) -> None:
    """As natively, four at once."""
    module = worker_module("worker_webhooks")
    assert module.worker_webhook(load_settings({}, production=False)) is None
    environ = {"STAKEHOLD_WEBHOOK_URL": URL, "STAKEHOLD_WEBHOOK_SECRET": SECRET}
    webhook = module.worker_webhook(load_settings(environ, production=False))
    assert (webhook.url, webhook.at_once) == (URL, 4)
    assert "engines" not in repr(webhook)
