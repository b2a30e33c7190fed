"""What a request asks at the gate's door, and what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from stakehold.cache.entries import Entry, FillTicket
from stakehold.domain.accounts import UserState
from stakehold.domain.errors import AuthenticationError, RateLimitError
from stakehold.limits.headers import LimitState, retry_after_s
from stakehold.limits.policies import Policy

Resource = Literal["stakes", "account"]
"""What of a user is cached: the pages of stakes, or the user entry (status, epoch, revoked sessions)."""

PageKind = Literal["fresh", "stale", "miss", "bypass", "down"]


@dataclass(slots=True)
class Caller:
    """Who a verified token says is calling, and with what scope ('' for most)."""

    user_id: UUID
    session_id: str
    epoch: int
    scope: str = ""


@dataclass(slots=True)
class Entering:
    """What a request asks for at the door.

    `request_id` is unique to the request and ours, never the client's; a retry with the same one is charged
    once. `subject` pays the limits: `u:<user id>` for a caller, who must be that user, or `a:<address>`.
    `page` names an entry of the caller's stakes to read; `fences` are what the request is about to change.
    """

    request_id: str
    limits: tuple[Policy, ...]
    subject: str
    caller: Caller | None = None
    page: str | None = None
    fences: tuple[Resource, ...] = ()


@dataclass(slots=True)
class AccountRead:
    """The cached user entry. `state` None: ask the database, and store the answer if `fill` allows it.

    `refresh`: the entry is old and this request was chosen to renew it, with `fill`, after its answer.
    """

    state: UserState | None
    fill: FillTicket | None = None
    refresh: bool = False


@dataclass(slots=True)
class PageRead:
    """The cached page. Without an `entry` the database is read, and the page stored if there is a `ticket`.

    `miss` has a ticket; `bypass` (somebody is writing) and `down` (Redis is away) have none. `refresh`: the
    entry is stale and this request was chosen to renew it, with `ticket`, after its answer.
    """

    kind: PageKind
    entry: Entry | None = None
    ticket: FillTicket | None = None
    refresh: bool = False


@dataclass(slots=True, eq=False)
class Fence:
    """An open fence: whoever holds it calls `Gate.leave` once the write's outcome is known.

    `unfenced`: Redis was away, so there is no mark, and the gate drops the user's entries when it returns.
    """

    tag: str
    resources: tuple[Resource, ...]
    nonce: str
    opened_at_s: float
    unfenced: bool = False
    redis_spent_s: float = 0.0
    """What `enter` took of the time a request may wait for Redis."""


@dataclass(slots=True)
class Entered:
    """What a request that was let in is told. `redis` False: Redis is away and all was decided locally."""

    limits: tuple[LimitState, ...]
    account: AccountRead | None = None
    page: PageRead | None = None
    fence: Fence | None = None
    redis: bool = True


class LimitedError(RateLimitError):
    """A limit is full; nothing was charged.

    `limits` is what is known of the request's limits, `violated` those of them that are full.
    """

    def __init__(self, limits: Sequence[LimitState], violated: Sequence[LimitState]) -> None:
        self.limits = tuple(limits)
        self.violated = tuple(violated)
        wait_s = retry_after_s(self.violated)
        names = [state.policy.name for state in self.violated]
        super().__init__(
            f"Too many requests ({', '.join(names)}): try again in {wait_s} s.",
            retry_after_s=wait_s,
            extra={"violated-policies": names},
        )


class SessionRefusedError(AuthenticationError):
    """The cached user entry says that the session has ended; nothing was charged and nothing opened."""

    def __init__(self) -> None:
        super().__init__("The session has ended; sign in again.", code="session_ended")
