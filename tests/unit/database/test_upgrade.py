"""A database from before there was a ledger, brought to this version with its stakes in it."""

import random
from uuid import UUID

import asyncpg
import pytest

from stakehold.database import ledger, stakes
from stakehold.database import migrate as module
from stakehold.database.migrate import load_migrations, migrate
from stakehold.domain.calendar import add_months
from stakehold.domain.ids import created_at_ms, new_id
from stakehold.domain.ledger import CUSTODY, Movement, hash_of, stake_account
from stakehold.domain.timestamps import midnight_ms, utc_date
from tests.support.fakes import ManualClock, SeededEntropy

LAST_WITHOUT_LEDGER = "0008_idempotency"
_OLD_STAKE = (
    "INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version) VALUES ($1, $2, $3, $4, 1)"
)


async def _migrate(url: str) -> list[str]:
    return await migrate(url, clock=ManualClock(), entropy=SeededEntropy(1))


async def test_what_was_staked_before_is_in_the_ledger_afterwards(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, entropy: SeededEntropy
) -> None:
    """Each old stake keeps its dates, is due at its maturity, and is a link of its owner's chain."""
    clock, chance = ManualClock(1_830_000_000_000), random.Random(entropy.random_bytes(8))
    old = [migration for migration in load_migrations() if migration.name <= LAST_WITHOUT_LEDGER]
    with monkeypatch.context() as before:
        before.setattr(module, "load_migrations", lambda: old)
        assert (await _migrate(empty_database_url))[-1] == LAST_WITHOUT_LEDGER
    people = [new_id(clock, entropy) for _ in range(3)]
    made: dict[UUID, list[tuple[UUID, int, int]]] = {person: [] for person in people}
    connection = await asyncpg.connect(empty_database_url)
    try:
        for _ in range(60):
            clock.advance(chance.random() * 5 * 86_400)
            person, months = chance.choice(people), chance.choice([1, 3, 6, 12])
            identifier, amount_minor = new_id(clock, entropy), chance.randrange(1, 10**38)
            await connection.execute(_OLD_STAKE, person, identifier, amount_minor, f"STK-{months}M")
            made[person].append((identifier, amount_minor, months))
        await _migrate(empty_database_url)
        for person, theirs in made.items():
            transfers = await ledger.list_after(connection, person, 0, 1000)
            previous = ""
            for transfer, (identifier, amount_minor, _) in zip(transfers, theirs, strict=True):
                assert transfer.movement == Movement(
                    "stake", CUSTODY, stake_account(identifier), "STK", amount_minor, identifier
                )
                assert transfer.hash == hash_of(transfer, previous)
                previous = transfer.hash
            head = await ledger.get_head(connection, person)
            assert (head.seq, head.hash) == (len(theirs), previous)
            found = await stakes.list_page(connection, person, 0, 1000)
            for stake, (identifier, amount_minor, months) in zip(found, theirs[::-1], strict=True):
                day = utc_date(created_at_ms(identifier))
                assert (stake.id, stake.amount_minor, stake.state) == (identifier, amount_minor, "active")
                assert stake.created_at_ms == created_at_ms(identifier)
                assert (stake.value_date, stake.origin_date, stake.origin_months) == (day, day, months)
                assert stake.maturity_date == add_months(day, months)
                assert stake.due_at_ms == midnight_ms(stake.maturity_date)
        rows = await connection.fetch("SELECT user_id, available_minor, staked_minor FROM balances")
        assert {row["user_id"]: (row["available_minor"], row["staked_minor"]) for row in rows} == {
            person: (0, sum(amount_minor for _, amount_minor, _ in theirs)) for person, theirs in made.items()
        }
    finally:
        await connection.close()
