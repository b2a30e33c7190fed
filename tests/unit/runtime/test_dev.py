"""What keeps `dev` from starting, and what it says of it."""

import asyncio
import fcntl
import os
from pathlib import Path

import asyncpg
import pytest

from stakehold.runtime.dev import DevError, run_dev, running_dev
from tests.e2e.processes import free_port


@pytest.fixture
def environ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str
) -> dict[str, str]:
    """Stores that run already, so that `dev` has none of its own to start."""
    monkeypatch.chdir(tmp_path)
    return {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "STAKEHOLD_DATA": str(tmp_path / "data"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }


def assert_nothing_is_left(environ: dict[str, str]) -> None:
    """No file that would have the command line look for this `dev`, and no lock that stops the next."""
    assert not (Path(environ["STAKEHOLD_DATA"]) / "run.json").exists()


def test_a_given_database_that_does_not_answer_is_told(environ: dict[str, str]) -> None:
    """By the setting's name and the kind of failure, without the address and its password."""
    away = f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/x"
    with pytest.raises(DevError, match="DATABASE_URL does not answer") as refused:
        run_dev({**environ, "DATABASE_URL": away})
    assert "hunter2" not in str(refused.value)
    assert_nothing_is_left(environ)


def test_a_database_that_refuses_the_demo_user_is_told(environ: dict[str, str]) -> None:
    """A full disk, for example, shows at the first row that is written."""
    asyncio.run(_refuse_rows(environ["DATABASE_URL"]))
    with pytest.raises(DevError, match="demo user could not be made"):
        run_dev(environ)
    assert_nothing_is_left(environ)


async def _refuse_rows(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
        )
        await connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    finally:
        await connection.close()


def test_what_a_killed_one_left_is_not_followed(tmp_path: Path) -> None:
    """Its lock is free, so its stores are gone and their ports may be anybody's."""
    assert running_dev(tmp_path) == {}
    (tmp_path / "lock").touch()
    assert running_dev(tmp_path) == {}
    (tmp_path / "run.json").write_text('{"pid": 1, "environment": {}}')
    (tmp_path / "run.json").chmod(0o600)
    assert running_dev(tmp_path) == {}
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running_dev(tmp_path)["pid"] == 1
