"""The ledger of a user, on real stores: what was altered behind the service's back is found, and named."""

from typing import Any
from uuid import UUID

import pytest

from stakehold.domain.errors import ConflictError, NotFoundError, ValidationError
from stakehold.services import ledger, operators
from stakehold.services.ledger import Fault
from stakehold.services.operators import Adjustment, Direction
from tests.support.books import check_books

TRANSFERS = 12
LEFT_TO_THE_OWNER = "ALTER TABLE transfers DISABLE TRIGGER ALL"


@pytest.fixture
async def desk(open_desk: Any) -> Any:
    desk = await open_desk()
    for name in ("ada", "grace"):
        await desk.add_user(name)
    return desk


async def _adjust(
    desk: Any, direction: Direction, amount: bytes, username: str = "ada"
) -> operators.Adjusted:
    asked = Adjustment(direction, username, "STK", amount, "because")
    done, _ = await operators.adjust(desk.services, asked, None, None, desk.deadline)
    return done


async def _made(desk: Any) -> UUID:
    for number in range(1, TRANSFERS + 1):
        done = await _adjust(desk, "withdrawal" if number % 3 == 0 else "deposit", b"%d" % number)
        assert done.seq == number
    return done.user_id


async def _fault(desk: Any, user_id: UUID, after: int = 0) -> Fault | None:
    return (await ledger.verify(desk.services, user_id, after, desk.deadline)).fault


@pytest.mark.parametrize(
    ("change", "seq", "what"),
    [
        ("UPDATE transfers SET amount_minor = amount_minor + 1 WHERE seq = 7", 7, "is not what its hash"),
        (
            "UPDATE transfers SET credit_account = 'custody', debit_account = 'x' WHERE seq = 2",
            2,
            "is not what",
        ),
        ("UPDATE transfers SET reason = 'another' WHERE seq = 12", 12, "is not what"),
        ("UPDATE transfers SET at_ms = at_ms - 1 WHERE seq = 1", 1, "is not what"),
        ("UPDATE transfers SET hash = repeat('0', 64) WHERE seq = 5", 5, "is not what"),
        ("DELETE FROM transfers WHERE seq = 4", 4, "is missing"),
        ("DELETE FROM transfers WHERE seq = 12", 12, "is missing"),
        (
            "INSERT INTO transfers SELECT user_id, 13, id, kind, debit_account, credit_account, asset,"
            " amount_minor, stake_id, reverses, actor, at_ms, reason, hash FROM transfers WHERE seq = 12",
            13,
            "beyond the head",
        ),
        ("UPDATE ledger_heads SET seq = 11 WHERE seq = 12", 11, "is not the end"),
        ("UPDATE balances SET available_minor = available_minor + 1", 12, "balances"),
    ],
)
async def test_what_was_altered_is_found_and_named(desk: Any, change: str, seq: int, what: str) -> None:
    """A row changed, taken out or put in, the head moved, a balance raised: the first wrong one is named."""
    user_id = await _made(desk)
    assert await _fault(desk, user_id) is None
    await desk.sql(LEFT_TO_THE_OWNER)
    await desk.sql(change)
    found = await _fault(desk, user_id)
    assert found is not None
    assert (found.seq, what in found.what) == (seq, True), found


async def test_a_part_can_be_verified_from_a_hash_on(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, each from where the last one ended; what lies before is not looked at again."""
    monkeypatch.setattr(ledger, "VERIFIED_AT_ONCE_MAX", 5)
    user_id = await _made(desk)
    seen, after = [], 0
    while True:
        found = await ledger.verify(desk.services, user_id, after, desk.deadline)
        assert found.fault is None
        seen.append((found.first, found.last, found.complete))
        if found.complete:
            break
        after = found.last
    assert seen == [(1, 5, False), (6, 10, False), (11, 12, True)]
    await desk.sql(LEFT_TO_THE_OWNER)
    await desk.sql("UPDATE transfers SET reason = 'x' WHERE seq = 2")
    assert await _fault(desk, user_id, 5) is None
    assert await _fault(desk, user_id) == Fault(2, "is not what its hash was made of")


async def test_an_adjustment_is_reversed_once(desk: Any) -> None:
    """By a transfer the other way; what was spent since, other kinds, and what is not there are refused."""
    first = await _adjust(desk, "deposit", b"10")
    undone = await operators.reverse(desk.services, "ada", first.seq, "wrong user", desk.deadline)
    assert (undone.kind, undone.amount_minor) == ("reversal", 10**9)
    for seq, error in ((1, ConflictError), (2, ConflictError), (3, NotFoundError)):
        with pytest.raises(error):
            await operators.reverse(desk.services, "ada", seq, "again", desk.deadline)
    second = await _adjust(desk, "deposit", b"5")
    await _adjust(desk, "withdrawal", b"1")
    with pytest.raises(ValidationError) as refused:
        await operators.reverse(desk.services, "ada", second.seq, "too late", desk.deadline)
    assert refused.value.code == "insufficient_funds"
    books = await check_books(desk.database_url)
    assert [transfer.movement.reverses for transfer in books.transfers[first.user_id]] == [
        None,
        1,
        None,
        None,
    ]


async def test_who_has_nothing_has_nothing_wrong(desk: Any) -> None:
    """A user without a transfer verifies, and has no balances."""
    [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = 'grace'")
    found = await ledger.verify(desk.services, user_id, 0, desk.deadline)
    assert (found.last, found.complete, found.fault) == (0, True, None)
