"""Stakes over HTTP. What the reads answer is cached as bytes by pipeline.py."""

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stakehold.domain.accrual import accrued_minor
from stakehold.domain.errors import FieldError, NotFoundError, ValidationError
from stakehold.domain.money import format_amount
from stakehold.domain.plans import format_rate
from stakehold.domain.stakes import Stake
from stakehold.domain.timestamps import midnight_ms, rfc3339, utc_date
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.handlers.terms import trace_item
from stakehold.http.idempotency import read_idempotency_key
from stakehold.http.pages import Page, page_of
from stakehold.http.schemas.stakes import (
    CreateStake,
    ListStakes,
    Outcome,
    StakeCreated,
    StakeDetail,
    StakeItem,
    StakePage,
)
from stakehold.services import stakes
from stakehold.services.orders import ASSET_SCALE, Order, read_amount


def parse_new_stake(call: Call) -> Order:
    """Read what is asked for, and the Idempotency-Key. Raises ValidationError."""
    body = call.body_as(CreateStake)
    order = read_order(body.amount, body.period, body.plan)
    return replace(
        order,
        quote_id=None if body.quote_id is UNSET else body.quote_id,
        maturity_instruction=body.maturity_instruction,
        idempotency_key=read_idempotency_key(call.headers),
    )


def read_order(amount: msgspec.Raw, period: int | UnsetType, plan: str | UnsetType) -> Order:
    """An order by period or by the name of a plan; the amount is read exactly, in the plan's asset.

    Raises ValidationError.
    """
    token = bytes(amount)
    if plan is UNSET:
        if period is UNSET:
            raise ValidationError(
                "The body is not valid.", fields=(FieldError("/period", "missing", "This field is needed."),)
            )
        # Of another plan's asset nobody knows yet how many decimals it has.
        read_amount(token, ASSET_SCALE)
        return Order(token, period_months=period)
    if period is not UNSET:
        raise ValidationError(
            "Give a period or a plan, not both.",
            fields=(FieldError("/plan", "exclusive", "Not together with period."),),
        )
    return Order(token, plan_id=plan)


async def create_stake(call: Call) -> Answer:
    """POST /api/stake"""
    created = await stakes.create_stake(
        call.container.services, call.signed_in(), call.parsed_as(Order), call.deadline
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
    return Listing(1, read_cursor(query.cursor), query.limit)


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
        next_cursor=cursor_of(found.stakes[-1].id) if found.has_more else None,
    )
    cached = msgspec.structs.replace(content, from_cache=True)
    changes = (_next_change_ms(stake, now_ms) for stake in found.stakes)
    not_after_ms = min((moment for moment in changes if moment is not None), default=None)
    return page_of(content, cached, now_ms=now_ms, not_after_ms=not_after_ms)


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
    return stake_page(stake, services.clock.now_ms())


def stake_page(stake: Stake, now_ms: int) -> Page:
    """One stake as it is told at `now_ms`, with the strong ETag that If-Match compares."""
    content = _detail(stake, now_ms)
    moments = [_next_change_ms(stake, now_ms)]
    if stake.status_at(now_ms) == "active":
        moments.append(midnight_ms(utc_date(now_ms) + timedelta(1)))
    not_after_ms = min((moment for moment in moments if moment is not None), default=None)
    return page_of(content, content, now_ms=now_ms, not_after_ms=not_after_ms, strong=True)


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
        plan=plan.id,
        plan_version=plan.version,
        maturity_instruction=stake.maturity_instruction,
    )


def _detail(stake: Stake, now_ms: int) -> StakeDetail:
    plan, terms = stake.plan, (stake.plan, stake.amount_minor, stake.value_date, stake.maturity_date)
    traced = trace_item(*terms, stake.earned_until(utc_date(now_ms)))
    reward_minor = accrued_minor(*terms, stake.maturity_date)
    grace_ends_at_ms = stake.created_at_ms + plan.grace_s * 1000
    return StakeDetail(
        **msgspec.structs.asdict(_item(stake, now_ms)),
        value_date=stake.value_date.isoformat(),
        day_count=plan.day_count,
        accrued=format_amount(int(traced.accrued_minor), plan.scale),
        reward=format_amount(reward_minor, plan.scale),
        payout=format_amount(stake.amount_minor + reward_minor, plan.scale),
        trace=traced,
        realised=_outcome(stake),
        renewed_from=None if stake.renewed_from is None else str(stake.renewed_from),
        renewed_to=None if stake.renewed_to is None else str(stake.renewed_to),
        grace_period_ends_at=rfc3339(grace_ends_at_ms) if plan.grace_s and stake.state == "active" else None,
        releases_at=rfc3339(stake.due_at_ms) if stake.state == "unstaking" and stake.due_at_ms else None,
    )


def _outcome(stake: Stake) -> Outcome | None:
    if stake.reward_minor is None:
        return None
    return Outcome(
        reward=format_amount(stake.reward_minor, stake.plan.scale),
        forfeited=format_amount(stake.forfeited_minor or 0, stake.plan.scale),
        exited_on=None if stake.exited_on is None else stake.exited_on.isoformat(),
        ended_at=None if stake.ended_at_ms is None else rfc3339(stake.ended_at_ms),
    )


def _next_change_ms(stake: Stake, now_ms: int) -> int | None:
    """When a stake's status changes by time alone: a page must not outlive it.

    One that is due is about to change: a page with it is not kept.
    """
    return None if stake.due_at_ms is None else max(now_ms, stake.due_at_ms)


def cursor_of(identifier: UUID) -> str:
    """The cursor that goes on after the stake of this id."""
    return base64.urlsafe_b64encode(identifier.bytes).decode().rstrip("=")


def read_cursor(text: str) -> UUID:
    """The id of the stake that a cursor goes on after. Raises ValidationError."""
    try:
        identifier = UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
        if cursor_of(identifier) == text:
            return identifier
    except (ValueError, binascii.Error):
        pass
    raise ValidationError(
        "The cursor is not valid.", fields=(FieldError("?cursor", "invalid_cursor", "Not one of ours."),)
    )
