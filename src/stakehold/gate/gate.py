"""The gate: the one trip to Redis at a request's door, and the one that leaves it again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

from stakehold.cache.entries import ENTRIES_MAX, FillTicket, NewEntry, encode_entry
from stakehold.cache.flights import Flights, Joining, NoFlights
from stakehold.cache.user_entry import state_entry
from stakehold.domain.accounts import UserState
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Background, Clock, Counters, Deadline, Entropy
from stakehold.domain.timing import FENCE_TTL_S, REDIS_TIMEOUT_S
from stakehold.gate import replies
from stakehold.gate.alone import AloneLimits
from stakehold.gate.link import Link, RedisAwayError
from stakehold.gate.passage import (
    AccountRead,
    Entered,
    Entering,
    Fence,
    LimitedError,
    PageRead,
    Resource,
    SessionRefusedError,
)
from stakehold.gate.scripts import ENTER, FILL, LEAVE, OPEN_FENCES
from stakehold.gate.unfenced import BATCH, fence_keys
from stakehold.limits.blocks import BlockTable
from stakehold.limits.fallback import (
    CHARGES_MAX,
    ISOLATE_CHARGES_MAX,
    Decision,
    LocalLog,
    PlatformLimiter,
)
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policies, Policy
from stakehold.limits.script import log_key
from stakehold.redis.port import Argument
from stakehold.redis.ring import Ring

FENCED_USERS_MAX = 1000
_FENCE_MS = round(FENCE_TTL_S * 1000)
# A write waits for Redis twice, and for both together no longer than anybody.
_LEAVE_TIMEOUT_S = REDIS_TIMEOUT_S / 4
_ENTER_TO_WRITE_TIMEOUT_S = REDIS_TIMEOUT_S - _LEAVE_TIMEOUT_S
_TIME_NEEDED_S = 0.1
_PAGE_COUNTERS = {kind: f"cache_{kind}" for kind in ("fresh", "stale", "miss", "bypass", "down")}


class Gate:
    """Session, limits, then page or fence, in one trip to Redis; without Redis, what can be known locally."""

    def __init__(
        self,
        ring: Ring,
        *,
        policies: Policies,
        clock: Clock,
        entropy: Entropy,
        counters: Counters,
        background: Background,
        processes: int = 1,
        ring_epoch: int = 0,
        flights: Joining | None = None,
        serverless: bool = False,
        away: PlatformLimiter | None = None,
    ) -> None:
        """`processes` share the limits among them while Redis is away; `away` is asked then as well.

        `serverless`: no task outlives a request, so requests look themselves whether Redis has returned, and
        the cache is trusted from the start. Otherwise call `start` first.
        """
        self.policies = policies
        self.flights: Joining = flights or (NoFlights() if serverless else Flights())
        self._ring = ring
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._key_prefix = f"sh{ring_epoch}:"
        self._blocks = BlockTable(clock)
        charges_max = ISOLATE_CHARGES_MAX if serverless else CHARGES_MAX
        self._local = LocalLog(clock, processes, charges_max=charges_max)
        self._alone = AloneLimits(self._local, away, counters)
        self._links = {
            id(member): Link(
                member,
                key_prefix=self._key_prefix,
                clock=clock,
                entropy=entropy,
                counters=counters,
                background=background,
                serverless=serverless,
            )
            for member in ring.members
        }

    @property
    def state(self) -> Literal["up", "down"]:
        """Whether every Redis of the ring serves, as far as is known."""
        return "up" if all(link.is_up for link in self._links.values()) else "down"

    async def start(self) -> None:
        """Begin as after a loss: trust no entry from before now. Goes on behind if Redis is away."""
        for link in self._links.values():
            await link.start()

    async def enter(self, entering: Entering, deadline: Deadline) -> Entered:
        """Let a request in. Raises LimitedError, SessionRefusedError; both leave everything as it was.

        Raises OverloadedError when the deadline is so near that there is no point in beginning.
        """
        blocked = self._blocks.find(entering.subject, entering.limits)
        if blocked:
            self._counters.count("limits_blocked")
            raise LimitedError(blocked, blocked)
        timeout_s = deadline.bound_s(_ENTER_TO_WRITE_TIMEOUT_S if entering.fences else REDIS_TIMEOUT_S)
        if timeout_s < _TIME_NEEDED_S:
            deadline.require_s(_TIME_NEEDED_S)
        return await self._enter(entering, timeout_s, may_block=True)

    async def leave(self, fence: Fence, deadline: Deadline) -> None:
        """Close a fence, before the answer, once the write's outcome is known. Never raises."""
        left_s = min(REDIS_TIMEOUT_S - fence.redis_spent_s, deadline.left_s())
        await self._close_fences((fence,), max(_LEAVE_TIMEOUT_S, left_s))

    async def fill(self, ticket: FillTicket, entry: NewEntry) -> None:
        """Store a page, unless somebody has written since its reader entered. Never raises."""
        encoded = encode_entry(entry, ticket.entered_ms)
        if encoded is None:
            return
        stored, stale_until_ms = encoded
        link = self._link(ticket.tag)
        keys = [link.incarnation_key, *fence_keys(self._key_prefix, ticket.tag, (ticket.resource,))]
        arguments: list[Argument] = [
            ticket.generation, ticket.name, stored, stale_until_ms, ENTRIES_MAX
        ]  # fmt: skip
        try:
            filled = await link.trip(FILL, keys, arguments, REDIS_TIMEOUT_S, replies.is_of_fill)
        except RedisAwayError:
            return
        self._counters.count("cache_fills" if filled else "cache_fills_refused")

    async def fill_account(self, ticket: FillTicket, state: UserState) -> None:
        """Store a user entry, under the same condition. Never raises."""
        await self.fill(ticket, state_entry(state))

    @asynccontextmanager
    async def fence(self, user_ids: Sequence[UUID], resource: Resource) -> AsyncIterator[None]:
        """A fence around a change of these users' rows that is made outside a request's own.

        The change must end within FENCE_TTL_S. The fence is closed when its outcome is known: the block ends,
        or raises one of our errors that does not say otherwise. ValueError for too many users.
        """
        if len(user_ids) > FENCED_USERS_MAX:
            raise ValueError(f"At most {FENCED_USERS_MAX} users can be fenced together.")
        nonce = self._entropy.random_bytes(16).hex()
        opened_at_s = self._clock.monotonic_s()
        fences = [Fence(f"u:{user_id}", (resource,), nonce, opened_at_s) for user_id in user_ids]
        await self._open_fences(fences)
        try:
            yield
        except StakeholdError as error:
            if error.code != "outcome_unknown":
                await self._close_fences(fences, REDIS_TIMEOUT_S)
            raise
        await self._close_fences(fences, REDIS_TIMEOUT_S)

    async def charge(
        self, subject: str, policies: tuple[Policy, ...], request_id: str, deadline: Deadline
    ) -> tuple[LimitState, ...]:
        """Charge limits that `release` can give back. Raises LimitedError, OverloadedError."""
        deadline.require_s(_TIME_NEEDED_S)
        entering = Entering(request_id, policies, subject)
        # A refusal is not remembered: a charge given back makes room sooner.
        entered = await self._enter(entering, deadline.bound_s(REDIS_TIMEOUT_S), may_block=False)
        return entered.limits

    async def release(self, subject: str, policy: Policy, request_id: str) -> None:
        """Take a charge back. Never raises; a charge that Redis keeps leaves with its window."""
        self._local.take_back(subject, (policy,), request_id)
        try:
            await self._link(subject).command("ZREM", log_key(self._prefix(subject), policy), request_id)
        except RedisAwayError:
            self._counters.count("limits_not_released")

    async def ping(self) -> bool:
        """Whether every Redis of the ring answers now, and serves."""
        for link in self._links.values():
            if not await link.ping():
                return False
        return True

    async def close(self) -> None:
        """Stop looking for the return of Redis; drop first what is still to be dropped, if it answers."""
        for link in self._links.values():
            await link.close()

    def _link(self, tag: str) -> Link:
        return self._links[id(self._ring.member_for(tag))]

    def _prefix(self, tag: str) -> str:
        return f"{self._key_prefix}{{{tag}}}:"

    async def _enter(self, entering: Entering, timeout_s: float, *, may_block: bool) -> Entered:
        link = self._link(entering.subject)
        asked_at_s = self._clock.monotonic_s()
        try:
            reply, share, trusted = await self._ask(link, entering, timeout_s)
            if reply[0] == b"forgot":
                link.has_forgotten(reply[replies.INCARNATION])
                spent_s = self._clock.monotonic_s() - asked_at_s
                left_s = max(_TIME_NEEDED_S, timeout_s - spent_s)
                reply, share, trusted = await self._ask(link, entering, left_s)
        except RedisAwayError:
            return await self._enter_locally(link, entering, asked_at_s)
        if reply[0] == b"ok":
            self._local.record(entering.subject, entering.limits, entering.request_id)
            return self._entered(link, entering, reply, share, trusted, asked_at_s)
        if reply[0] == b"refused" and trusted:
            raise SessionRefusedError
        if reply[0] != b"denied":
            return await self._enter_locally(link, entering, asked_at_s)
        self._counters.count("limits_denied")
        denial = replies.denial_of(reply, entering.limits)
        if may_block:
            self._blocks.block(entering.subject, denial.violated, asked_at_s)
        raise denial

    async def _ask(
        self, link: Link, entering: Entering, timeout_s: float
    ) -> tuple[list[Any], Decision | None, bool]:
        """The script's reply, and whether what it says of entries is to be trusted.

        While Redis' logs may lack charges, our own share must have room as well.
        """
        if not link.is_up:
            await link.bring_up()
        settling = link.settling(entering.limits)
        share = None
        if settling:
            share = await self._alone.admit(entering.subject, settling, entering.request_id)
        keys, arguments = self._question(link, entering)
        let_in, losses = False, link.losses
        try:
            reply = await link.trip(
                ENTER, keys, arguments, timeout_s, lambda reply: replies.is_of_enter(reply, entering.limits)
            )
            let_in = reply[0] == b"ok"
        finally:
            if share and not let_in:
                self._local.take_back(entering.subject, share.charged, entering.request_id)
        return reply, share, link.losses == losses

    def _question(self, link: Link, entering: Entering) -> tuple[list[str], list[Argument]]:
        """Keys and arguments of the script that lets requests in, in the order it names them."""
        limits, fences, caller = entering.limits, entering.fences, entering.caller
        prefix = self._prefix(entering.subject)
        keys = [link.incarnation_key, *[prefix + policy.key_part for policy in limits]]
        arguments: list[Argument] = [entering.request_id, link.incarnation, link.trusted_since_us]
        if caller is None:
            arguments += ("", 0, "", 0, 0)
        else:
            keys += (
                prefix + "account", prefix + "account:marks", prefix + "stakes", prefix + "stakes:marks"
            )  # fmt: skip
            arguments += (
                caller.session_id,
                caller.epoch,
                entering.page or "",
                _FENCE_MS if "account" in fences else 0,
                _FENCE_MS if "stakes" in fences else 0,
            )
        for policy in limits:
            arguments += policy.arguments
        return keys, arguments

    def _entered(
        self,
        link: Link,
        entering: Entering,
        reply: list[Any],
        share: Decision | None,
        trusted: bool,
        asked_at_s: float,
    ) -> Entered:
        if not link.incarnation:
            link.incarnation = reply[replies.INCARNATION]
        subject, name = entering.subject, entering.page
        limits = replies.limits_of(reply, entering.limits)
        entered = Entered(share.bound(limits) if share else limits)
        if entering.caller is not None:
            entered.account = replies.account_of(reply, subject) if trusted else AccountRead(None)
            if name is not None:
                entered.page = replies.page_of(reply, subject, name) if trusted else PageRead("bypass")
                self._counters.count(_PAGE_COUNTERS[entered.page.kind])
        if entering.fences:
            spent_s = self._clock.monotonic_s() - asked_at_s
            entered.fence = Fence(
                subject, entering.fences, entering.request_id, asked_at_s, redis_spent_s=spent_s
            )
        return entered

    async def _enter_locally(self, link: Link, entering: Entering, asked_at_s: float) -> Entered:
        """Without Redis: our share of the limits, nothing cached, and writes unfenced: money comes first."""
        decision = await self._alone.admit(entering.subject, entering.limits, entering.request_id)
        entered = Entered(decision.limits, redis=False)
        if entering.caller is not None:
            entered.account = AccountRead(None)
            if entering.page is not None:
                entered.page = PageRead("down")
                self._counters.count(_PAGE_COUNTERS["down"])
        if entering.fences:
            spent_s = self._clock.monotonic_s() - asked_at_s
            fence = Fence(entering.subject, entering.fences, entering.request_id, asked_at_s, True, spent_s)
            self._counters.count("unfenced_writes")
            link.begin_unfenced(fence)
            entered.fence = fence
        return entered

    async def _open_fences(self, fences: Sequence[Fence]) -> None:
        for link, batch in self._batches(fences):
            keys: list[str] = []
            arguments: list[Argument] = []
            for fence in batch:
                keys += fence_keys(self._key_prefix, fence.tag, fence.resources)
                arguments += (fence.nonce, _FENCE_MS)
            try:
                await link.trip(OPEN_FENCES, keys, arguments, REDIS_TIMEOUT_S, replies.is_done)
            except RedisAwayError:
                self._counters.count("unfenced_writes", len(batch))
                for fence in batch:
                    fence.unfenced = True
                    link.begin_unfenced(fence)

    async def _close_fences(self, fences: Sequence[Fence], timeout_s: float) -> None:
        """Close fences that share one nonce. What Redis cannot be told is remembered for its return."""
        for link, batch in self._batches(fences):
            keys: list[str] = []
            for fence in batch:
                keys += fence_keys(self._key_prefix, fence.tag, fence.resources)
            try:
                await link.trip(LEAVE, keys, [batch[0].nonce], timeout_s, replies.is_done)
            except RedisAwayError:
                for fence in batch:
                    if not fence.unfenced:
                        self._counters.count("unfenced_writes")
                    link.unfenced.left(fence)
            else:
                for fence in batch:
                    link.unfenced.closed(fence)

    def _batches(self, fences: Sequence[Fence]) -> list[tuple[Link, list[Fence]]]:
        """The fences by where their users' keys live, few enough for one script each."""
        if len(fences) == 1:
            return [(self._link(fences[0].tag), list(fences))]
        by_link: dict[Link, list[Fence]] = {}
        for fence in fences:
            by_link.setdefault(self._link(fence.tag), []).append(fence)
        return [
            (link, batch[start : start + BATCH])
            for link, batch in by_link.items()
            for start in range(0, len(batch), BATCH)
        ]
