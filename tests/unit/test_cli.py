"""The command line: how it ends."""

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from stakehold import cli
from stakehold.runtime.settings import SETTINGS
from tests.support.native import running_service
from tests.support.service import assert_problem


def ended_by(error: type[BaseException]) -> Callable[[str], str]:
    def ask(_: str) -> str:
        raise error

    return ask


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_who_gives_no_password_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-D and Ctrl-C at the terminal are no faults of the program."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", ended_by(error))
    with pytest.raises(SystemExit) as ended:
        cli.main(["users", "add", "alice"])
    assert ended.value.code == 130


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings, and without a `dev` that runs."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    return monkeypatch


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "postgresql://ada@127.0.0.1:1/x"}, "REDIS_URL or UPSTASH_REDIS_REST_URL"),
        ({"DATABASE_URL": "nonsense"}, "The settings are not right:"),
    ],
)
def test_a_command_names_the_setting_it_misses(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], settings: dict[str, str], said: str
) -> None:
    """No traceback, and a status that is not zero."""
    for name, value in settings.items():
        bare.setenv(name, value)
    assert status_of("users", "list") == 1
    assert said in capfd.readouterr().err


def test_a_database_that_is_away_is_told_in_a_line(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`migrate` cannot reach it: one line, no traceback, no password."""
    bare.setenv("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:1/x")
    assert status_of("migrate") == 1
    said = capfd.readouterr().err
    assert said.startswith("stakehold: ")
    assert len(said.splitlines()) == 1
    assert "hunter2" not in said


def test_two_different_passwords_make_no_user(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A slip of the finger at the terminal is noticed before anything is stored."""
    typed = iter(["a lovelace of engines", "a lovelace of engine"])
    bare.setattr("sys.stdin.isatty", lambda: True, raising=False)
    bare.setattr("getpass.getpass", lambda _: next(typed))
    assert status_of("users", "add", "ada") == 1
    assert "differ" in capfd.readouterr().err


def test_a_password_of_other_bytes_than_text_is_told(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What comes through a pipe need not be UTF-8: a line says so, no traceback."""
    bare.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"engines\xff\n"), encoding="utf-8"))
    assert status_of("users", "add", "ada") == 1
    assert capfd.readouterr().err == "stakehold: The password is not valid Unicode.\n"


def test_a_password_typed_twice_makes_a_user(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> None:
    """The name and the id are said, the password is not."""
    bare.setenv("DATABASE_URL", database_url)
    bare.setenv("REDIS_URL", redis_url)
    bare.setattr("sys.stdin.isatty", lambda: True, raising=False)
    bare.setattr("getpass.getpass", lambda _: "a lovelace of engines")
    assert status_of("users", "add", "Ada") == 0
    said = capfd.readouterr()
    assert said.out.startswith("added ada ")
    assert "engines" not in said.out + said.err


def test_the_list_of_users_is_whole_however_long(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> None:
    """It is read 500 at a time; nobody is left out or named twice, and no signing secret is wanted."""
    asyncio.run(_add_users(database_url, 501))
    bare.setenv("DATABASE_URL", database_url)
    bare.setenv("REDIS_URL", redis_url)
    assert "JWT_SECRET" not in os.environ
    assert status_of("users", "list") == 0
    names = [line.split("\t")[3] for line in capfd.readouterr().out.splitlines()]
    assert names == [f"user{number:04}" for number in range(1, 502)]


async def _add_users(database_url: str, count: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO users (id, username, password_hash, status, epoch) "
            "SELECT ('0190a000-0000-7000-8000-' || lpad(n::TEXT, 12, '0'))::UUID, "
            "'user' || lpad(n::TEXT, 4, '0'), 'x', 'active', 0 FROM generate_series(1, $1) n",
            count,
        )
    finally:
        await connection.close()


async def test_operators_are_made_and_unmade(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> None:
    """`grant` and `revoke` say what is so now, the list shows it, and there is no other scope to have."""
    bare.setenv("DATABASE_URL", database_url)
    bare.setenv("REDIS_URL", redis_url)
    async with running_service(database_url, redis_url) as service:
        await service.enrol("ada")
        for action, said, shown in (("grant", "ada has admin", "admin"), ("revoke", "ada has no admin", "-")):
            assert await asyncio.to_thread(status_of, "users", action, "ada", "admin") == 0
            assert capfd.readouterr().out.splitlines() == [said]
            assert await asyncio.to_thread(status_of, "users", "list") == 0
            [line] = capfd.readouterr().out.splitlines()
            assert line.split("\t")[1:] == ["active", line.split("\t")[2], "ada", shown]
        assert await asyncio.to_thread(status_of, "users", "grant", "nobody", "admin") == 1
        assert await asyncio.to_thread(status_of, "users", "grant", "ada", "root") == 2


async def test_an_enabled_user_is_let_in_again(
    bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> None:
    """Disabling refuses the right password, enabling takes it; the session from before stays ended."""
    bare.setenv("DATABASE_URL", database_url)
    bare.setenv("REDIS_URL", redis_url)
    async with running_service(database_url, redis_url) as service:
        ada = await service.enrol("ada")
        assert await asyncio.to_thread(status_of, "users", "disable", "ada") == 0
        credentials = {"username": ada.username, "password": ada.password}
        assert_problem(await service.client.post("/api/auth", json=credentials), 401, "invalid_credentials")
        assert await asyncio.to_thread(status_of, "users", "enable", "ada") == 0
        assert capfd.readouterr().out.splitlines() == ["ada is disabled", "ada is active"]
        assert (await ada.get("/api/me")).status_code == 401
        again = await service.sign_in(ada.username, ada.password)
        assert (await again.get("/api/me")).status_code == 200
