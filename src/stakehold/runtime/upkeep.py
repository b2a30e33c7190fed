"""Upkeep natively: a round now and then in every server process."""

import asyncio
import contextlib
import os
from typing import Final

from stakehold.domain.backoff import full_jitter_s
from stakehold.http.container import Container
from stakehold.runtime.settings import Settings
from stakehold.services.upkeep import keep_up
from stakehold.services.webhooks import Webhook
from stakehold.telemetry.faults import describe_fault

PAUSE_S: Final = 20.0
JITTER_S: Final = 20.0
"""Added to the pause, at random, so that processes do not all come at once."""

ROUND_S: Final = 120.0


async def run_upkeep(container: Container, settings: Settings) -> None:
    """Rounds until cancelled; a round that fails is followed by the next."""
    async with contextlib.AsyncExitStack() as stack:
        webhook = await _webhook(settings, stack)
        while True:
            jitter_s = full_jitter_s(container.services.entropy, 0, base_s=JITTER_S, cap_s=JITTER_S)
            await asyncio.sleep(PAUSE_S + jitter_s)
            try:
                done = await keep_up(container.services, webhook, ROUND_S)
                if done.is_worth_a_line:
                    container.log.write("upkeep", level=done.level, process=os.getpid(), **done.counts())
                for fault in done.faults:
                    container.log.write("fault", level="error", **describe_fault(fault))
            except Exception as fault:
                container.log.write("fault", level="error", **describe_fault(fault))


async def _webhook(settings: Settings, stack: contextlib.AsyncExitStack) -> Webhook | None:
    """Where events go; its connections end with the stack."""
    if not settings.webhook_url:
        return None
    # Imported here because it takes a fifth of a second, which only those who use it should wait.
    from stakehold.runtime.webhook_sender import AiohttpWebhookSender, native_webhook

    sender = AiohttpWebhookSender(private=settings.webhook_private)
    stack.push_async_callback(sender.close)
    return native_webhook(settings, sender)
