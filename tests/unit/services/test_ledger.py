"""The ledger of a user, on real stores: what was altered behind the service's back is found, and named."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import balances
from stakehold.domain.errors import ConflictError, NotFoundError, ValidationError
from stakehold.domain.timing import STATEMENT_TIMEOUT_S
from stakehold.services import ledger, operators, settlement
from stakehold.services.ledger import Fault
from stakehold.services.operators import Adjustment, Direction
from stakehold.services.settlement import Aside
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


async def test_who_writes_meanwhile_is_not_done(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Balances of a longer chain cannot be compared: it goes on from there, and only then is it complete."""
    user_id = await _made(desk)
    read_balances = balances.read_balances

    async def meanwhile(connection: Any, user_id: UUID) -> Any:
        monkeypatch.undo()
        await _adjust(desk, "deposit", b"1")
        return await read_balances(connection, user_id)

    monkeypatch.setattr(balances, "read_balances", meanwhile)
    first = await ledger.verify(desk.services, user_id, 0, desk.deadline)
    assert (first.last, first.complete, first.fault) == (TRANSFERS, False, None)
    rest = await ledger.verify(desk.services, user_id, first.last, desk.deadline)
    assert (rest.last, rest.complete, rest.fault) == (TRANSFERS + 1, True, None)


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


async def test_what_lies_beyond_the_end_cannot_be_verified(desk: Any) -> None:
    """It is refused, and the ledger is not accused."""
    user_id = await _made(desk)
    assert await _fault(desk, user_id, TRANSFERS) is None
    with pytest.raises(ValidationError) as refused:
        await _fault(desk, user_id, TRANSFERS + 1)
    assert [field.pointer for field in refused.value.fields] == ["?after"]


# A stake each, made and paid for by a transfer; hashes are not looked at here.
_MANY = (
    """
    INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version, created_at, value_date,
                        maturity_date, origin_date, origin_months, due_at)
    SELECT $1, ('00000000-0000-7000-8000-' || lpad(n::TEXT, 12, '0'))::UUID, 5, 'STK-1M', 1, now(),
           '2027-01-01', '2027-02-01', '2027-01-01', 1, TIMESTAMPTZ '2027-02-01 00:00:00+00'
      FROM generate_series(1, $2::INT8) n
    """,
    """
    INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor,
                           stake_id, actor, at_ms, hash)
    SELECT s.user_id, row_number() OVER (ORDER BY s.id), s.id, 'stake', 'custody', 'stake:' || s.id, 'STK',
           5, s.id, 'user', 2000000000000, 'x'
      FROM stakes s WHERE s.user_id = $1 AND $2::INT8 > 0
    """,
)


# Every other one of them is paid out, without a reward.
_HALF_ENDED = (
    """
    INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor,
                           stake_id, actor, at_ms, hash)
    SELECT user_id, seq + $2::INT8, id, 'principal', credit_account, 'available', asset, amount_minor,
           stake_id, 'settlement', at_ms, hash
      FROM transfers WHERE user_id = $1 AND seq % 2 = 1
    """,
    """
    UPDATE stakes SET state = 'paid_out', due_at = NULL, reward_minor = 0, forfeited_minor = 0,
                      ended_at = now()
     WHERE user_id = $1 AND $2::INT8 > 0 AND EXISTS (
       SELECT 1 FROM transfers t WHERE t.user_id = $1 AND t.kind = 'principal' AND t.stake_id = stakes.id)
    """,
)
_BOOKS = (
    balances.find_wrong_account,
    balances.find_wrong_reward,
    balances.find_wrong_life,
    balances.find_wrong_asset,
)


@pytest.mark.parametrize("known", [False, True], ids=["no statistics", "statistics"])
async def test_many_stakes_are_compared_in_little_time(desk: Any, known: bool) -> None:
    """Of 50,000 within the time of one statement: each side is read once, not once for each stake.

    Also by a plan that the server chose for whoever has few, which it does after a statement's fifth time.
    """
    [(many,), (few,)] = await desk.sql("SELECT id FROM users ORDER BY username")
    for user_id, stakes in ((few, 10), (many, 50_000)):
        for statement in (*_MANY, *_HALF_ENDED):
            await desk.sql(statement, user_id, stakes)
    if known:
        await desk.sql("ANALYZE")
    connection = await asyncpg.connect(desk.database_url)
    try:
        await connection.execute(f"SET statement_timeout = {int(STATEMENT_TIMEOUT_S * 1000)}")
        for find in _BOOKS:
            for user_id in (*[few] * 6, many):
                assert await find(connection, user_id) is None
        await desk.sql(LEFT_TO_THE_OWNER)
        await desk.sql("UPDATE transfers SET amount_minor = 4 WHERE user_id = $1 AND seq = 40000", many)
        wrong = "stake:00000000-0000-7000-8000-000000040000"
        assert await balances.find_wrong_account(connection, many) == wrong
    finally:
        await connection.close()


_COPIED = """
INSERT INTO transfers (user_id, seq, id, kind, debit_account, credit_account, asset, amount_minor, stake_id,
                       actor, at_ms, hash)
SELECT t.user_id, 4, t.id, {} 5, {}, t.actor, t.at_ms, t.hash FROM transfers t WHERE t.seq = 2
"""


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("DELETE FROM stakes WHERE id = '00000000-0000-7000-8000-000000000002'", ("stake:", None)),
        ("DELETE FROM transfers WHERE seq = 2", ("stake:", None)),
        ("UPDATE transfers SET asset = 'WEI' WHERE seq = 2", ("stake:", None)),
        ("DELETE FROM plans WHERE id = 'STK-1M'", ("the first", None)),
        (_COPIED.format("'principal', t.credit_account, 'available', t.asset,", "t.stake_id"),
         ("stake:", None)),
        (_COPIED.format("'reward', 'rewards', 'available', t.asset,", "t.stake_id"), (None, "")),
        (_COPIED.format("'reward', 'rewards', 'available', t.asset,", "NULL::UUID"), (None, "nothing")),
        (_COPIED.format("'reward', 'rewards', 'available', t.asset,", "$1::UUID"), (None, "the user's")),
    ],
)  # fmt: skip
async def test_each_side_is_compared_with_the_other(
    desk: Any, change: str, wrong: tuple[str | None, str | None]
) -> None:
    """Stakes without transfers, transfers without stakes, another asset, a reward for nothing."""
    [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = 'ada'")
    for make in _MANY:
        await desk.sql(make, user_id, 3)
    for table in ("stakes", "transfers", "plans"):
        await desk.sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    await desk.sql(change, *([user_id] if "$1" in change else []))
    account = await desk.services.read(lambda c: balances.find_wrong_account(c, user_id), desk.deadline)
    reward = await desk.services.read(lambda c: balances.find_wrong_reward(c, user_id), desk.deadline)
    second = "00000000-0000-7000-8000-000000000002"
    named = {"stake:": f"stake:{second}", "": second, "the user's": str(user_id), "nothing": "nothing"}
    named["the first"] = f"stake:{second[:-1]}1"
    assert (account, reward) == tuple(None if each is None else named[each] for each in wrong)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE plans SET rate_ppm = 990000", "terms of a plan never change"),
        ("UPDATE plans SET early_exit = 'forfeit_part', early_exit_ppm = 1", "terms of a plan never change"),
        ("UPDATE plans SET capacity_minor = 1", "terms of a plan never change"),
        ("UPDATE stakes SET amount_minor = 6", "terms of a stake never change"),
        ("UPDATE stakes SET created_at = created_at + INTERVAL '1 day'", "made and left never changes"),
        ("UPDATE stakes SET renewed_from = id", "made and left never changes"),
        ("DELETE FROM stakes", "stake is never deleted"),
        ("DELETE FROM plans", "plan that was staked in is never deleted"),
        ("INSERT INTO transfers SELECT user_id, 0, id, kind, debit_account, credit_account, asset,"
         " amount_minor, stake_id, reverses, actor, at_ms, reason, hash FROM transfers",
         "transfers_count_from_one"),
    ],
)  # fmt: skip
async def test_the_database_lets_nobody_change_what_was_agreed(desk: Any, statement: str, words: str) -> None:
    """Terms of plans and stakes stay, stakes are kept, and transfers count from one."""
    [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = 'ada'")
    for make in _MANY:
        await desk.sql(make, user_id, 1)
    with pytest.raises(asyncpg.PostgresError, match=words):
        await desk.sql(statement)
    leave = "UPDATE stakes SET exited_on = value_date + $1::INT4"
    await desk.sql(leave, 1)
    with pytest.raises(asyncpg.PostgresError, match="made and left never changes"):
        await desk.sql(leave, 2)
    # When its sale ends is no term, and nobody was promised what nobody has staked in.
    await desk.sql("UPDATE plans SET on_sale_until = now()")
    await desk.sql("DELETE FROM plans WHERE id <> 'STK-1M'")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE stakes SET state = 'unstaking', reward_minor = 99, forfeited_minor = 0,"
         " exited_on = value_date", "has another outcome than its terms"),
        ("UPDATE stakes SET state = 'unstaking', reward_minor = 0, forfeited_minor = 0, exited_on = NULL",
         "could not have been left then"),
        ("UPDATE stakes SET due_at = due_at - INTERVAL '1 day'", "is due at another time than its maturity"),
        ("UPDATE stakes SET state = 'unstaking', reward_minor = 0, forfeited_minor = 0,"
         " exited_on = value_date, due_at = due_at + INTERVAL '1 day'", "is due after its maturity"),
        ("UPDATE stakes SET state = 'paid_out', due_at = NULL, ended_at = now(), reward_minor = 1,"
         " forfeited_minor = 0", "has another outcome than its terms"),
        ("UPDATE stakes SET state = 'paid_out', due_at = NULL, ended_at = TIMESTAMPTZ '2027-01-31Z',"
         " reward_minor = 0, forfeited_minor = 0", "ended before it could"),
        ("UPDATE stakes SET state = 'unstaking', reward_minor = 0, forfeited_minor = 0,"
         " exited_on = '2027-01-20', due_at = TIMESTAMPTZ '2027-01-19Z'", "is due before it can be"),
        ("UPDATE stakes SET state = 'unstaking', reward_minor = 0, forfeited_minor = 0,"
         " exited_on = '2027-01-01', due_at = TIMESTAMPTZ '2027-01-03Z'", "is due after its cooldown"),
        ("UPDATE stakes SET state = 'cancelled', due_at = NULL, ended_at = now(), reward_minor = 0,"
         " forfeited_minor = 1, exited_on = value_date", "has another outcome than its terms"),
        ("UPDATE stakes SET value_date = value_date - 365", "earns on other days than its period's"),
        ("UPDATE stakes SET maturity_date = maturity_date + 1, due_at = due_at + INTERVAL '1 day'",
         "earns on other days than its period's"),
    ],
)  # fmt: skip
async def test_a_stake_that_is_not_as_its_terms_say_is_named(desk: Any, change: str, what: str) -> None:
    """What is paid, and when, is computed again."""
    [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = 'ada'")
    for make in _MANY:
        await desk.sql(make, user_id, 3)
    assert await ledger.verify_stakes(desk.services, user_id, lambda: desk.deadline) is None
    last = UUID("00000000-0000-7000-8000-000000000002")
    await desk.sql("ALTER TABLE stakes DISABLE TRIGGER stakes_terms_stay")
    await desk.sql(change + " WHERE id = $1", last)
    assert await ledger.verify_stakes(desk.services, user_id, lambda: desk.deadline) == (last, what)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("state = 'unstaking', reward_minor = 99, forfeited_minor = 0, exited_on = value_date,"
         " due_at = TIMESTAMPTZ '2026-01-01Z'", "has another outcome than its terms"),
        ("due_at = TIMESTAMPTZ '2026-01-01Z'", "is due at another time than its maturity"),
        ("state = 'unstaking', reward_minor = 0, forfeited_minor = 0, exited_on = '2027-01-20',"
         " due_at = TIMESTAMPTZ '2026-01-01Z'", "is due before it can be"),
    ],
)  # fmt: skip
async def test_what_was_written_into_a_stake_is_not_paid(desk: Any, change: str, what: str) -> None:
    """What its terms do not give, or not yet, keeps a stake from being settled, and it is named."""
    [(user_id,)] = await desk.sql("SELECT id FROM users WHERE username = 'ada'")
    for make in _MANY:
        await desk.sql(make, user_id, 1)
    await desk.sql("UPDATE stakes SET " + change)
    await desk.sql("INSERT INTO ledger_heads VALUES ($1, 1, 1, 'x')", user_id)
    aside: Aside = {}
    assert await settlement.settle_due(desk.services, desk.deadline, aside=aside) == 0
    [(_, stake_id)] = aside
    assert what in str(aside[UUID(str(user_id)), stake_id])
