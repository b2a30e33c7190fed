"""The gate's link to one Redis: whether it serves, and what is put right before it is trusted again."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from stakehold.domain.backoff import full_jitter_s
from stakehold.domain.errors import ExternalServiceError
from stakehold.domain.ports import Background, Clock, Counters, Entropy
from stakehold.domain.slots import ExpiringSlots
from stakehold.domain.timing import REDIS_TIMEOUT_S
from stakehold.gate.looker import LOOK_BASE_S, LOOK_CAP_S, Looker
from stakehold.gate.passage import Fence
from stakehold.gate.replies import is_done, is_of_return
from stakehold.gate.scripts import OPEN_FENCES, RETURN
from stakehold.gate.unfenced import Repair, UnfencedWrites, fence_keys
from stakehold.limits.policies import WINDOW_S_MAX, Policy
from stakehold.redis.port import Argument, Redis, RedisReplyError, Script

_ROUNDS_MAX = 1000
_IN_REQUEST_TIMEOUT_S = REDIS_TIMEOUT_S / 2

_CLAIM_S = 2 * REDIS_TIMEOUT_S
"""Longer than the one trip it is renewed for. A request that is killed during a return holds up the next
return for so long, and no longer."""


class RedisAwayError(Exception):
    """There was no answer from Redis, or none is to be asked for: decide without it."""


class Link:
    """One Redis, up or down. While it is down nobody asks it, but for one who looks whether it has returned.

    A return opens the fences of writes still under way, drops the entries of users whose writes were not
    fenced, and then takes Redis' time: from there on, and not before, what is cached is trusted.

    Serverless, requests are the ones who look, one at a time, and any of them may be killed at any moment:
    what it held is free again by time, and nothing that it had begun to put right is forgotten.
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
        self._up = serverless
        self._losses = redis.connection_losses
        self._settle_on_return = False
        self._settling_since_s: float | None = None
        self._returning = ExpiringSlots(clock, 1)
        self._look_again_at_s = 0.0
        self._attempts = 0
        # Tasks, and the event that ends their waits, are for where they outlive requests.
        self._looker: Looker | None = None
        if not serverless:
            self._looker = Looker(
                is_up=lambda: self.is_up,
                try_return=self.try_return,
                clock=clock,
                entropy=entropy,
                background=background,
            )

    @property
    def is_up(self) -> bool:
        """Whether Redis serves and is trusted, as far as is known."""
        return self._up and self._redis.connection_losses == self._losses

    async def start(self) -> None:
        """Begin as after a loss; if Redis is away, go on looking for it behind."""
        if not await self.try_return():
            self._lose()

    @property
    def losses(self) -> int:
        """Grows when Redis, or what lies before it, leaves anybody's call without a reply.

        Where it has grown during a trip, the reply may come from a Redis that forgot what was cached, or what
        fenced it: what it did it did, but what it says of entries is not to be trusted.
        """
        return self._redis.connection_losses

    async def trip(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        timeout_s: float,
        is_ours: Callable[[Any], bool],
    ) -> Any:
        """Run a script, whose replies are those that `is_ours` knows. See `losses` on what they are worth.

        Raises RedisAwayError; after a failure Redis is down until it has returned.
        """
        if not self.is_up:
            self._lose()
            raise RedisAwayError
        try:
            reply = await self._run(script, keys, arguments, timeout_s, is_ours)
        except ExternalServiceError as error:
            self._lose()
            raise RedisAwayError from error
        if self._redis.connection_losses != self._losses:
            self._lose()
        return reply

    async def bring_up(self) -> None:
        """Before a trip: look for the return from within the request, where nobody else does.

        Raises RedisAwayError.
        """
        self._lose()
        if self._looker is not None or not await self._return_in_request():
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

    def begin_unfenced(self, fence: Fence) -> None:
        """A write goes on without its fence: Redis is not trusted again before that is put right.

        Redis may have returned while the request was on its way here, and who began may be killed.
        """
        self.unfenced.opened(fence)
        if self._up:
            self._lose()

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
        claim = self._returning.take(_CLAIM_S)
        return claim is not None and await self._return_holding(claim)

    async def close(self) -> None:
        """Stop looking; repair what is still to be repaired, if Redis answers."""
        if self._looker is not None:
            self._looker.stop()
        if not self.unfenced.is_done(set()):
            await self.try_return()

    def _lose(self) -> None:
        if self._up:
            self._up = False
            self._counters.count("redis_losses")
        self._settle_on_return = True
        if self._looker is not None:
            self._looker.start()

    async def _return_in_request(self) -> bool:
        """Look for Redis' return from within a request; not while another does, nor again at once."""
        now_s = self._clock.monotonic_s()
        claim = self._returning.take(_CLAIM_S) if now_s >= self._look_again_at_s else None
        if claim is None:
            return False
        try:
            async with asyncio.timeout(_IN_REQUEST_TIMEOUT_S):
                returned = await self._return_holding(claim)
        except TimeoutError:
            returned = False
        if returned:
            self._attempts = 0
        else:
            wait_s = full_jitter_s(self._entropy, self._attempts, base_s=LOOK_BASE_S, cap_s=LOOK_CAP_S)
            self._attempts += 1
            self._look_again_at_s = now_s + wait_s
        return returned

    async def _return_holding(self, claim: object) -> bool:
        try:
            return await self._return(claim)
        except ExternalServiceError:
            return False
        finally:
            self._returning.give_back(claim)

    async def _return(self, claim: object) -> bool:
        losses = self._redis.connection_losses
        reopened: set[str] = set()
        for _ in range(_ROUNDS_MAX):
            if not self._returning.renew(claim, _CLAIM_S):
                # We took too long, and another is at it.
                return False
            repairs = self.unfenced.repairs(reopened)
            if repairs:
                await self._repair(repairs)
                continue
            trusted_since_us, incarnation = await self._ask_the_time()
            if self._redis.connection_losses != losses or not self._returning.renew(claim, _CLAIM_S):
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
        await self._run(OPEN_FENCES, keys, arguments, REDIS_TIMEOUT_S, is_done)
        self.unfenced.done(repairs)
        self._counters.count("cache_repairs", len({repair.tag for repair in repairs}))

    async def _ask_the_time(self) -> tuple[bytes, bytes]:
        """Redis' time and incarnation; a new incarnation if we forgot whose entries to drop."""
        renewal = self.unfenced.renewal
        nonce = self._entropy.random_bytes(16).hex()
        reply = await self._run(
            RETURN, [self.incarnation_key], [nonce, 1 if renewal else 0], REDIS_TIMEOUT_S, is_of_return
        )
        self.unfenced.renewed(renewal)
        trusted_since_us, incarnation = cast(list[bytes], reply)
        return trusted_since_us, incarnation

    async def _run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        timeout_s: float,
        is_ours: Callable[[Any], bool],
    ) -> Any:
        reply = await self._redis.script(script, keys, arguments, timeout_s)
        if not is_ours(reply):
            raise RedisReplyError("a reply that no script of ours gives")
        return reply

    def _trust(self, losses: int, trusted_since_us: bytes, incarnation: bytes) -> None:
        self.trusted_since_us = trusted_since_us
        self.incarnation = incarnation
        if self._settle_on_return:
            self._counters.count("redis_returns")
            self._settling_since_s = self._clock.monotonic_s()
        self._settle_on_return = False
        self._losses = losses
        self._up = True
