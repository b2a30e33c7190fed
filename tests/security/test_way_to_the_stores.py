"""What `doctor` says of the way to the stores."""

import pytest

from stakehold.runtime.doctor import Finding, examine
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.support.native import JWT_SECRET


@pytest.fixture
def environ(database_url: str, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": JWT_SECRET}


async def complaints(environ: dict[str, str]) -> list[Finding]:
    found = [finding async for finding in examine(environ, clock=SystemClock(), entropy=SystemEntropy())]
    return [finding for finding in found if finding.level != "ok"]


async def test_on_this_machine_nothing_is_said(environ: dict[str, str]) -> None:
    """Loopback needs no TLS."""
    assert await complaints(environ) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DATABASE_URL": "postgresql://ada:hunter2@db.invalid/x"}, "sslmode=verify-full"),
        ({"DATABASE_URL": "postgresql://ada:hunter2@db.invalid/x?sslmode=disable"}, "sslmode=verify-full"),
        ({"DATABASE_URL": "postgresql://ada:hunter2@db.invalid/x?sslmode=require"}, "sslmode=verify-full"),
        ({"REDIS_URL": "redis://:hunter2@redis.invalid"}, "rediss://"),
        (
            {
                "REDIS_URL": "",
                "UPSTASH_REDIS_REST_URL": "http://rest.invalid",
                "UPSTASH_REDIS_REST_TOKEN": "hunter2",
            },
            "https://",
        ),
    ],
)
async def test_a_store_elsewhere_without_checked_tls_is_a_warning(
    environ: dict[str, str], change: dict[str, str], said: str
) -> None:
    """Who is on the way could read and change everything. It is said first, without the password."""
    found = await complaints({**environ, **change})
    # Where Upstash is named, the role's own timeout is looked at as well: these have none.
    found = [finding for finding in found if finding.subject != "statement timeout"]
    assert [finding.level for finding in found] == ["warn", "fail"], found
    assert said in found[0].advice
    assert "hunter2" not in "\n".join(map(str, found))


@pytest.mark.parametrize(
    "change",
    [
        {"DATABASE_URL": "postgresql://ada:hunter2@db.invalid/x?sslmode=verify-full"},
        {"DATABASE_URL": "postgresql://ada:hunter2@db.invalid/x", "PGSSLMODE": "verify-full"},
        {"REDIS_URL": "rediss://:hunter2@redis.invalid"},
    ],
)
async def test_a_store_elsewhere_with_checked_tls_is_well(
    environ: dict[str, str], change: dict[str, str]
) -> None:
    """Only that these do not answer is complained of."""
    assert [finding.level for finding in await complaints({**environ, **change})] == ["fail"]
