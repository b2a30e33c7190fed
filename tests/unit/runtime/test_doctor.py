"""What `doctor` finds, on real stores in good and bad shape."""

import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from stakehold.runtime.doctor import Finding, examine
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.support.native import JWT_SECRET
from tests.support.receiver import SECRET
from tests.support.upstash_front import UpstashFront


class ShiftedClock(SystemClock):
    """This machine's clock, set wrong."""

    def __init__(self, shift_ms: int) -> None:
        self._shift_ms = shift_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms


@pytest.fixture
def environ(database_url: str, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": JWT_SECRET}


_OVERDUE = (
    """
    INSERT INTO stakes (user_id, id, amount_minor, plan_id, plan_version, created_at, value_date,
                        maturity_date, origin_date, origin_months, due_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), 5, 'STK-1M', 1, now(), '2027-01-01', '2027-02-01',
            '2027-01-01', 1, now() - $1::INTERVAL)
    """,
    """
    INSERT INTO events (user_id, id, type, payload, due_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), 'stake.created', '{}', now() - $1::INTERVAL)
    """,
)


async def findings(environ: dict[str, str], shift_ms: int = 0) -> list[Finding]:
    clock = ShiftedClock(shift_ms)
    return [finding async for finding in examine(environ, clock=clock, entropy=SystemEntropy())]


async def set_on_database(environ: dict[str, str], setting: str) -> None:
    """Make it the default of this database's sessions."""
    connection = await asyncpg.connect(environ["DATABASE_URL"])
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET {setting}")
    await connection.close()


def bad(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.level != "ok"]


async def test_all_is_well_on_a_machine_in_order(environ: dict[str, str]) -> None:
    """Every subject is looked at, and none complained of."""
    found = await findings(environ)
    assert not bad(found), "\n".join(map(str, found))
    subjects = " ".join(finding.subject for finding in found)
    for subject in ("settings", "database", "isolation", "migrations", "Redis"):
        assert subject in subjects


async def test_a_database_that_was_not_migrated_fails(
    environ: dict[str, str], empty_database_url: str
) -> None:
    """It says which migrations are pending, and what to run."""
    found = bad(await findings({**environ, "DATABASE_URL": empty_database_url}))
    assert [finding.level for finding in found] == ["fail"]
    assert "pending" in found[0].state
    assert "stakehold migrate" in found[0].advice


async def _write_overdue(environ: dict[str, str], minutes: int) -> None:
    """A stake and an event that have been due for so long."""
    connection = await asyncpg.connect(environ["DATABASE_URL"])
    for statement in _OVERDUE:
        await connection.execute(statement, timedelta(minutes=minutes))
    await connection.close()


@pytest.mark.parametrize(
    ("minutes", "webhook", "subjects"),
    [(9, True, []), (11, True, ["settlement", "webhook"]), (11, False, ["settlement"])],
)
async def test_what_nobody_settles_or_tells_is_a_warning(
    environ: dict[str, str], minutes: int, webhook: bool, subjects: list[str]
) -> None:
    """Due for ten minutes or more; of events only where there is somebody to tell."""
    await _write_overdue(environ, minutes)
    if webhook:
        environ |= {"STAKEHOLD_WEBHOOK_URL": "https://receiver.example/", "STAKEHOLD_WEBHOOK_SECRET": SECRET}
    found = bad(await findings(environ))
    assert [(finding.level, finding.subject) for finding in found] == [("warn", each) for each in subjects]
    assert all(f"{minutes} minutes" in finding.state for finding in found)


async def test_another_default_isolation_fails(environ: dict[str, str]) -> None:
    """READ COMMITTED would let conflicts through unseen."""
    await set_on_database(environ, "default_transaction_isolation = 'read committed'")
    found = bad(await findings(environ))
    assert [(finding.level, finding.subject) for finding in found] == [("fail", "isolation")]


@pytest.mark.parametrize(("shift_ms", "level"), [(2_000, "warn"), (60_000, "fail"), (-60_000, "fail")])
async def test_clocks_that_differ_are_named(environ: dict[str, str], shift_ms: int, level: str) -> None:
    """Both stores are compared with this machine; half a second is a warning, five are a failure."""
    found = bad(await findings(environ, shift_ms))
    assert [finding.level for finding in found] == [level, level]
    assert all("NTP" in finding.advice for finding in found)


async def test_an_evicting_redis_is_a_warning(environ: dict[str, str], valkey_command: object) -> None:
    """An evicted log forgets who was charged."""
    assert callable(valkey_command)
    valkey_command("CONFIG SET maxmemory-policy allkeys-lru")
    try:
        found = bad(await findings(environ))
    finally:
        valkey_command("CONFIG SET maxmemory-policy noeviction")
    assert [finding.level for finding in found] == ["warn"]
    assert "noeviction" in found[0].advice


@pytest.fixture
def valkey_command(redis_url: str, valkey: object) -> object:
    from stakehold.runtime.embedded import EmbeddedValkey

    assert isinstance(valkey, EmbeddedValkey)

    def send(command: str) -> None:
        with socket.create_connection(("127.0.0.1", valkey.port), 5) as connection:
            connection.sendall(f"AUTH {valkey.password}\r\n{command}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                answer += connection.recv(256)
        assert answer == b"+OK\r\n+OK\r\n"

    return send


async def test_stores_that_are_away_fail_without_their_passwords(environ: dict[str, str]) -> None:
    """Each is named, with what to check."""
    away = {
        "DATABASE_URL": "postgresql://ada:hunter2@127.0.0.1:1/x",
        "REDIS_URL": "redis://:hunter2@127.0.0.1:1",
    }
    found = bad(await findings({**environ, **away}))
    assert [finding.level for finding in found] == ["fail", "fail"]
    assert "hunter2" not in "\n".join(map(str, found))


async def test_missing_and_weak_settings_are_told(environ: dict[str, str]) -> None:
    """A secret that `serve` refuses fails; one that merely looks typed is a warning."""
    short = bad(await findings({**environ, "JWT_SECRET": "short"}))
    assert ("fail", "settings") in [(finding.level, finding.subject) for finding in short]
    typed = "onlyletterstypedbyhandquicklyandnothingelse"
    assert [finding.level for finding in bad(await findings({**environ, "JWT_SECRET": typed}))] == ["warn"]


@pytest_asyncio.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    front = UpstashFront(redis_url)
    await front.start()
    yield front
    await front.stop()


async def test_upstash_is_examined_over_rest(environ: dict[str, str], front: UpstashFront) -> None:
    """The same questions by the other transport; the token is not shown."""
    rest = {"UPSTASH_REDIS_REST_URL": front.url, "UPSTASH_REDIS_REST_TOKEN": front.token, "REDIS_URL": ""}
    await set_on_database(environ, "statement_timeout = '3s'")
    found = await findings({**environ, **rest})
    assert not bad(found), "\n".join(map(str, found))
    wrong = await findings({**environ, **rest, "UPSTASH_REDIS_REST_TOKEN": "another-token"})
    assert [finding.level for finding in bad(wrong)] == ["fail"]
    assert "another-token" not in "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("timeout", "state"), [("0", "the role has none of its own"), ("1min", "60000 ms of its own")]
)
async def test_statements_that_nothing_ends_are_a_warning_where_it_may_be_a_worker(
    environ: dict[str, str], front: UpstashFront, timeout: str, state: str
) -> None:
    """Behind Hyperdrive no session is told a timeout: the role's own counts. It is looked at with Upstash."""
    await set_on_database(environ, f"statement_timeout = '{timeout}'")
    assert not bad(await findings(environ))
    rest = {"UPSTASH_REDIS_REST_URL": front.url, "UPSTASH_REDIS_REST_TOKEN": front.token, "REDIS_URL": ""}
    (finding,) = bad(await findings({**environ, **rest}))
    assert (finding.level, finding.subject, finding.state) == ("warn", "statement timeout", state)
    assert "statement_timeout: 3s" in finding.advice


async def test_a_redis_without_a_file_or_with_little_room_is_a_warning(
    environ: dict[str, str], valkey_command: object
) -> None:
    """Its restart would forget charges; a full one counts as away."""
    assert callable(valkey_command)
    valkey_command("CONFIG SET appendonly no")
    valkey_command("CONFIG SET maxmemory 1024")
    try:
        found = bad(await findings(environ))
    finally:
        valkey_command("CONFIG SET maxmemory 268435456")
        valkey_command("CONFIG SET appendonly yes")
    assert [finding.level for finding in found] == ["warn", "warn"]
    assert "appendonly" in found[0].advice
    assert "maxmemory" in found[1].advice


async def test_a_redis_without_info_is_asked_no_further(
    environ: dict[str, str], redis_url: str, valkey_command: object
) -> None:
    """A user who may not ask gets one warning, on what must be seen to by hand."""
    assert callable(valkey_command)
    valkey_command("ACL SETUSER narrow on >engines ~* &* +@all -info")
    address = f"redis://narrow:engines@{redis_url.partition('@')[2]}"
    try:
        found = bad(await findings({**environ, "REDIS_URL": address}))
    finally:
        valkey_command("ACL SETUSER narrow off")
    assert [finding.level for finding in found] == ["warn"]
    assert "eviction" in found[0].state


async def test_a_changed_migration_fails(environ: dict[str, str]) -> None:
    """The database has another text of it than this version: that no `migrate` puts right."""
    connection = await asyncpg.connect(environ["DATABASE_URL"])
    await connection.execute("UPDATE schema_migrations SET checksum = 'another' WHERE name = '0001_users'")
    await connection.close()
    found = bad(await findings(environ))
    assert [(finding.level, finding.subject) for finding in found] == [("fail", "migrations")]


async def test_settings_that_cannot_be_read_end_the_examination(environ: dict[str, str]) -> None:
    """There is nothing to look at then; each problem is told."""
    found = await findings({**environ, "DATABASE_URL": "nonsense"})
    assert {(finding.level, finding.subject) for finding in found} == {("fail", "settings")}


async def test_without_any_settings_each_that_is_needed_is_named() -> None:
    """There is no store to look at, and no secret to judge."""
    found = await findings({})
    assert {(finding.level, finding.subject) for finding in found} == {("fail", "settings")}
    told = " ".join(finding.state for finding in found)
    for name in ("JWT_SECRET", "DATABASE_URL", "REDIS_URL"):
        assert name in told


async def test_a_store_of_this_machine_needs_no_tls(environ: dict[str, str]) -> None:
    """By name or by address: what goes over loopback nobody else hears."""
    by_name = {name: value.replace("127.0.0.1", "localhost") for name, value in environ.items()}
    assert by_name != environ
    assert not bad(await findings(by_name))
