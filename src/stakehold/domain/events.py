"""Events: what others are told of, and how often they are told until they have heard it.

A payload is a Standard Webhooks one: `type`, `timestamp` (when it happened) and `data`, in camelCase, with
amounts as decimal strings. docs/webhooks.md shows each type; fields may be added to a type, and none goes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from stakehold.domain.money import format_amount
from stakehold.domain.ports import Entropy
from stakehold.domain.stakes import MaturityInstruction, Stake
from stakehold.domain.timestamps import rfc3339

EventType = Literal[
    "stake.created",
    "stake.matured",
    "stake.renewed",
    "stake.unstaking",
    "stake.closed_early",
    "stake.cancelled",
    "balance.deposited",
    "balance.withdrawn",
    "balance.reversed",
]
BalanceEventType = Literal["balance.deposited", "balance.withdrawn", "balance.reversed"]

RETRY_DELAYS_S: Final = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""From a failed attempt to the next, as Standard Webhooks suggests: ten attempts within some three days."""

RETRY_AFTER_MAX_S: Final = 86400
"""What a receiver may ask us to wait at most."""

_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a user's stakes or balance; `payload` is the JSON that is sent."""

    user_id: UUID
    id: UUID
    type: EventType
    payload: str


def stake_matured(identifier: UUID, at_ms: int, stake: Stake, reward_minor: int) -> Event:
    """A stake was paid out at maturity: its amount and its reward."""
    more = {
        "reward": format_amount(reward_minor, stake.plan.scale),
        "payout": format_amount(stake.amount_minor + reward_minor, stake.plan.scale),
    }
    return _of_stake("stake.matured", identifier, at_ms, stake, more)


def stake_renewed(
    identifier: UUID,
    at_ms: int,
    stake: Stake,
    reward_minor: int,
    instruction: MaturityInstruction,
    renewed_to: UUID,
) -> Event:
    """A stake matured and another was made of it; `instruction` says what became of the reward."""
    more = {
        "reward": format_amount(reward_minor, stake.plan.scale),
        "maturityInstruction": instruction,
        "renewedTo": str(renewed_to),
    }
    return _of_stake("stake.renewed", identifier, at_ms, stake, more)


def stake_unstaking(
    identifier: UUID, at_ms: int, stake: Stake, reward_minor: int, forfeited_minor: int, releases_at_ms: int
) -> Event:
    """The owner leaves early: what is paid, and when the cooldown is over."""
    more = {**_exited(stake, reward_minor, forfeited_minor), "releasesAt": rfc3339(releases_at_ms)}
    return _of_stake("stake.unstaking", identifier, at_ms, stake, more)


def stake_closed_early(
    identifier: UUID, at_ms: int, stake: Stake, reward_minor: int, forfeited_minor: int
) -> Event:
    """Someone who left early was paid."""
    more = _exited(stake, reward_minor, forfeited_minor)
    return _of_stake("stake.closed_early", identifier, at_ms, stake, more)


def stake_cancelled(identifier: UUID, at_ms: int, stake: Stake) -> Event:
    """A stake was cancelled in its grace period; its amount was returned."""
    return _of_stake("stake.cancelled", identifier, at_ms, stake)


def balance_changed(
    event_type: BalanceEventType,
    identifier: UUID,
    at_ms: int,
    user_id: UUID,
    *,
    asset: str,
    scale: int,
    amount_minor: int,
    seq: int,
    reverses: int | None = None,
) -> Event:
    """An operator paid in or out, or undid that; `seq` is the transfer's number in the user's ledger.

    `reverses` is that of the transfer which is undone.
    """
    data: dict[str, object] = {
        "userId": str(user_id),
        "asset": asset,
        "amount": format_amount(amount_minor, scale),
        "seq": seq,
    }
    if reverses is not None:
        data["reverses"] = reverses
    return _event(event_type, identifier, at_ms, user_id, data)


def retry_delay_s(attempts: int, retry_after_s: float | None, entropy: Entropy) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones, at least one; None: no more are made.

    Up to a fifth more than RETRY_DELAYS_S, lest what failed together comes again together. Not sooner than
    the receiver asks for, of which more than a day counts as a day.
    """
    if attempts > len(RETRY_DELAYS_S):
        return None
    fraction = int.from_bytes(entropy.random_bytes(4), "big") / 2**32
    delay_s = float(RETRY_DELAYS_S[attempts - 1]) * (1 + _JITTER * fraction)
    return max(delay_s, min(retry_after_s or 0.0, float(RETRY_AFTER_MAX_S)))


def _of_stake(
    event_type: EventType,
    identifier: UUID,
    at_ms: int,
    stake: Stake,
    more: Mapping[str, object] | None = None,
) -> Event:
    data = {
        "stakeId": str(stake.id),
        "userId": str(stake.user_id),
        "asset": stake.plan.asset,
        "amount": format_amount(stake.amount_minor, stake.plan.scale),
        "plan": stake.plan.id,
        "planVersion": stake.plan.version,
        "valueDate": stake.value_date.isoformat(),
        "maturityDate": stake.maturity_date.isoformat(),
        **(more or {}),
    }
    return _event(event_type, identifier, at_ms, stake.user_id, data)


def _exited(stake: Stake, reward_minor: int, forfeited_minor: int) -> dict[str, object]:
    scale = stake.plan.scale
    return {
        "reward": format_amount(reward_minor, scale),
        "returned": format_amount(stake.amount_minor + reward_minor, scale),
        "forfeited": format_amount(forfeited_minor, scale),
    }


def _event(
    event_type: EventType, identifier: UUID, at_ms: int, user_id: UUID, data: Mapping[str, object]
) -> Event:
    payload = {"type": event_type, "timestamp": rfc3339(at_ms), "data": data}
    return Event(user_id, identifier, event_type, json.dumps(payload, separators=(",", ":")))
