"""`stakehold dev` among other users of the machine and the network: what it trusts, and what it warns of."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stakehold.runtime.dev import exposure, running_dev, with_running_dev

PLANTED = {"environment": {"DATABASE_URL": "postgresql://attacker@127.0.0.1/x"}, "pid": 1, "address": "x"}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory in which a `dev` seems to run."""
    data = tmp_path / ".stakehold"
    data.mkdir(mode=0o700)
    with (data / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield data


def plant(data: Path, mode: int = 0o600, owner: int | None = None) -> None:
    path = data / "run.json"
    path.write_text(json.dumps(PLANTED))
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, -1)


def test_our_own_run_file_is_followed(data: Path) -> None:
    """The command line finds the stores of the `dev` that runs here."""
    plant(data)
    assert running_dev(data) == PLANTED
    found = with_running_dev({"STAKEHOLD_DATA": str(data), "PORT": "1"})
    assert found["DATABASE_URL"] == PLANTED["environment"]["DATABASE_URL"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_run_file_that_others_may_write_is_not(data: Path, mode: int) -> None:
    """Else whoever can write there has an operator's new passwords sent to a database of their own."""
    plant(data, mode)
    assert running_dev(data) == {}
    assert "DATABASE_URL" not in with_running_dev({"STAKEHOLD_DATA": str(data)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_run_file_of_another_user_is_not(data: Path) -> None:
    """A command run in somebody else's directory, by root above all, does not do as they say."""
    plant(data, owner=65534)
    assert running_dev(data) == {}


def test_a_run_file_that_is_a_link_is_not(data: Path, tmp_path: Path) -> None:
    """Nor is a file of ours that somebody else chose."""
    plant(tmp_path)
    (data / "run.json").symlink_to(tmp_path / "run.json")
    assert running_dev(data) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_on_loopback_nothing_is_said(host: str) -> None:
    """Nobody else can come."""
    assert exposure(host) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1"])
def test_on_the_network_the_demo_user_is_warned_of(host: str) -> None:
    """Everybody knows its password."""
    assert "testuser" in exposure(host)
    assert "stakehold serve" in exposure(host)
