"""Sends webhooks natively, over aiohttp, to nobody but the public (or, if allowed, to loopback)."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from stakehold.runtime.settings import Settings
from stakehold.security.destinations import check_destination, is_allowed_address
from stakehold.security.webhooks import WebhookSigner
from stakehold.services.webhooks import ANSWER_BYTES_MAX, NotDeliveredError, Reply, Webhook

AT_ONCE: Final = 8


class _ForbiddenAddressError(Exception):
    """A name resolved to an address that is not allowed."""


class GuardedResolver(AbstractResolver):
    """Resolves a name, and gives its addresses only when all of them are allowed.

    The connector connects to just these addresses, and asks nobody again: a name that changes after it was
    looked at (DNS rebinding) gains nothing.
    """

    def __init__(self, inner: AbstractResolver, *, private: bool) -> None:
        self._inner = inner
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError when it has none, and when one is not allowed another."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_allowed_address(each["host"], host=host, private=self._private) for each in found):
            raise _ForbiddenAddressError
        return found

    async def close(self) -> None:
        """Close the resolver behind it."""
        await self._inner.close()


class AiohttpWebhookSender:
    """See services.webhooks.Sender. Use it from one event loop, and close it."""

    def __init__(self, *, private: bool = False, resolver: AbstractResolver | None = None) -> None:
        """`private` also allows loopback. `resolver` is asked in place of the system's."""
        self._private = private
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """POST once, to an allowed address alone."""
        try:
            check_destination(url, private=self._private)
        except ValueError as error:
            raise NotDeliveredError(f"not sent: {error}") from None
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._opened().post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                # The status is the answer: a body that is late or breaks off takes nothing from it.
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                    await response.content.read(ANSWER_BYTES_MAX)
                return Reply(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            raise TimeoutError from None
        except _ForbiddenAddressError:
            raise NotDeliveredError("not sent: its name leads to an address that is not public") from None
        except (aiohttp.ClientError, OSError) as error:
            # What aiohttp says may hold the address, and the address a token: only the name goes on.
            raise NotDeliveredError(f"no answer: {type(error).__name__}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            guarded = GuardedResolver(self._resolver or aiohttp.ThreadedResolver(), private=self._private)
            # No cache of names: it would answer with addresses of before. The deliverer bounds what is open.
            connector = aiohttp.TCPConnector(resolver=guarded, use_dns_cache=False, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection, also under requests in flight."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def native_webhook(settings: Settings, sender: AiohttpWebhookSender) -> Webhook | None:
    """Where the settings say that events go, natively; None: nowhere."""
    if not settings.webhook_url:
        return None
    return Webhook(settings.webhook_url, WebhookSigner(settings.webhook_keys), sender, AT_ONCE)
