import time
from typing import Any

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
