"""Sending webhooks natively: to whom, how far, and for how long."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from stakehold.runtime.embedded_server import free_port
from stakehold.runtime.settings import load_settings
from stakehold.runtime.webhook_sender import AiohttpWebhookSender, native_webhook
from stakehold.services.webhooks import NotDeliveredError, Reply
from tests.support.receiver import SECRET, Received, Receiver, running_receiver


class GivenResolver(AbstractResolver):
    """Answers with these addresses, one list after the other, the last again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=each, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
            )
            for each in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        pass


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def sender() -> AsyncIterator[AiohttpWebhookSender]:
    sender = AiohttpWebhookSender(private=True)
    yield sender
    await sender.close()


async def post(sender: AiohttpWebhookSender, url: str, timeout_s: float = 5.0) -> Reply:
    return await sender.post(url, headers={"webhook-id": "1"}, body=b'{"a": 1}', timeout_s=timeout_s)


async def test_a_post_carries_headers_and_body_as_they_are(
    sender: AiohttpWebhookSender, receiver: Receiver
) -> None:
    """The bytes that were signed are the bytes that are sent; status and Retry-After come back."""
    receiver.answers(503, {"Retry-After": "120"})
    assert await post(sender, receiver.url) == Reply(503, "120")
    receiver.answers(204)
    assert await post(sender, receiver.url) == Reply(204, None)
    assert [(each.id, each.body) for each in receiver.received] == [("1", b'{"a": 1}')] * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(sender: AiohttpWebhookSender, receiver: Receiver, status: int) -> None:
    """A redirect is an answer that is no success, wherever it leads."""
    receiver.answers(status, {"Location": receiver.url + "/elsewhere"})
    assert await post(sender, receiver.url) == Reply(status)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "0.0.0.0",
        "224.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fd00::1", "fe80::1%lo", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("private", [False, True])
async def test_a_name_that_leads_inside_is_not_followed(address: str, private: bool) -> None:
    """One address that is not public among those of a name is enough; nothing is connected to."""
    for addresses in ([address], ["8.8.8.8", address]):
        resolver = GivenResolver(addresses)
        sender = AiohttpWebhookSender(private=private, resolver=resolver)
        with pytest.raises(NotDeliveredError, match="not public") as refused:
            await post(sender, "https://receiver.example/?token=engines")
        assert "engines" not in str(refused.value)
        assert resolver.asked == 1
        await sender.close()


async def test_the_address_that_was_looked_at_is_the_one_connected_to(receiver: Receiver) -> None:
    """A name is resolved once a connection: what it would lead to next (DNS rebinding) is not asked for."""
    resolver = GivenResolver(["127.0.0.1"], ["10.0.0.1"])
    sender = AiohttpWebhookSender(private=True, resolver=resolver)
    url = receiver.url.replace("127.0.0.1", "localhost")
    assert await post(sender, url) == Reply(204)
    assert resolver.asked == 1
    assert [each.headers["host"] for each in receiver.received] == [url.split("/")[2]]
    await sender.close()
    # A new connection asks, and looks, again.
    with pytest.raises(NotDeliveredError, match="not public"):
        await post(sender, url)
    assert (resolver.asked, len(receiver.received)) == (2, 1)
    await sender.close()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/",
        "https://10.0.0.1/", "https://100.64.0.1/", "https://2130706433/", "https://0x7f.1/",
        "http://receiver.example/", "https://user:engines@receiver.example/", "https://localhost/",
        "https://8.8.8.8/",
    ],
)  # fmt: skip
async def test_an_address_in_place_of_a_name_is_refused_unasked(url: str) -> None:
    """No resolver stands between an address and its connection, so the URL itself is refused."""
    resolver = GivenResolver(["8.8.8.8"])
    sender = AiohttpWebhookSender(resolver=resolver)
    with pytest.raises(NotDeliveredError, match="not sent") as refused:
        await post(sender, url)
    assert "engines" not in str(refused.value)
    assert resolver.asked == 0
    await sender.close()


async def test_a_slow_receiver_costs_its_time_and_no_more(
    sender: AiohttpWebhookSender, receiver: Receiver
) -> None:
    """Whatever it does before its status, the attempt ends with a timeout."""
    ended = asyncio.Event()

    async def never(_: Received) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    receiver.answer = never
    with pytest.raises(TimeoutError):
        await post(sender, receiver.url, timeout_s=0.2)
    ended.set()


async def test_the_status_is_the_answer_however_the_body_goes_on(sender: AiohttpWebhookSender) -> None:
    """A body that never ends, or never comes, takes nothing from a status that did; little of it is read."""
    ended = asyncio.Event()
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while not ended.is_set():
                await response.write(b"x" * 65536)
                written += 65536
        except ConnectionError:
            ended.set()
        return response

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await ended.wait()
        return response

    for handler in (endless, silent):
        ended.clear()
        runner = web.AppRunner(_application(handler), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reply = await post(sender, f"http://127.0.0.1:{runner.addresses[0][1]}/", timeout_s=0.3)
        assert reply == Reply(200)
        ended.set()
        await runner.cleanup()
    assert written < 64 * 2**20


def _application(handler: object) -> web.Application:
    application = web.Application()
    application.router.add_post("/", handler)  # type: ignore[arg-type]
    return application


async def test_nobody_there_is_told_without_the_address(sender: AiohttpWebhookSender) -> None:
    """A refused connection: short, and with nothing of a URL whose path may be a secret."""
    with pytest.raises(NotDeliveredError) as failed:
        await post(sender, f"http://127.0.0.1:{free_port()}/engines")
    assert failed.value.reason == "no answer: ClientConnectorError"
    assert failed.value.__suppress_context__


async def test_a_name_that_is_not_there_is_no_answer() -> None:
    """As the resolver says; the event is tried again later."""

    class Nowhere(GivenResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(None, "no such name")

    sender = AiohttpWebhookSender(resolver=Nowhere([]))
    with pytest.raises(NotDeliveredError, match="no answer: ClientConnectorDNSError"):
        await post(sender, "https://receiver.example/")
    await sender.close()


async def test_the_settings_say_where_events_go(receiver: Receiver) -> None:
    """Without an address nowhere; with one to it, signed. Neither address nor secret shows."""
    sender = AiohttpWebhookSender(private=True)
    assert native_webhook(load_settings({}, production=False), sender) is None
    environ = {
        "STAKEHOLD_WEBHOOK_URL": receiver.url + "?token=engines",
        "STAKEHOLD_WEBHOOK_SECRET": SECRET,
        "STAKEHOLD_WEBHOOK_PRIVATE": "on",
    }
    webhook = native_webhook(load_settings(environ, production=False), sender)
    assert webhook is not None
    assert webhook.url.endswith("?token=engines")
    assert webhook.at_once == 8
    assert "engines" not in repr(webhook)
    assert SECRET[8:20] not in repr(webhook)
