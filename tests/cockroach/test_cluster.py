"""On a real CockroachDB alone: that it is one, and that the retries it injects are survived.

`make test-cockroach` runs these and the tests of tests/unit/database on the cluster of COCKROACH_URL.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from stakehold.database import stake_creation, stakes, transactions, users
from stakehold.database.health import server_facts
from stakehold.database.pool import Pool
from stakehold.database.port import Connection
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from tests.support.cockroach import COCKROACH_URL
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy

pytestmark = pytest.mark.skipif(
    not COCKROACH_URL, reason="needs a real CockroachDB: COCKROACH_URL names none (make test-cockroach)"
)


async def test_the_cluster_is_cockroachdb_and_serializable(
    database_url: str, clock: ManualClock, entropy: SeededEntropy, counters: CountingCounters
) -> None:
    """Otherwise the run would show nothing that the default one does not."""
    pool = Pool(database_url, size=1, clock=clock, entropy=entropy, counters=counters)
    async with pool.connection(Deadline.after(clock, 8)) as connection:
        facts = await server_facts(connection)
    await pool.close()
    assert "CockroachDB" in facts.version
    assert (facts.default_isolation, facts.pending_migrations) == ("serializable", ())


async def test_injected_retries_make_each_stake_once(
    database_url: str, clock: ManualClock, entropy: SeededEntropy, counters: CountingCounters
) -> None:
    """The cluster refuses every transaction a few times with 40001; each is run again, and made once."""
    injecting = f"{database_url}{'&' if '?' in database_url else '?'}inject_retry_errors_enabled=true"
    pool = Pool(injecting, size=4, clock=clock, entropy=entropy, counters=counters)
    deadline = Deadline.after(clock, 8)
    user_id, amounts = new_id(clock, entropy), range(1_000_000, 1_000_010)

    async def run(work: Callable[[Connection], Awaitable[object]]) -> object:
        return await transactions.run(
            pool, work, deadline=deadline, counters=counters, entropy=entropy, idempotent=True
        )

    await run(lambda connection: users.insert_user(connection, user_id, "ada", "hash"))
    for amount_minor in amounts:
        new = stake_creation.NewStake(
            user_id,
            new_id(clock, entropy),
            UUID(int=1),
            1,
            amount_minor,
            stake_creation.PlanChoice("STK", 8, 12),
        )

        async def make(connection: Connection, new: stake_creation.NewStake = new) -> stake_creation.Creation:
            async with connection.transaction():
                return await stake_creation.create_stake(connection, new)

        assert await run(make) == stake_creation.Creation("created", new.id, 1)
    async with pool.connection(deadline) as connection:
        found = await stakes.list_page(connection, user_id, 0, 100)
    await pool.close()
    assert sorted(stake.amount_minor for stake in found) == list(amounts)
    assert counters.counts["sql_conflicts"] >= len(amounts)
