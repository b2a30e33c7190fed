"""What operators do, over HTTP."""

from stakehold.domain.money import format_amount
from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.idempotency import read_idempotency_key
from stakehold.http.schemas.operators import Adjust, Adjusted
from stakehold.services import operators
from stakehold.services.operators import Adjustment, Direction


def parse_key(call: Call) -> str | None:
    """The client's key. Raises ValidationError."""
    return read_idempotency_key(call.headers)


async def deposit(call: Call) -> Answer:
    """POST /api/admin/deposits"""
    return await _adjust(call, "deposit")


async def withdraw(call: Call) -> Answer:
    """POST /api/admin/withdrawals"""
    return await _adjust(call, "withdrawal")


async def _adjust(call: Call, direction: Direction) -> Answer:
    body, operator = call.body_as(Adjust), call.signed_in()
    asked = Adjustment(direction, body.username, body.asset, bytes(body.amount), body.reason)
    done, replayed = await operators.adjust(
        call.container.services, asked, operator, parse_key(call), call.deadline
    )
    call.container.log.write(
        "adjustment",
        operator=str(operator.user_id),
        user=str(done.user_id),
        kind=done.kind,
        asset=done.asset,
        amount=format_amount(done.amount_minor, done.scale),
        seq=done.seq,
        replayed=replayed,
    )
    content = Adjusted(
        user_id=str(done.user_id),
        seq=done.seq,
        kind=done.kind,
        asset=done.asset,
        amount=format_amount(done.amount_minor, done.scale),
        created_at=rfc3339(done.at_ms),
        hash=done.hash,
    )
    headers = [NO_STORE]
    if replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return json_answer(201, content, *headers)
