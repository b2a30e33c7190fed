"""`stakehold serve` as a process: refuses what is not right, replaces what dies, loses no request."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import httpx
import pytest

from stakehold.database.migrate import migrate
from stakehold.runtime.embedded import EmbeddedPostgres
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.e2e.processes import Program, free_port, program, wait_until
from tests.support.native import JWT_SECRET

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

PERSON = {"username": "ada", "password": "a lovelace of engines"}


@pytest.fixture
def environ(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "JWT_SECRET": JWT_SECRET,
        "PORT": str(free_port()),
        "STAKEHOLD_PROCESSES": "2",
        "STAKEHOLD_DRAIN_S": "0.5",
    }


def answers(started: Program) -> bool:
    return started.readiness()[0] == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"JWT_SECRET": ""}, "JWT_SECRET is not set"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET: The secret has fewer than 32 bytes"),
        ({"JWT_SECRET": "your-super-secret-jwt-token-with-at-least-32-characters-long"}, "from an example"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ({"REDIS_URL": ""}, "REDIS_URL or UPSTASH_REDIS_REST_URL"),
        ({"STAKEHOLD_LIMITS": "auth=ten"}, "STAKEHOLD_LIMITS"),
    ],
)
def test_it_refuses_to_start_with_what_is_not_right(
    environ: dict[str, str], tmp_path: Path, change: dict[str, str], said: str
) -> None:
    """The variable is named, and a secret never shown."""
    with program("serve", {**environ, **change}, tmp_path) as started:
        assert started.process.wait(20) == 1
        assert said in started.log
        assert not change.get("JWT_SECRET") or change["JWT_SECRET"] not in started.log


def test_it_refuses_a_database_that_was_not_migrated(
    environ: dict[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    """It says what to run, does not migrate by itself, and ends with a status that is not zero."""
    with program("serve", {**environ, "DATABASE_URL": empty_database_url}, tmp_path) as started:
        assert started.process.wait(20) == 78
        assert "stakehold migrate" in started.log
    # After `migrate` the same settings serve.
    migrated = {**os.environ, **environ, "DATABASE_URL": empty_database_url}
    command = [sys.executable, "-m", "stakehold.cli", "migrate"]
    subprocess.run(command, env=migrated, check=True, capture_output=True, timeout=30)
    with program("serve", {**environ, "DATABASE_URL": empty_database_url}, tmp_path) as started:
        started.wait_until_ready()


def test_it_refuses_a_database_with_another_text_of_a_migration(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """It was made by another version: no restart and no `migrate` would help, so the process ends."""
    asyncio.run(_change_a_migration(environ["DATABASE_URL"]))
    with program("serve", environ, tmp_path) as started:
        assert started.process.wait(20) == 78
        assert "Migration 0001_users was changed after it was applied" in started.log


async def _change_a_migration(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "UPDATE schema_migrations SET checksum = 'another' WHERE name = '0001_users'"
        )
    finally:
        await connection.close()


def test_there_is_no_demo_user_and_no_dotenv(environ: dict[str, str], tmp_path: Path) -> None:
    """What everybody knows signs nobody in, and a file beside the program changes nothing."""
    (tmp_path / ".env").write_text("STAKEHOLD_LIMITS=auth=1\n")
    with program("serve", environ, tmp_path) as started:
        started.wait_until_ready()
        for _ in range(2):
            demo = {"username": "testuser", "password": "password123"}
            assert httpx.post(f"{started.address}/api/auth", json=demo, timeout=10).status_code == 401


def test_a_killed_server_process_is_replaced(environ: dict[str, str], tmp_path: Path) -> None:
    """kill -9 of each: the others serve meanwhile, and there are as many as before."""
    with program("serve", environ, tmp_path) as started:
        started.wait_until_ready()
        before = started.server_pids()
        assert len(before) == 2
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(started.server_pids()) - set(before)) == 2, "two new processes")
        wait_until(lambda: answers(started), "an answer of the new ones")


def test_a_stop_first_shows_unready_then_finishes_what_is_under_way(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """A request whose body is still arriving when SIGTERM comes is answered; then the process ends with 0."""
    with program("serve", {**environ, "STAKEHOLD_PROCESSES": "1"}, tmp_path) as started:
        started.wait_until_ready()
        body = json.dumps(PERSON).encode()
        head = (
            "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", started.port), 10) as slow:
            slow.sendall(head.encode() + body[:10])
            started.process.send_signal(signal.SIGTERM)
            wait_until(lambda: started.readiness() == (503, "draining"), "draining", 5)
            # Unready is not closed: whoever still comes is served.
            assert httpx.get(f"{started.address}/healthz", timeout=5).status_code == 200
            wait_until(lambda: started.readiness() == (0, ""), "the end of accepting", 5)
            slow.sendall(body[10:])
            slow.settimeout(10)
            answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        assert b"connection: close" in answer
        assert started.process.wait(20) == 0
        events = [json.loads(line)["event"] for line in started.log.splitlines() if line.startswith("{")]
        assert events[-1] == "counters"


def test_while_draining_an_answer_is_its_connections_last(environ: dict[str, str], tmp_path: Path) -> None:
    """Nobody sends a request into a connection that is closed in that moment."""
    with (
        program("serve", {**environ, "STAKEHOLD_DRAIN_S": "2"}, tmp_path) as started,
        httpx.Client(base_url=started.address, timeout=10) as kept,
    ):
        started.wait_until_ready()
        assert "connection" not in kept.get("/healthz").headers
        started.process.send_signal(signal.SIGTERM)
        wait_until(lambda: started.readiness() == (503, "draining"), "draining", 2)
        # Either process may be the one that is slower to hear of it.
        wait_until(lambda: kept.get("/healthz").headers.get("connection") == "close", "the last answer", 1)
        assert started.process.wait(20) == 0


def test_a_stop_ends_within_its_deadline_whatever_hangs(environ: dict[str, str], tmp_path: Path) -> None:
    """A client that never finishes its request does not keep the process."""
    limited = {**environ, "STAKEHOLD_STOP_S": "3", "STAKEHOLD_DRAIN_S": "0.2"}
    with program("serve", limited, tmp_path) as started:
        started.wait_until_ready()
        with socket.create_connection(("127.0.0.1", started.port), 10) as slow:
            slow.sendall(b"POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            slow.sendall(b"Content-Length: 100\r\n\r\n{")
            begun_s = time.monotonic()
            assert started.end() == 0
            assert time.monotonic() - begun_s < 6


def test_kill_9_of_the_supervisor_ends_its_servers(environ: dict[str, str], tmp_path: Path) -> None:
    """They notice, stop gracefully, and the port is free again."""
    with program("serve", environ, tmp_path) as started:
        started.wait_until_ready()
        started.end(signal.SIGKILL)
        wait_until(lambda: started.readiness() == (0, ""), "the end of the servers")
    with program("serve", environ, tmp_path) as again:
        again.wait_until_ready()


def test_it_starts_while_the_database_is_away_and_becomes_ready_with_it(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Unready until then; its migrations are checked as soon as it answers."""
    postgres = EmbeddedPostgres(tmp_path / "own", announce=lambda _: None)
    postgres.start()
    url = postgres.url
    postgres.stop()
    with program("serve", {**environ, "DATABASE_URL": url}, tmp_path) as started:
        wait_until(lambda: started.readiness() == (503, "unready"), "unready")
        postgres.start()
        try:
            # The database is empty, so what the check finds is what makes it end.
            assert started.process.wait(20) == 78
            assert "stakehold migrate" in started.log
            asyncio.run(migrate(url, clock=SystemClock(), entropy=SystemEntropy()))
        finally:
            postgres.stop()
    one = {**environ, "DATABASE_URL": url, "PORT": str(free_port()), "STAKEHOLD_PROCESSES": "1"}
    one["STAKEHOLD_DRAIN_S"] = "2"  # longer than it is between two looks: the last one finds all in order
    with program("serve", one, tmp_path) as started:
        # At the start, then again and again.
        wait_until(lambda: started.log.count("database_away") >= 3, "the third look")
        assert started.readiness() == (503, "unready")
        postgres.start()
        try:
            started.wait_until_ready()
            # Told twice, it stops once.
            started.process.send_signal(signal.SIGTERM)
            assert started.end() == 0
        finally:
            postgres.stop()


def test_what_is_no_request_is_answered_with_a_problem(environ: dict[str, str], tmp_path: Path) -> None:
    """What is no HTTP is answered 400, a problem too; a large head and one without end are answered 431."""
    with program("serve", environ, tmp_path) as started:
        started.wait_until_ready()

        def exchange(sent: bytes) -> bytes:
            received = b""
            with socket.create_connection(("127.0.0.1", started.port), 10) as connection:
                connection.sendall(sent)
                connection.settimeout(10)
                while part := connection.recv(65536):
                    received += part
            return received

        garbage = exchange(b"\x00\x01 nonsense\r\n\r\n")
        assert garbage.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in garbage
        large = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: " + b"x" * 20_000
        ours = exchange(large + b"\r\n\r\n")
        assert ours.startswith(b"HTTP/1.1 431 ")
        assert b'"code":"header_fields_too_large"' in ours
        endless = exchange(b"GET /healthz HTTP/1.1\r\nX-Large: " + b"x" * 100_000)
        assert endless.startswith(b"HTTP/1.1 431 ")


def test_it_behaves_the_same_over_upstash_rest(
    environ: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    """The README's three calls with Redis behind Upstash's REST API, and the next read from the cache."""
    command = [sys.executable, "-m", "tests.support.upstash_front", "--redis-url", redis_url]
    front = subprocess.Popen([*command, "--token", "of-the-front"], stdout=subprocess.PIPE, text=True)
    try:
        assert front.stdout is not None
        rest = {"REDIS_URL": "", "UPSTASH_REDIS_REST_URL": front.stdout.readline().strip()}
        with program(
            "serve", {**environ, **rest, "UPSTASH_REDIS_REST_TOKEN": "of-the-front"}, tmp_path
        ) as started:
            started.wait_until_ready()
            assert started.readiness() == (200, "ready")
            with httpx.Client(base_url=started.address, timeout=10) as client:
                assert client.post("/api/users", json=PERSON).status_code == 201
                token = client.post("/api/auth", json=PERSON).json()["token"]
                headers = {"Authorization": f"Bearer {token}"}
                made = client.post("/api/stake", json={"amount": 1000, "period": 12}, headers=headers).json()
                assert made["success"] is True
                first = client.get("/api/stake?page=1&limit=10", headers=headers).json()
                assert (first["items"][0]["id"], first["fromCache"]) == (made["stakeId"], False)

                def cached() -> bool:
                    again = client.get("/api/stake?page=1&limit=10", headers=headers).json()
                    assert again["items"] == first["items"]
                    return bool(again["fromCache"])

                wait_until(cached, "a read from the cache", 5)
            assert "of-the-front" not in started.log
    finally:
        front.terminate()
        front.wait()
        assert front.stdout is not None
        front.stdout.close()


def test_disabling_a_user_while_redis_is_away_says_that_it_may_take_time(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """The row is changed; the status of the command and its words tell that the cache could not be."""
    away = {**os.environ, **environ, "REDIS_URL": f"redis://127.0.0.1:{free_port()}"}

    def command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stakehold.cli", "users", *arguments], env=away, cwd=tmp_path,
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert command("add", PERSON["username"], stdin=PERSON["password"]).returncode == 0
    disabled = command("disable", PERSON["username"])
    assert disabled.returncode == 1
    assert "Redis was away" in disabled.stderr
    assert "\tdisabled\t" in command("list").stdout
