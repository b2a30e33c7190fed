"""Telling others what has happened: taking events from the outbox, sending them, and noting what came of it.

At least once: what was sent and not noted, for a crash in between, is sent again under the same `webhook-id`,
by which the receiver knows it. In no order: each event says when it happened.
"""

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from stakehold.database import events
from stakehold.database.events import LEASE_S, DueEvent, Result
from stakehold.domain.events import retry_delay_s
from stakehold.domain.ports import Deadline
from stakehold.domain.timing import STATEMENT_TIMEOUT_S
from stakehold.security.webhooks import WebhookSigner
from stakehold.services.context import Services

SEND_TIMEOUT_S: Final = 10.0
"""One attempt, from looking up the name to the end of the answer."""

BATCH_S: Final = SEND_TIMEOUT_S + 2 * STATEMENT_TIMEOUT_S
"""To take events, send them and note the results: nothing begins with less time left."""

ANSWER_BYTES_MAX: Final = 4096
"""What is read of an answer. It says nothing to us: reading it lets the connection serve again."""

GONE: Final = 410
TOO_MANY_REQUESTS: Final = 429
USER_AGENT: Final = "Stakehold-Webhooks/1"

assert LEASE_S > SEND_TIMEOUT_S + STATEMENT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered: its status, and its `Retry-After` as it stands there."""

    status: int
    retry_after: str | None = None


class NotDeliveredError(Exception):
    """No answer came. `reason` is short, and has neither the address nor anything secret in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sender(Protocol):
    """HTTP to a receiver that is not trusted: it follows no redirect and reads at most ANSWER_BYTES_MAX."""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """POST once. Raises TimeoutError, or NotDeliveredError: also when `url` leads where it must not."""
        ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events go, how they are signed and sent, and how many at once."""

    url: str = field(repr=False)
    signer: WebhookSigner
    sender: Sender
    at_once: int


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What came of one, and whether it says that any other event would have fared no better."""

    result: Result
    in_trouble: bool


async def deliver_due(services: Services, webhook: Webhook | None, deadline: Deadline, limit: int) -> int:
    """Send what is due, at most `limit` events, until the deadline; return how many were delivered.

    Any number of machines may do so at once: no two send one event at a time. Ends early when as many
    attempts in a row as are made at once have found the receiver in trouble, which more would not help; an
    event that it refuses keeps no others. With less than BATCH_S left nothing is begun, and without a webhook
    nothing at all. Raises what `Services.run` does: what
    was sent and could not be noted is sent again.
    """
    delivered = tried = in_trouble = 0
    while webhook is not None and tried < limit and deadline.left_s() >= BATCH_S:
        buckets = await services.run(events.busy_buckets, deadline)
        tried_before = tried
        for bucket in _rotated(services, buckets):
            count = min(webhook.at_once, limit - tried)
            if not count or deadline.left_s() < BATCH_S:
                return delivered
            take = functools.partial(events.take_due, bucket=bucket, limit=count)
            batch = await services.run(take, deadline)
            attempts = await _deliver_batch(services, webhook, batch, deadline)
            tried += len(batch)
            delivered += sum(attempt.result.error is None for attempt in attempts)
            troubled = sum(attempt.in_trouble for attempt in attempts)
            in_trouble = in_trouble + troubled if troubled == len(attempts) else 0
            if in_trouble >= webhook.at_once:
                return delivered
        if tried == tried_before:
            break
    return delivered


def _rotated(services: Services, buckets: list[int]) -> list[int]:
    """The buckets from any one of them on, so that deliverers at work at once begin at different ones."""
    start = services.entropy.random_bytes(1)[0] % len(buckets) if buckets else 0
    return buckets[start:] + buckets[:start]


async def _deliver_batch(
    services: Services, webhook: Webhook, batch: list[DueEvent], deadline: Deadline
) -> list[_Attempt]:
    """Send all of a batch at once and note the results."""
    timeout_s = min(SEND_TIMEOUT_S, deadline.left_s() - STATEMENT_TIMEOUT_S)
    # Where taking them used up the time they are left to their leases: to some no time at all is no limit.
    if not batch or timeout_s <= 0:
        return []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_attempt(services, webhook, event, timeout_s)) for event in batch]
    attempts = [task.result() for task in tasks]
    results = [attempt.result for attempt in attempts]
    await services.run(lambda connection: events.record_results(connection, results), deadline)
    for result in results:
        services.counters.count("webhooks_failed" if result.error else "webhooks_delivered")
        if result.error and result.retry_after_s is None:
            services.counters.count("webhooks_given_up")
    return attempts


async def _attempt(services: Services, webhook: Webhook, event: DueEvent, timeout_s: float) -> _Attempt:
    body = event.payload.encode()
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        **webhook.signer.headers(str(event.id), event.taken_at_ms // 1000, body),
    }
    reply: Reply | None = None
    try:
        reply = await webhook.sender.post(webhook.url, headers=headers, body=body, timeout_s=timeout_s)
        error = f"status {reply.status}"
    except TimeoutError:
        error = "no answer in time"
    except NotDeliveredError as failure:
        error = failure.reason
    except Exception as fault:
        # One that nobody thought of must not take the results of the others with it.
        error = f"fault {type(fault).__name__}"
    if reply is not None and 200 <= reply.status < 300:
        return _Attempt(Result(event), in_trouble=False)
    if reply is not None and reply.status == GONE:
        return _Attempt(Result(event, error), in_trouble=False)
    asked_s = _retry_after_s(reply.retry_after, event.taken_at_ms) if reply and reply.retry_after else None
    delay_s = retry_delay_s(event.attempts + 1, asked_s, services.entropy)
    in_trouble = reply is None or reply.status == TOO_MANY_REQUESTS or reply.status >= 500
    return _Attempt(Result(event, error, delay_s), in_trouble)


def _retry_after_s(text: str, now_ms: int) -> float | None:
    """What `Retry-After` asks for (RFC 9110, section 10.2.3), in seconds; None when it is neither form."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - now_ms / 1000)
