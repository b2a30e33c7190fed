"""The gate's link to one Redis: whether it serves, and what is put right before it is trusted again."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, cast

from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.errors import ExternalServiceError
from stakehold.domain.ports import Background, Clock, Counters, Entropy
from stakehold.domain.timing import REDIS_TIMEOUT_S
from stakehold.gate.scripts import OPEN_FENCES, RETURN
from stakehold.gate.unfenced import Repair, UnfencedWrites, fence_keys
from stakehold.limits.policies import WINDOW_S_MAX, Policy
from stakehold.redis.port import Argument, Redis, Script

_LOOK_BASE_S = 0.1
_LOOK_CAP_S = 1.0
_ROUNDS_MAX = 1000
_IN_REQUEST_TIMEOUT_S = REDIS_TIMEOUT_S / 2


class RedisAwayError(Exception):
    """There was no answer from Redis, or none is to be asked for: decide without it."""


class Link:
    """One Redis, up or down. While it is down nobody asks it, but for one who looks whether it has returned.

    A return opens the fences of writes still under way, drops the entries of users whose writes were not
    fenced, and then takes Redis' time: from there on, and not before, what is cached is trusted.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        key_prefix: str,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        background: Background,
        serverless: bool,
    ) -> None:
        self.incarnation: bytes = b""
        self.trusted_since_us: bytes = b"0"
        self.unfenced = UnfencedWrites(clock)
        self.incarnation_key = f"{key_prefix}incarnation"
        self._redis = redis
        self._key_prefix = key_prefix
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._background = background
        self._serverless = serverless
        self._up = serverless
        self._losses = redis.connection_losses
        self._settle_on_return = False
        self._settling_since_s: float | None = None
        self._looking = False
        self._returning = False
        self._look_again_at_s = 0.0
        self._attempts = 0
        self._closed = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether Redis serves and is trusted, as far as is known."""
        return self._up and self._redis.connection_losses == self._losses

    async def start(self) -> None:
        """Begin as after a loss; if Redis is away, go on looking for it behind."""
        if not await self.try_return():
            self._lose()

    async def trip(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Any:
        """Run a script. Raises RedisAwayError; after a failure Redis is down until it has returned."""
        if not self.is_up:
            self._lose()
            raise RedisAwayError
        losses = self._losses
        try:
            reply = await self._redis.script(script, keys, arguments, timeout_s)
        except ExternalServiceError as error:
            self._lose()
            raise RedisAwayError from error
        if self._redis.connection_losses != losses:
            # The connection was lost and made again on the way: the answer may come from a Redis that forgot.
            self._lose()
            raise RedisAwayError
        return reply

    async def bring_up(self) -> None:
        """Before a trip: look for the return from within the request, where nobody else does.

        Raises RedisAwayError.
        """
        self._lose()
        if not self._serverless or not await self._return_in_request():
            raise RedisAwayError

    async def command(self, *arguments: Argument) -> None:
        """Send one command whose reply does not matter. Raises RedisAwayError."""
        if not self.is_up:
            raise RedisAwayError
        try:
            await self._redis.command(*arguments, timeout_s=REDIS_TIMEOUT_S)
        except ExternalServiceError as error:
            self._lose()
            raise RedisAwayError from error

    async def ping(self) -> bool:
        """Whether Redis answers now and serves; asks it even while it is down. A full one only answers."""
        if not self.is_up:
            with contextlib.suppress(RedisAwayError):
                await self.bring_up()
        try:
            answered = await self._redis.command("PING", timeout_s=REDIS_TIMEOUT_S) == b"PONG"
        except ExternalServiceError:
            return False
        return answered and self.is_up

    def has_forgotten(self, incarnation: bytes) -> None:
        """Redis has another incarnation than the one we knew: it was wiped."""
        self._counters.count("redis_forgot")
        self.incarnation = incarnation
        self._settling_since_s = self._clock.monotonic_s()

    def settling(self, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        """Those of `policies` whose logs may lack charges: their windows began before Redis returned."""
        if self._settling_since_s is None:
            return ()
        past_s = self._clock.monotonic_s() - self._settling_since_s
        if past_s > WINDOW_S_MAX:
            self._settling_since_s = None
        return tuple(policy for policy in policies if past_s <= policy.window_s)

    async def try_return(self) -> bool:
        """Find Redis again, if it answers, and put right what was missed. True: it is up."""
        if self._returning:
            return False
        self._returning = True
        try:
            return await self._return()
        except ExternalServiceError:
            return False
        finally:
            self._returning = False

    async def close(self) -> None:
        """Stop looking; repair what is still to be repaired, if Redis answers."""
        self._closed.set()
        if not self.unfenced.is_done(set()):
            await self.try_return()

    def _lose(self) -> None:
        if self._up:
            self._up = False
            self._counters.count("redis_losses")
        self._settle_on_return = True
        if not self._serverless and not self._looking and not self._closed.is_set():
            # Where that is refused, the next request that is decided without Redis tries again.
            self._looking = self._background.start(self._look_for_return(), "look for the return of Redis")

    async def _look_for_return(self) -> None:
        attempt = 0
        try:
            while not self._closed.is_set() and not await self.try_return():
                wait_s = full_jitter_s(self._entropy, attempt, base_s=_LOOK_BASE_S, cap_s=_LOOK_CAP_S)
                attempt += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), wait_s)
        finally:
            self._looking = False

    async def _return_in_request(self) -> bool:
        """Look for Redis' return from within a request; not while another does, nor again at once."""
        now_s = self._clock.monotonic_s()
        if self._returning or now_s < self._look_again_at_s:
            return False
        try:
            async with asyncio.timeout(_IN_REQUEST_TIMEOUT_S):
                returned = await self.try_return()
        except TimeoutError:
            returned = False
        if returned:
            self._attempts = 0
        else:
            wait_s = full_jitter_s(self._entropy, self._attempts, base_s=_LOOK_BASE_S, cap_s=_LOOK_CAP_S)
            self._attempts += 1
            self._look_again_at_s = now_s + wait_s
        return returned

    async def _return(self) -> bool:
        losses = self._redis.connection_losses
        reopened: set[str] = set()
        for _ in range(_ROUNDS_MAX):
            repairs = self.unfenced.take(reopened)
            if repairs:
                await self._repair(repairs)
                continue
            trusted_since_us, incarnation = await self._ask_the_time()
            if self._redis.connection_losses != losses:
                return False
            if self.unfenced.is_done(reopened):
                self._trust(losses, trusted_since_us, incarnation)
                return True
        return False

    async def _repair(self, repairs: Sequence[Repair]) -> None:
        keys: list[str] = []
        arguments: list[Argument] = []
        for repair in repairs:
            keys += fence_keys(self._key_prefix, repair.tag, (repair.resource,))
            arguments += (repair.nonce, repair.life_ms)
        try:
            await self._redis.script(OPEN_FENCES, keys, arguments, REDIS_TIMEOUT_S)
        except BaseException:
            self.unfenced.put_back(repairs)
            raise
        self._counters.count("cache_repairs", len({repair.tag for repair in repairs}))

    async def _ask_the_time(self) -> tuple[bytes, bytes]:
        """Redis' time and incarnation; a new incarnation if we forgot whose entries to drop."""
        renew, self.unfenced.overflowed = self.unfenced.overflowed, False
        nonce = self._entropy.random_bytes(16).hex()
        try:
            reply = await self._redis.script(
                RETURN, [self.incarnation_key], [nonce, int(renew)], REDIS_TIMEOUT_S
            )
        except BaseException:
            self.unfenced.overflowed |= renew
            raise
        trusted_since_us, incarnation = cast(list[bytes], reply)
        return trusted_since_us, incarnation

    def _trust(self, losses: int, trusted_since_us: bytes, incarnation: bytes) -> None:
        self.trusted_since_us = trusted_since_us
        self.incarnation = incarnation
        if self._settle_on_return:
            self._counters.count("redis_returns")
            self._settling_since_s = self._clock.monotonic_s()
        self._settle_on_return = False
        self._losses = losses
        self._up = True
