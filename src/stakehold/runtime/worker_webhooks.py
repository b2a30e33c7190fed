"""Sends webhooks on Workers, by the platform's fetch.

The platform looks the name up and connects, where we cannot see the address. Its network has no way to what
is private to us; what is refused here are addresses in place of names, and names not of the public DNS.
"""

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec
from js import JSON, AbortSignal, fetch
from pyodide.ffi import JsException

from stakehold.runtime.settings import Settings
from stakehold.security.destinations import check_destination
from stakehold.security.webhooks import WebhookSigner
from stakehold.services.webhooks import NotDeliveredError, Reply, Webhook

AT_ONCE: Final = 4
"""Six connections may be open at once in a run, of which the database has one."""


class FetchWebhookSender:
    """See services.webhooks.Sender. It holds nothing open."""

    def __init__(self, *, private: bool = False) -> None:
        """`private` also allows loopback, where there is one."""
        self._private = private

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """POST once. Nothing of the answer's body is read."""
        try:
            check_destination(url, private=self._private)
        except ValueError as error:
            raise NotDeliveredError(f"not sent: {error}") from None
        try:
            answer = await fetch(
                url,
                method="POST",
                headers=JSON.parse(msgspec.json.encode(dict(headers)).decode()),
                body=body.decode(),
                redirect="manual",
                signal=AbortSignal.timeout(max(1, int(timeout_s * 1000))),
            )
        except JsException as error:
            if error.name == "TimeoutError":
                raise TimeoutError from None
            # What the platform says may hold the address.
            raise NotDeliveredError(f"no answer: {error.name}") from None
        if answer.body:
            # Else the connection counts as one of the six until the run ends. The status is the answer.
            with contextlib.suppress(JsException):
                await answer.body.cancel()
        retry_after = answer.headers.get("Retry-After")
        return Reply(answer.status, retry_after if isinstance(retry_after, str) else None)


def worker_webhook(settings: Settings) -> Webhook | None:
    """Where the settings say that events go, on Workers; None: nowhere."""
    if not settings.webhook_url:
        return None
    sender = FetchWebhookSender(private=settings.webhook_private)
    return Webhook(settings.webhook_url, WebhookSigner(settings.webhook_keys), sender, AT_ONCE)
