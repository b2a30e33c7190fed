import time
from typing import Any

import pytest

from stakehold.database import health


async def test_facts_of_a_migrated_database(run: Any) -> None:
    """A migrated database is serializable by default, lacks nothing, and tells the time."""
    facts = await run(health.server_facts)
    assert facts.version.startswith("PostgreSQL 18")
    assert facts.default_isolation == "serializable"
    assert abs(facts.now_ms - time.time() * 1000) < 60_000
    assert facts.pending_migrations == ()


async def test_missing_migrations_are_named(run: Any) -> None:
    """What a database lacks is listed by name."""
    await run(lambda c: c.execute("DELETE FROM schema_migrations WHERE name = '0007_stakes'"))
    assert (await run(health.server_facts)).pending_migrations == ("0007_stakes",)


@pytest.mark.parametrize(
    ("shown", "milliseconds"),
    [
        ("0", 0),
        ("3s", 3000),
        ("500ms", 500),
        ("1min", 60_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("3000", 3000),
    ],
)
async def test_a_timeout_is_read_in_any_unit(run: Any, shown: str, milliseconds: int) -> None:
    """PostgreSQL shows the largest unit that fits; CockroachDB a number of milliseconds."""

    async def facts(connection: Any) -> health.ServerFacts:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{shown}'")
            return await health.server_facts(connection)

    assert (await run(facts)).statement_timeout_ms == milliseconds
