"""Stakes over HTTP. What the reads answer is cached as bytes by pipeline.py."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

import msgspec
from msgspec import UNSET

from stakehold.domain.errors import FieldError, NotFoundError, ValidationError
from stakehold.domain.money import format_amount
from stakehold.domain.plans import format_rate
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.idempotency import read_idempotency_key
from stakehold.http.pages import Page, page_of
from stakehold.http.schemas.stakes import CreateStake, ListStakes, StakeCreated, StakeItem, StakePage
from stakehold.services import stakes


@dataclass(frozen=True, slots=True)
class NewStake:
    """What a creation asks for, checked."""

    amount_minor: int
    period_months: int
    idempotency_key: str | None


def parse_new_stake(call: Call) -> NewStake:
    """Read the amount exactly, and the Idempotency-Key. Raises ValidationError."""
    body = call.body_as(CreateStake)
    return NewStake(stakes.read_amount(bytes(body.amount)), body.period, read_idempotency_key(call.headers))


async def create_stake(call: Call) -> Answer:
    """POST /api/stake"""
    new = call.parsed_as(NewStake)
    created = await stakes.create_stake(
        call.container.services,
        call.signed_in(),
        new.amount_minor,
        new.period_months,
        new.idempotency_key,
        call.deadline,
    )
    identifier = str(created.stake_id)
    headers = [NO_STORE, (b"location", f"/api/stake/{identifier}".encode())]
    if created.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return json_answer(201, StakeCreated(success=True, stake_id=identifier), *headers)


@dataclass(frozen=True, slots=True)
class Listing:
    """Which stakes a list asks for: by page number, or those made before `before`."""

    page: int
    before: UUID | None
    limit: int


def parse_listing(call: Call) -> Listing:
    """Read the page or the cursor. Raises ValidationError."""
    query = call.query_as(ListStakes)
    if query.cursor is UNSET:
        return Listing(1 if query.page is UNSET else query.page, None, query.limit)
    if query.page is not UNSET:
        raise ValidationError(
            "Give a page or a cursor, not both.",
            fields=(FieldError("?cursor", "exclusive", "Not together with page."),),
        )
    return Listing(1, _read_cursor(query.cursor), query.limit)


def listing_name(call: Call) -> str:
    """The name of a list in the cache."""
    listing = call.parsed_as(Listing)
    if listing.before is not None:
        return f"after:{listing.before}:{listing.limit}"
    return f"page:{listing.page}:{listing.limit}"


async def list_stakes(call: Call) -> Page:
    """GET /api/stake"""
    services, caller, listing = call.container.services, call.signed_in(), call.parsed_as(Listing)
    if listing.before is not None:
        found = await stakes.list_after(services, caller, listing.before, listing.limit, call.deadline)
    else:
        found = await stakes.list_page(services, caller, listing.page, listing.limit, call.deadline)
    now_ms = services.clock.now_ms()
    content = StakePage(
        items=[_item(stake, now_ms) for stake in found.stakes],
        from_cache=False,
        has_more=found.has_more,
        next_cursor=_cursor(found.stakes[-1].id) if found.has_more else None,
    )
    cached = msgspec.structs.replace(content, from_cache=True)
    return page_of(content, cached, now_ms=now_ms, not_after_ms=_next_maturity_ms(found.stakes, now_ms))


def parse_stake_id(call: Call) -> UUID:
    """The id in the path. Raises NotFoundError: what is not an id names nothing."""
    text = call.path_params["stakeId"]
    try:
        identifier = UUID(text)
    except ValueError:
        identifier = None
    if identifier is None or str(identifier) != text:
        raise NotFoundError("There is no such stake.")
    return identifier


def stake_name(call: Call) -> str:
    """The name of one stake in the cache."""
    return f"stake:{call.parsed_as(UUID)}"


async def get_stake(call: Call) -> Page:
    """GET /api/stake/{stakeId}"""
    services = call.container.services
    stake = await stakes.get_stake(services, call.signed_in(), call.parsed_as(UUID), call.deadline)
    now_ms = services.clock.now_ms()
    content = _item(stake, now_ms)
    return page_of(content, content, now_ms=now_ms, not_after_ms=_next_maturity_ms([stake], now_ms))


def _item(stake: Stake, now_ms: int) -> StakeItem:
    plan = stake.plan
    return StakeItem(
        id=str(stake.id),
        amount=format_amount(stake.amount_minor, plan.scale),
        period=str(plan.period_months),
        asset=plan.asset,
        rate=format_rate(plan.rate_ppm),
        status=stake.status_at(now_ms),
        created_at=rfc3339(stake.created_at_ms),
        matures_at=rfc3339(stake.matures_at_ms),
    )


def _next_maturity_ms(found: list[Stake], now_ms: int) -> int | None:
    """When the status of one of these changes next: a page must not outlive it."""
    return min((stake.matures_at_ms for stake in found if stake.matures_at_ms > now_ms), default=None)


def _cursor(identifier: UUID) -> str:
    return base64.urlsafe_b64encode(identifier.bytes).decode().rstrip("=")


def _read_cursor(text: str) -> UUID:
    try:
        identifier = UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
        if _cursor(identifier) == text:
            return identifier
    except (ValueError, binascii.Error):
        pass
    raise ValidationError(
        "The cursor is not valid.", fields=(FieldError("?cursor", "invalid_cursor", "Not one of ours."),)
    )
