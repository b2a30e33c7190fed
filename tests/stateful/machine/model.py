"""What the service promises, as plain data: accounts, sessions and stakes, and what each request is owed.

Pure: no I/O, and nothing of the service's own code. Times are milliseconds since the Unix epoch.
"""

from bisect import insort
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

ACCESS_TTL_S: Final = 900
REFRESH_TTL_MS: Final = 30 * 24 * 3600 * 1000
KEY_TTL_MS: Final = 24 * 3600 * 1000
SCALE: Final = 10**8
RATES: Final = {1: "0.03", 3: "0.05", 6: "0.08", 12: "0.12"}
"""The plans on sale: months, and the rate a year."""


class Violation(AssertionError):
    """A promise that was not kept: which, and how."""

    def __init__(self, promise: str, how: str) -> None:
        super().__init__(f"{promise}: {how}")
        self.promise = promise


def promise(kept: bool, name: str, how: object = "") -> None:
    """Raise Violation unless `kept`."""
    if not kept:
        raise Violation(name, str(how))


def rfc3339(at_ms: int) -> str:
    """A moment as the API writes it."""
    second = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def made_at_ms(identifier: str) -> int:
    """When a UUIDv7 was made."""
    return int(identifier.replace("-", "")[:12], 16)


def canonical_amount(amount_minor: int) -> str:
    """An amount as the API writes it."""
    whole, fraction = divmod(amount_minor, SCALE)
    digits = f"{fraction:08}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def maturity_ms(made_ms: int, months: int) -> int:
    """Midnight UTC of the day `months` after, or of that month's last day where it has no such day."""
    made = datetime.fromtimestamp(made_ms // 1000, UTC)
    year, month = made.year + (made.month - 1 + months) // 12, (made.month - 1 + months) % 12 + 1
    for day in (made.day, 30, 29, 28):
        try:
            matures = date(year, month, min(day, made.day))
            break
        except ValueError:
            continue
    return int(datetime(matures.year, matures.month, matures.day, tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True)
class Asked:
    """What a creation asks for."""

    amount_minor: int
    period: int


ITEM_MEMBERS = (
    "id", "amount", "period", "asset", "rate", "status", "createdAt", "maturesAt", "plan", "planVersion",
    "maturityInstruction",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Stake:
    """A stake. In the order of its id, which begins with the time it was made at."""

    id: str
    asked: Asked

    @property
    def matures_at_ms(self) -> int:
        """From when on it has matured."""
        return maturity_ms(made_at_ms(self.id), self.asked.period)

    def item(self, now_ms: int) -> dict[str, Any]:
        """The stake as the API shows it."""
        return {
            "id": self.id,
            "amount": canonical_amount(self.asked.amount_minor),
            "period": str(self.asked.period),
            "asset": "STK",
            "rate": RATES[self.asked.period],
            "status": "matured" if now_ms >= self.matures_at_ms else "active",
            "createdAt": rfc3339(made_at_ms(self.id)),
            "maturesAt": rfc3339(self.matures_at_ms),
            "plan": f"STK-{self.asked.period}M",
            "planVersion": 1,
            "maturityInstruction": "payout",
        }

    @staticmethod
    def told(answered: dict[str, Any]) -> dict[str, Any]:
        """What an answer says of a stake, of all that `item` has.

        Whether one that has matured was paid out already is the settlement's business, and is tested there.
        """
        told = {name: answered[name] for name in ITEM_MEMBERS}
        if told["status"] == "paid_out":
            told["status"] = "matured"
        return told


@dataclass(frozen=True)
class Key:
    """An Idempotency-Key, what it was used for, and until when that is remembered."""

    stake: Stake
    expires_at_ms: int


@dataclass(eq=False)
class Session:
    """A family of refresh tokens: `current` is None when the client never got the next one."""

    id: str
    user: "User"
    current: str | None
    spent: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def expires_at_ms(self) -> int:
        """When its refresh tokens are good no more."""
        return made_at_ms(self.id) + REFRESH_TTL_MS

    def exchange(self, new: str | None) -> None:
        """Spend the current refresh token; `new` is what the client got for it."""
        if self.current is not None:
            self.spent.append(self.current)
        self.current = new

    def takes(self, refresh_token: str, now_ms: int) -> bool:
        """Whether this refresh token is exchanged."""
        return not self.ended and now_ms < self.expires_at_ms and refresh_token == self.current

    def is_reuse(self, refresh_token: str, now_ms: int) -> bool:
        """Whether presenting this token ends the family."""
        return not self.ended and now_ms < self.expires_at_ms and refresh_token in self.spent


@dataclass(eq=False)
class Access:
    """An access token."""

    text: str
    session: Session
    expires_at_ms: int

    def refusal(self, now_ms: int) -> str | None:
        """The problem that a request with it is answered with; None while it is good."""
        if now_ms >= self.expires_at_ms:
            return "token_expired"
        return "session_ended" if self.session.ended else None


@dataclass(eq=False)
class User:
    """A user, and all that is theirs. `password_hash` tells whether the password was changed."""

    id: str
    name: str
    password: str
    password_hash: str
    enabled: bool = True
    stakes: list[Stake] = field(default_factory=list)
    """Oldest first."""
    keys: dict[str, Key] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    tags: dict[tuple[tuple[str, Any], ...], tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """The ETag of each list read last, by its query, with what it stood for."""

    def add(self, stake: Stake) -> None:
        """Put a stake where it belongs by its time."""
        insort(self.stakes, stake)

    def key(self, key: str | None, now_ms: int) -> Key | None:
        """What is remembered of a key."""
        found = self.keys.get(key or "")
        return found if found is not None and now_ms < found.expires_at_ms else None

    def end_sessions(self) -> None:
        """End every session there is."""
        for session in self.sessions:
            session.ended = True

    def page(self, now_ms: int, *, limit: int, page: int = 1, before: str | None = None) -> dict[str, Any]:
        """What a list is owed, without what it cannot know: cursor and cache."""
        newest_first = [stake for stake in reversed(self.stakes) if before is None or stake.id < before]
        start = 0 if before is not None else (page - 1) * limit
        shown = newest_first[start : start + limit]
        return {
            "items": [stake.item(now_ms) for stake in shown],
            "hasMore": len(newest_first) > start + limit,
        }


@dataclass
class Model:
    """Everybody."""

    users: list[User] = field(default_factory=list)

    def named(self, name: str) -> User | None:
        """The user of this name."""
        return next((user for user in self.users if user.name == name), None)

    def edges(self, user: User, kind: str, now_ms: int) -> list[int]:
        """The moments after now at which something of the user's expires or matures, soonest first."""
        moments = {
            "token": [access.expires_at_ms for access in user.accesses],
            "refresh": [session.expires_at_ms for session in user.sessions if not session.ended],
            "key": [key.expires_at_ms for key in user.keys.values()],
            "maturity": [stake.matures_at_ms for stake in user.stakes],
        }[kind]
        return sorted({moment for moment in moments if moment > now_ms + 1})
