"""`stakehold dev` as a process: one of it, whole or gone."""

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import Program, children_of, free_port, program, runs, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PORT": str(free_port()), "STAKEHOLD_DATA": str(tmp_path / "data")}


@pytest.fixture
def dev(environ: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    with program("dev", environ, tmp_path) as started:
        started.wait_until_ready()
        yield started


def sign_in(address: str) -> str:
    answer = httpx.post(
        f"{address}/api/auth", json={"username": "testuser", "password": "password123"}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def stakes(address: str) -> list[str]:
    headers = {"Authorization": f"Bearer {sign_in(address)}"}
    answer = httpx.get(f"{address}/api/stake", headers=headers, timeout=10)
    return [item["id"] for item in answer.json()["items"]]


def run_file(environ: dict[str, str]) -> dict[str, object]:
    said: dict[str, object] = json.loads((Path(environ["STAKEHOLD_DATA"]) / "run.json").read_text())
    return said


def test_a_second_one_on_the_same_data_says_so_and_leaves_the_first_unharmed(
    dev: Program, environ: dict[str, str], tmp_path: Path
) -> None:
    """It names the process and the address, and ends with a status that is not zero."""
    children = children_of(dev.process.pid)
    with program("dev", {**environ, "PORT": str(free_port())}, tmp_path) as second:
        assert second.process.wait(20) == 1
        assert f"process {dev.process.pid}, {dev.address}" in second.log
    assert children_of(dev.process.pid) == children
    sign_in(dev.address)


def test_a_busy_port_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    """Nothing is started when somebody else has the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with program("dev", {**environ, "PORT": str(port)}, tmp_path) as started:
            assert started.process.wait(20) == 1
            assert f"Port {port}" in started.log
    assert not (tmp_path / "data" / "postgres").exists()


def test_kill_9_leaves_nothing_running_and_the_next_start_has_the_data(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """An acknowledged stake survives, the stale lock is recovered, and no process outlives its supervisor."""
    with program("dev", environ, tmp_path) as first:
        first.wait_until_ready()
        headers = {"Authorization": f"Bearer {sign_in(first.address)}"}
        body = {"amount": "1", "period": 1}
        made = httpx.post(f"{first.address}/api/stake", json=body, headers=headers, timeout=10)
        assert made.status_code == 201
        children = children_of(first.process.pid)
        assert len(children) == 3
        first.end(signal.SIGKILL)
        wait_until(lambda: not any(runs(pid) for pid in children), "the children of the killed one end")
    with program("dev", environ, tmp_path) as second:
        second.wait_until_ready()
        assert stakes(second.address) == [made.json()["stakeId"]]
        # The token is as good as before: the secret is kept.
        assert httpx.get(f"{second.address}/api/me", headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_server_then_the_stores(
    environ: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """Nothing is left running, and PostgreSQL was shut down properly."""
    with program("dev", environ, tmp_path) as started:
        started.wait_until_ready()
        children = children_of(started.process.pid)
        assert started.end(number) == 0
    assert not any(runs(pid) for pid in children)
    log = (tmp_path / "data" / "postgres.log").read_text()
    assert "database system is shut down" in log
    assert not (tmp_path / "data" / "run.json").exists()


def test_a_closed_terminal_stops_it_in_order_too(environ: dict[str, str], tmp_path: Path) -> None:
    """Nobody reads its last words then, which is no reason to leave the stores to a crash."""
    address = f"http://127.0.0.1:{environ['PORT']}"
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "stakehold.cli", "dev"], {**os.environ, **environ})
    said = b""
    while b"Ctrl-C" not in said:
        said += os.read(terminal, 4096)
    assert address in said.decode()
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    data = Path(environ["STAKEHOLD_DATA"])
    assert not (data / "run.json").exists()
    assert "received fast shutdown request" in (data / "postgres.log").read_text()


def test_a_file_in_place_of_its_data_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    """Not as an error number."""
    Path(environ["STAKEHOLD_DATA"]).touch()
    with program("dev", environ, tmp_path) as started:
        assert started.process.wait(20) == 1
        assert "STAKEHOLD_DATA" in started.log


def test_whatever_dies_is_started_again(dev: Program) -> None:
    """PostgreSQL, Valkey and the server come back on their own, and the service with them."""
    children = children_of(dev.process.pid)
    assert len(children) == 3
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: len(set(children_of(dev.process.pid)) - set(children)) == 3, "all three were started again"
    )
    wait_until(lambda: dev.readiness() == (200, "ready"), f"ready again; {dev.log}")
    sign_in(dev.address)


def test_commands_find_the_stores_of_the_running_one(dev: Program, environ: dict[str, str]) -> None:
    """A user is added and disabled without a setting; the very next request of theirs is refused."""

    def command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stakehold.cli", *arguments], env={**os.environ, **environ},
            input=stdin, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    assert command("users", "add", "ada", stdin="a lovelace of engines\n").returncode == 0
    weak = command("users", "add", "bob", stdin="password123\n")
    assert weak.returncode == 1
    credentials = {"username": "ada", "password": "a lovelace of engines"}
    token = httpx.post(f"{dev.address}/api/auth", json=credentials, timeout=10).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{dev.address}/api/stake", headers=headers, timeout=10).status_code == 200
    assert command("users", "disable", "ada").returncode == 0
    assert httpx.get(f"{dev.address}/api/stake", headers=headers, timeout=10).status_code == 401
    listed = command("users", "list").stdout
    assert "disabled" in next(line for line in listed.splitlines() if "\tada\t" in line)
    assert command("users", "disable", "nobody-there").returncode == 1
    examined = command("doctor")
    assert examined.returncode == 0, examined.stdout
    assert "fail" not in examined.stdout
    assert command("migrate").stdout == "nothing to do\n"


def test_secrets_are_readable_by_their_owner_alone(dev: Program, environ: dict[str, str]) -> None:
    """Passwords, the signing secret and the run file are not for other users of the machine."""
    data = Path(environ["STAKEHOLD_DATA"])
    for name in ("run.json", "jwt-secret", "postgres-password", "valkey-password"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    assert run_file(environ)["pid"] == dev.process.pid
    assert run_file(environ)["address"] == dev.address


def test_dotenv_is_read_and_the_environment_wins(environ: dict[str, str], tmp_path: Path) -> None:
    """`dev` reads .env of the current directory; what is set already stays."""
    (tmp_path / ".env").write_text('STAKEHOLD_LIMITS="auth=1"\nPORT=1\n')
    with program("dev", environ, tmp_path) as started:
        started.wait_until_ready()
        sign_in(started.address)
        credentials = {"username": "testuser", "password": "password123"}
        refused = httpx.post(f"{started.address}/api/auth", json=credentials, timeout=10)
        assert refused.status_code == 429


def test_stores_that_are_given_are_used_and_none_started(
    environ: dict[str, str], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """They outlive it, with the stakes in them. A secret that `serve` would refuse serves, with a word."""
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": "engines"}
    with program("dev", {**environ, **given}, tmp_path) as first:
        first.wait_until_ready()
        assert children_of(first.process.pid) == first.server_pids()
        assert "`stakehold serve` would refuse JWT_SECRET" in first.log
        assert "engines" not in first.log
        headers = {"Authorization": f"Bearer {sign_in(first.address)}"}
        body = {"amount": "1", "period": 1}
        made = httpx.post(f"{first.address}/api/stake", json=body, headers=headers, timeout=10)
        assert made.status_code == 201
        assert first.end() == 0
    assert not (tmp_path / "data" / "postgres").exists()
    assert not (tmp_path / "data" / "valkey").exists()
    with program("dev", {**environ, **given}, tmp_path) as second:
        second.wait_until_ready()
        assert stakes(second.address) == [made.json()["stakeId"]]


def test_a_signal_while_it_starts_stops_it_in_order(environ: dict[str, str], tmp_path: Path) -> None:
    """It does not say that it serves, and leaves nothing running."""
    with program("dev", environ, tmp_path) as started:
        wait_until((tmp_path / "data" / "run.json").exists, "stores, before there is a server")
        children = children_of(started.process.pid)
        assert started.end() == 0
        assert "Stakehold serves on" not in started.log
    assert len(children) >= 2
    assert not any(runs(pid) for pid in children)
    assert "database system is shut down" in (tmp_path / "data" / "postgres.log").read_text()
    assert not (tmp_path / "data" / "run.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as somebody else")
def test_as_root_only_what_nobody_must_pass_is_opened(environ: dict[str, str], tmp_path: Path) -> None:
    """A closed directory above the data gets o+x and is named; its neighbours and other bits stay."""
    closed = tmp_path / "closed"
    neighbour = closed / "neighbour"
    neighbour.mkdir(parents=True)
    for directory in (closed, neighbour):
        directory.chmod(0o700)
    data = closed / "inner" / "data"
    with program("dev", {**environ, "STAKEHOLD_DATA": str(data)}, tmp_path) as started:
        started.wait_until_ready()
        assert f"Opened {closed} for passing" in started.log
        assert str(neighbour) not in started.log
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(neighbour.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
