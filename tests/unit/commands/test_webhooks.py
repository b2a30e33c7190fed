"""`stakehold webhooks`, on real stores."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from stakehold import cli
from stakehold.commands import webhooks
from stakehold.runtime.settings import SETTINGS

USER = UUID(int=9)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object, database_url: str, redis_url: str) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)


def sql(database_url: str, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    async def run() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(database_url)
        try:
            return [tuple(row.values()) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def identifiers(database_url: str) -> list[UUID]:
    """Five events, a minute apart: delivered, given up, due, due after a failure, not to be sent."""
    ends = (
        ("NULL", "now()", "NULL", 1, None),
        ("NULL", "NULL", "now()", 10, "status 500"),
        ("now()", "NULL", "NULL", 0, None),
        ("now()", "NULL", "NULL", 2, "no answer in time"),
        ("NULL", "NULL", "NULL", 0, None),
    )
    made = [UUID(int=0x0199_0000_0000_7000_8000_0000_0000_0000 + number) for number in range(1, 6)]
    for number, (due, delivered, failed, attempts, error) in enumerate(ends):
        sql(
            database_url,
            f"""INSERT INTO events (user_id, id, type, payload, created_at, attempts, last_error, due_at,
                                    delivered_at, failed_at)
                VALUES ($1, $2, 'stake.created', '{{}}', TIMESTAMPTZ '2026-01-31 09:00:00Z'
                        + $3::INT8 * INTERVAL '1 minute', $4, $5, {due}, {delivered}, {failed})""",
            USER, made[number], number, attempts, error,
        )  # fmt: skip
    return made


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["webhooks", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def due(database_url: str) -> list[object]:
    rows = sql(
        database_url,
        "SELECT id FROM events WHERE due_at IS NOT NULL AND attempts = 0 AND last_error IS NULL ORDER BY id",
    )
    return [identifier for (identifier,) in rows]


def test_the_list_says_what_became_of_each(
    identifiers: list[UUID], capfd: pytest.CaptureFixture[str]
) -> None:
    """Newest first, a line each; with --failed those alone that were given up."""
    assert run("list") == 0
    lines = [line.split("\t") for line in capfd.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [str(each) for each in reversed(identifiers)]
    assert lines[-1][1:4] == ["2026-01-31T09:00:00.000000Z", "stake.created", str(USER)]
    states = [line[4] for line in lines]
    assert states[0] == "not to be sent"
    assert states[1].startswith("due ")
    assert states[1].endswith(", 2 attempts: no answer in time")
    assert states[2].endswith(", 0 attempts")
    assert states[3].startswith("given up ")
    assert states[3].endswith(", 10 attempts: status 500")
    assert states[4].startswith("delivered ")
    assert run("list", "--failed") == 0
    assert [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()] == [str(identifiers[1])]


def test_one_event_is_replayed_by_its_id(
    identifiers: list[UUID], database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever became of it; an id nobody knows is told, and the status is not zero."""
    for each in (0, 1, 4):
        assert run("replay", str(identifiers[each])) == 0
    assert due(database_url) == [identifiers[each] for each in (0, 1, 2, 4)]
    assert run("replay", str(UUID(int=1))) == 1
    assert "there is no event" in capfd.readouterr().err


def test_events_since_a_time_are_replayed(
    identifiers: list[UUID],
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of the time itself included; with --failed those given up alone."""
    assert run("replay", "--failed", "--since", "2026-01-31T09:00:00Z") == 0
    assert due(database_url) == identifiers[1:3]
    assert run("replay", "--since", "2026-01-31T10:03:00+01:00") == 0
    assert due(database_url) == identifiers[1:5]
    assert capfd.readouterr().out.splitlines() == ["1 events are due", "2 events are due"]


def said_to_go_on(capfd: pytest.CaptureFixture[str], count: int) -> list[str]:
    """The arguments of the command that a replay, cut short after `count` events, says to go on with."""
    said = capfd.readouterr()
    assert said.out.splitlines() == [f"{count} events are due"]
    [line] = [line for line in said.err.splitlines() if line.startswith("stakehold: ")]
    return line.removeprefix("stakehold: there may be more, go on with: stakehold webhooks ").split()


def test_a_long_replay_says_how_to_go_on(
    identifiers: list[UUID],
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is bounded, its status is not zero, and what it says continues it without a gap."""
    monkeypatch.setattr(webhooks, "PAGE", 1)
    monkeypatch.setattr(webhooks, "REPLAYED_MAX", 2)
    command = ["replay", "--since", "2026-01-01T00:00:00Z"]
    for minute in range(1, 5):
        assert run(*command) == 1
        command = said_to_go_on(capfd, 2)
        assert command == ["replay", "--since", f"2026-01-31T09:0{minute}:00.000000Z"]
        assert due(database_url) == identifiers[: max(3, minute + 1)]
    assert run(*command) == 0
    assert capfd.readouterr().out.splitlines() == ["1 events are due"]


def test_a_long_replay_of_failures_goes_on_with_failures(
    identifiers: list[UUID],
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was delivered is not sent again by following what it says."""
    sql(database_url, "UPDATE events SET due_at = NULL, failed_at = now() WHERE id <> $1", identifiers[0])
    monkeypatch.setattr(webhooks, "PAGE", 1)
    monkeypatch.setattr(webhooks, "REPLAYED_MAX", 2)
    assert run("replay", "--failed", "--since", "2026-01-31T09:00:00Z") == 1
    command = said_to_go_on(capfd, 2)
    assert command == ["replay", "--since", "2026-01-31T09:02:00.000000Z", "--failed"]
    assert due(database_url) == identifiers[1:3]
    assert run(*command) == 1
    assert run(*said_to_go_on(capfd, 2)) == 0
    assert due(database_url) == identifiers[1:]


def test_a_replay_without_time_says_how_to_begin(
    identifiers: list[UUID],
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command has so much time; one that used it up before the first page has done nothing, and says so."""
    monkeypatch.setattr(webhooks, "STATEMENT_TIMEOUT_S", 3600.0)
    before = due(database_url)
    assert run("replay", "--failed", "--since", "2026-01-31T10:00:00+01:00") == 1
    assert said_to_go_on(capfd, 0) == ["replay", "--since", "2026-01-31T09:00:00.000000Z", "--failed"]
    assert due(database_url) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["replay"],
        ["replay", "one"],
        ["replay", "--since", "yesterday"],
        ["replay", "--since", "2026-01-31T09:00:00"],
        ["replay", str(UUID(int=1)), "--since", "2026-01-31T09:00:00Z"],
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """With a line that says what is meant: a time has a zone, and one of the two is given."""
    assert run(*arguments) == 2
    assert "webhooks" in capfd.readouterr().err
