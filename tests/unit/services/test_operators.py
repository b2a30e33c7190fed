"""What operators do, on real stores: once, whatever becomes of the answer, and it is told."""

import json
from typing import Any

import pytest

from stakehold.domain.errors import ConflictError, ValidationError
from stakehold.domain.ports import Deadline
from stakehold.services import operators
from stakehold.services.operators import Adjusted, Adjustment
from tests.support.books import check_books
from tests.support.postgres_proxy import PostgresProxy
from tests.unit.services.conftest import Desk, OpenDesk

DEPOSIT = Adjustment("deposit", "ada", "STK", b"10", "Wire 4711")


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    desk = await open_desk()
    await desk.add_user("ada")
    return desk


async def _adjust(desk: Desk, asked: Adjustment = DEPOSIT, key: str | None = None) -> tuple[Adjusted, bool]:
    return await operators.adjust(desk.services, asked, None, key, desk.deadline)


async def _events(desk: Desk) -> list[dict[str, Any]]:
    rows = await desk.sql("SELECT payload FROM events ORDER BY id")
    return [json.loads(str(payload)) for (payload,) in rows]


async def test_a_reversal_is_told(desk: Desk) -> None:
    """With the fields of what it undoes, and with its number, in either direction."""
    await _adjust(desk)
    await _adjust(desk, Adjustment("withdrawal", "ada", "STK", b"1", "Cash"))
    for seq in (2, 1):
        await operators.reverse(desk.services, "ada", seq, "wrong user", desk.deadline)
    told = await _events(desk)
    assert [event["type"] for event in told] == [
        "balance.deposited", "balance.withdrawn", "balance.reversed", "balance.reversed",
    ]  # fmt: skip
    [deposited, withdrawn, again, back] = [event["data"] for event in told]
    assert again == {**withdrawn, "seq": 3, "reverses": 2}
    assert back == {**deposited, "seq": 4, "reverses": 1}
    await check_books(desk.database_url)


@pytest.mark.parametrize("key", [None, "wire-4711"])
async def test_an_adjustment_whose_answer_is_lost_is_found(
    desk: Desk, open_desk: OpenDesk, key: str | None
) -> None:
    """It is made once, and is nobody's repetition; what is sent again with the key is one."""
    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.cut_answers(1, "COMMIT")
        done, replayed = await _adjust(machine, key=key)
        assert proxy.answers_to_cut == 0
    assert (done.seq, replayed) == (1, False)
    if key is not None:
        assert await _adjust(desk, key=key) == (done, True)
    assert await desk.sql("SELECT kind FROM transfers") == [("deposit",)]
    assert len(await _events(desk)) == 1


async def test_a_reversal_whose_answer_is_lost_is_found(desk: Desk, open_desk: OpenDesk) -> None:
    """By the call that made it. Another call is told which transfer it was."""
    await _adjust(desk)
    async with PostgresProxy(desk.database_url) as proxy:
        machine = await open_desk(database_url=proxy.url)
        proxy.cut_answers(1, "COMMIT")
        done = await operators.reverse(machine.services, "ada", 1, "wrong user", machine.deadline)
        assert proxy.answers_to_cut == 0
    assert (done.seq, done.kind) == (2, "reversal")
    with pytest.raises(ConflictError, match="Transfer 1 was reversed by transfer 2"):
        await operators.reverse(desk.services, "ada", 1, "wrong user", desk.deadline)
    assert await desk.sql("SELECT kind FROM transfers ORDER BY seq") == [("deposit",), ("reversal",)]
    assert len(await _events(desk)) == 2
    await check_books(desk.database_url)


async def test_a_key_stands_for_what_is_meant(desk: Desk) -> None:
    """However the amount and the name are written; not for another amount, reason, asset or direction."""
    first, _ = await _adjust(desk, key="k")
    for username, amount in (("ada", b'"10"'), ("Ada", b"10.0"), ("ada", b"1e1")):
        asked = Adjustment("deposit", username, "STK", amount, DEPOSIT.reason)
        assert await _adjust(desk, asked, "k") == (first, True)
    for amount, reason in ((b"11", DEPOSIT.reason), (b"10", "another")):
        with pytest.raises(ValidationError) as refused:
            await _adjust(desk, Adjustment("deposit", "ada", "STK", amount, reason), "k")
        assert refused.value.code == "idempotency_key_reused"
    withdrawn, replayed = await _adjust(desk, Adjustment("withdrawal", "ada", "STK", b"10", "Wire 4711"), "k")
    assert (withdrawn.seq, replayed) == (2, False)


async def test_a_reason_that_is_none_moves_nothing(desk: Desk) -> None:
    """Whoever asks: the rule is held here as well as where it is read."""
    await _adjust(desk)
    with pytest.raises(ValidationError) as refused:
        await operators.reverse(desk.services, "ada", 1, "a\nb", Deadline.after(desk.services.clock, 8.0))
    assert refused.value.fields[0].pointer == "/reason"
    assert len(await desk.sql("SELECT seq FROM transfers")) == 1
