"""Redis over Upstash's REST API, for where no TCP is to be had: one POST a command, over any HTTP client.

Protocol: https://upstash.com/docs/redis/features/restapi. `POST /` takes a command as a JSON array and
answers `{"result": …}`, or `{"error": "…"}` with status 400.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.ports import Clock, Counters, Entropy
from stakehold.domain.slots import ExpiringSlots
from stakehold.redis.port import (
    COMMAND_BYTES_MAX,
    REPLY_BYTES_MAX,
    Argument,
    RedisReplyError,
    RedisUnavailableError,
    Reply,
    Script,
    error_of,
    run_script,
)

_ATTEMPTS_MAX = 3
_BACKOFF_BASE_S = 0.05
_BACKOFF_CAP_S = 0.25
_SLOT_GRACE_S = 5.0
"""What a command may overrun its timeout, on a busy machine, before it counts as gone."""
# https://upstash.com/docs/redis/features/key-locking
_LOCKING_ITS_KEYS = "#!lua flags=allow-key-locking\n"
# How Redis and Valkey from 7 on, and those before, refuse that line, before the script has run.
_FLAG_UNKNOWN = re.compile(r"Unexpected flag in script shebang|unexpected symbol near '#'")
_SCRIPTS_KEPT_MAX = 32
_BRACKETS_MAX = 1000
"""No reply of ours is near it. In WebAssembly an answer nested some thousands deep ends the interpreter."""


class SendFailedError(Exception):
    """A request got no answer. `reached`: it may have reached the service all the same."""

    def __init__(self, reason: str, *, reached: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached


class Sender(Protocol):
    """The HTTP client: aiohttp natively, the platform's `fetch` on Workers."""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, answer_bytes_max: int
    ) -> tuple[int, bytes]:
        """POST once, follow no redirect; return the status and at most `answer_bytes_max` + 1 bytes of body.

        Raises TimeoutError when it takes longer than `timeout_s`, and SendFailedError.
        """
        ...

    async def close(self) -> None:
        """Close what is open, also under requests in flight."""
        ...


class _NoReplyError(Exception):
    """One attempt brought no reply of Redis."""

    def __init__(self, reason: str, *, outcome_unknown: bool, passing: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome_unknown = outcome_unknown
        self.passing = passing


@lru_cache(_SCRIPTS_KEPT_MAX)
def locking_its_keys(script: Script) -> Script:
    """`script` as it is sent: Upstash then locks the keys it is given, and not the whole database.

    A key that the script was not given is refused where the script uses it (RedisReplyError).
    """
    return Script(_LOCKING_ITS_KEYS + script.source)


class UpstashRedis:
    """An Upstash database at `url` with its REST `token`; see port.Redis.

    A request that finds no connection or is answered 5xx is sent again, at most twice and within the caller's
    time; one that times out is not. So a command may run twice: what is sent must bear that.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        sender: Sender,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        max_in_flight: int = 256,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query:
            raise ValueError("An Upstash REST URL is https://host, with the token apart.")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("An Upstash REST token is one word of ASCII.")
        self._url = url.rstrip("/") + "/"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._sender = sender
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._in_flight = ExpiringSlots(clock, max_in_flight)
        self._losses = 0
        self._locks_keys = True
        self._closed = False

    @property
    def connection_losses(self) -> int:
        """How many requests were left without a reply of Redis, their repetitions included."""
        return self._losses

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        """Send one command and return its reply within `timeout_s`."""
        body = msgspec.json.encode([_as_text(argument) for argument in arguments])
        if len(body) > COMMAND_BYTES_MAX:
            raise ValueError(f"A command is at most {COMMAND_BYTES_MAX} bytes.")
        slot = self._in_flight.take(timeout_s + _SLOT_GRACE_S)
        if slot is None:
            self._counters.count("redis_refused")
            raise RedisUnavailableError("too many commands are in flight", outcome_unknown=False)
        try:
            return await self._send(body, timeout_s)
        finally:
            self._in_flight.give_back(slot)

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        """Run a script by its hash; its source is sent only when Redis does not know it.

        A server that does not know how to lock its keys alone is from then on sent scripts without that.
        """
        end_s = self._clock.monotonic_s() + timeout_s
        if self._locks_keys:
            flagged = locking_its_keys(script)
            try:
                return await run_script(self, self._clock, flagged, keys, arguments, timeout_s)
            except RedisReplyError as error:
                if not _FLAG_UNKNOWN.search(error.reason):
                    raise
                self._locks_keys = False
        left_s = end_s - self._clock.monotonic_s()
        return await run_script(self, self._clock, script, keys, arguments, left_s)

    async def close(self) -> None:
        """Give up what is in flight and refuse everything afterwards."""
        self._closed = True
        await self._sender.close()

    async def _send(self, body: bytes, timeout_s: float) -> Reply:
        end_s = self._clock.monotonic_s() + timeout_s
        outcome_unknown = False
        for attempt in range(_ATTEMPTS_MAX):
            if attempt and not await self._waited(attempt, end_s):
                break
            if self._closed:
                raise RedisUnavailableError("the client was closed", outcome_unknown=outcome_unknown)
            try:
                return await self._attempt(body, end_s - self._clock.monotonic_s())
            except RedisUnavailableError as error:
                error.outcome_unknown |= outcome_unknown
                raise
            except _NoReplyError as failure:
                outcome_unknown |= failure.outcome_unknown
                reason = failure.reason
                if not failure.passing:
                    break
        self._losses += 1
        self._counters.count("redis_connections_lost")
        raise RedisUnavailableError(reason, outcome_unknown=outcome_unknown)

    async def _waited(self, attempt: int, end_s: float) -> bool:
        """Wait before one more attempt; False, at once, when the time would not last for it."""
        wait_s = full_jitter_s(self._entropy, attempt - 1, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S)
        if wait_s >= end_s - self._clock.monotonic_s():
            return False
        self._counters.count("redis_retries")
        await asyncio.sleep(wait_s)
        return True

    async def _attempt(self, body: bytes, timeout_s: float) -> Reply:
        if timeout_s <= 0:
            raise _NoReplyError("no time left", outcome_unknown=False, passing=False)
        try:
            status, answer = await self._sender.post(
                self._url,
                headers=self._headers,
                body=body,
                timeout_s=timeout_s,
                answer_bytes_max=REPLY_BYTES_MAX,
            )
        except TimeoutError:
            raise _NoReplyError("no answer in time", outcome_unknown=True, passing=False) from None
        except SendFailedError as failure:
            raise _NoReplyError(failure.reason, outcome_unknown=failure.reached, passing=True) from None
        if status >= 500:
            raise _NoReplyError(f"Upstash answered {status}", outcome_unknown=True, passing=True)
        if status not in (200, 400):
            # 401 a wrong token, 429 a used-up plan, 3xx or 404 a wrong address: nothing was run.
            raise RedisUnavailableError(f"Upstash answered {status}", outcome_unknown=False)
        if len(answer) > REPLY_BYTES_MAX:
            raise _NoReplyError("a reply is longer than we accept", outcome_unknown=True, passing=False)
        return _read_answer(status, answer)


def _as_text(argument: Argument) -> str:
    # Integers go as text too: a JSON number beyond 2^53 is not safe in every reader.
    return argument.decode() if isinstance(argument, bytes) else str(argument)


def _read_answer(status: int, answer: bytes) -> Reply:
    try:
        if _brackets(answer) > _BRACKETS_MAX:
            raise RecursionError
        decoded = msgspec.json.decode(answer)
        if status == 200 and isinstance(decoded, dict) and "result" in decoded:
            return _as_reply(decoded["result"])
        if isinstance(decoded, dict) and isinstance(decoded.get("error"), str):
            raise error_of(decoded["error"])
    except (msgspec.DecodeError, RecursionError, TypeError):
        pass
    if status == 400:
        raise RedisReplyError("Upstash answered 400 without saying why")
    raise _NoReplyError("an answer is not what Upstash documents", outcome_unknown=True, passing=False)


def _brackets(answer: bytes) -> int:
    """How many arrays and objects JSON opens, or, where it is few, how many brackets it has at all."""
    brackets = answer.count(b"[") + answer.count(b"{")
    if brackets > _BRACKETS_MAX:
        # Between quotes that nothing escapes, every other piece is a string.
        outside = b"".join(answer.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
        brackets = outside.count(b"[") + outside.count(b"{")
    return brackets


def _as_reply(value: object) -> Reply:
    if isinstance(value, str):
        return value.encode()
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, list):
        return [_as_reply(item) for item in value]
    raise TypeError("neither null, nor a string, nor an integer, nor an array")
