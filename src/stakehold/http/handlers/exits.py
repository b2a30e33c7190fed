"""Leaving a stake, and what it does at maturity, over HTTP."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from stakehold.database.idempotency import Idempotency
from stakehold.domain.money import format_amount
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.handlers.stakes import parse_stake_id, stake_page
from stakehold.http.idempotency import read_idempotency_key
from stakehold.http.pages import matches_strongly
from stakehold.http.schemas.exits import ChangeStake, ExitQuote, StakeLeft, Unstake
from stakehold.services import exits

_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Change:
    """The stake that a call is about, and the client's key."""

    stake_id: UUID
    key: str | None


def parse_change(call: Call) -> Change:
    """Read the id in the path, and the Idempotency-Key. Raises NotFoundError, ValidationError."""
    return Change(parse_stake_id(call), read_idempotency_key(call.headers))


async def quote_exit(call: Call) -> Answer:
    """POST /api/stake/{stakeId}/unstake/quote"""
    quote = await exits.quote_exit(
        call.container.services, call.signed_in(), call.parsed_as(UUID), call.deadline
    )
    scale, outcome = quote.stake.plan.scale, quote.exit
    content = ExitQuote(
        quote_id=quote.id,
        expires_at=rfc3339(quote.expires_at_ms),
        stake_id=str(quote.stake.id),
        principal=format_amount(outcome.principal_minor, scale),
        reward=format_amount(outcome.reward_minor, scale),
        forfeited=format_amount(outcome.forfeited_minor, scale),
        returned=format_amount(outcome.payout_minor, scale),
        releases_at=rfc3339(quote.releases_at_ms),
    )
    return json_answer(200, content, NO_STORE)


async def unstake(call: Call) -> Answer:
    """POST /api/stake/{stakeId}/unstake"""
    change, quote_id = call.parsed_as(Change), call.body_as(Unstake).quote_id
    key = _idempotency(change, "unstake", quote_id)
    leaving = await exits.unstake(
        call.container.services, call.signed_in(), change.stake_id, quote_id, key, call.deadline
    )
    return _left(leaving)


async def cancel(call: Call) -> Answer:
    """POST /api/stake/{stakeId}/cancel"""
    change = call.parsed_as(Change)
    leaving = await exits.cancel(
        call.container.services,
        call.signed_in(),
        change.stake_id,
        _idempotency(change, "cancel", ""),
        call.deadline,
    )
    return _left(leaving)


async def change_stake(call: Call) -> Answer:
    """PATCH /api/stake/{stakeId}"""
    services, if_match = call.container.services, call.headers.get(b"if-match")

    def is_current(stake: Stake) -> bool:
        return if_match is None or matches_strongly(stake_page(stake, services.clock.now_ms()).etag, if_match)

    stake = await exits.instruct(
        services,
        call.signed_in(),
        call.parsed_as(UUID),
        call.body_as(ChangeStake).maturity_instruction,
        is_current,
        call.deadline,
    )
    page = stake_page(stake, services.clock.now_ms())
    return Answer(200, page.body, [_JSON, NO_STORE, (b"etag", page.etag.encode())])


def _idempotency(change: Change, action: str, meaning: str) -> Idempotency | None:
    if change.key is None:
        return None
    scope = f"POST /api/stake/{change.stake_id}/{action}"
    return Idempotency(change.key, scope, hashlib.sha256(meaning.encode()).digest())


def _left(leaving: exits.Leaving) -> Answer:
    left = leaving.left
    content = StakeLeft(
        stake_id=str(left.stake_id),
        status=left.state,
        principal=format_amount(left.principal_minor, left.scale),
        reward=format_amount(left.reward_minor, left.scale),
        forfeited=format_amount(left.forfeited_minor, left.scale),
        returned=format_amount(left.principal_minor + left.reward_minor, left.scale),
        releases_at=None if left.releases_at_ms is None else rfc3339(left.releases_at_ms),
    )
    headers = [NO_STORE]
    if leaving.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return json_answer(200, content, *headers)
