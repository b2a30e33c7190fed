"""`make smoke` passes a service that is as it should be, and names what is not."""

import asyncio
import http.client
import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy import bundle, smoke
from stakehold.runtime.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.e2e.processes import free_port, program
from tests.support.native import JWT_SECRET

PASSWORD = "a smoke that rises slowly"
LIMITS = "stake-read=20,global=10000,auth=1000,sign-up=1000,auth-failure=1000/900"

Distortion = Callable[[str, int, dict[str, str], bytes], tuple[int, bytes]]

_names = itertools.count(1)


@pytest.fixture(scope="module")
def served(
    postgres: EmbeddedPostgres, migrated_template: str, valkey: EmbeddedValkey, stores_directory: Path
) -> Iterator[str]:
    """The address of `stakehold serve`."""
    asyncio.run(_create_database(postgres, migrated_template))
    environ = {
        "DATABASE_URL": postgres.database_url("smoke_tests"), "REDIS_URL": valkey.url,
        "JWT_SECRET": JWT_SECRET, "PORT": str(free_port()), "STAKEHOLD_PROCESSES": "1",
        "STAKEHOLD_DRAIN_S": "0", "STAKEHOLD_LIMITS": LIMITS,
    }  # fmt: skip
    with program("serve", environ, stores_directory) as started:
        started.wait_until_ready()
        yield started.address


async def _create_database(postgres: EmbeddedPostgres, template: str) -> None:
    connection = await asyncpg.connect(postgres.database_url("postgres"))
    await connection.execute(f"CREATE DATABASE smoke_tests TEMPLATE {template}")
    await connection.execute("ALTER DATABASE smoke_tests SET default_transaction_isolation = 'serializable'")
    await connection.close()


@pytest.fixture
def secrets(served: str) -> dict[str, str]:
    """The environment of the checks, with a user of their own."""
    username = f"smoke-{next(_names)}"
    made = httpx.post(f"{served}/api/users", json={"username": username, "password": PASSWORD}, timeout=30)
    assert made.status_code == 201, made.text
    return {"SMOKE_USERNAME": username, "SMOKE_PASSWORD": PASSWORD}


@pytest.fixture
def distorted(served: str) -> Iterator[Callable[[Distortion], str]]:
    """Put a proxy before the service that changes its answers, and give its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(distort: Distortion) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), proxy_to(served, distort))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def proxy_to(address: str, distort: Distortion) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
            connection.request(self.command, self.path, body or None, dict(self.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            name = f"{self.command} {self.path}"
            status, content = distort(name, response.status, headers, response.read())
            connection.close()
            self.send_response_only(status)
            headers.pop("transfer-encoding", None)
            if status not in (204, 304):
                headers["content-length"] = str(len(content))
            for each in headers.items():
                self.send_header(*each)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Proxy


def test_a_service_as_it_should_be_passes(
    served: str, secrets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every check is made and printed; the exit status is 0; neither password nor token is shown."""
    assert smoke.main([served], secrets) == 0
    said = capsys.readouterr().out
    assert said.endswith("all is well\n")
    assert len(re.findall("^ok ", said, re.MULTILINE)) == 14
    assert PASSWORD not in said
    assert "eyJ" not in said


def without(header: str) -> Distortion:
    def distort(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        headers.pop(header, None)
        return status, body

    return distort


def stale_pages() -> Distortion:
    kept: list[bytes] = []

    def distort(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if name.startswith("GET /api/stake?") and status == 200:
            kept.append(body)
            return status, kept[max(0, len(kept) - 2)]
        return status, body

    return distort


def replacing(pattern: bytes, replacement: bytes) -> Distortion:
    def distort(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        return status, re.sub(pattern, replacement, body)

    return distort


def same_request_id(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    headers["x-request-id"] = "always-this"
    return status, body


def no_refusals(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    return (200, b"{}") if status == 429 else (status, body)


def plain_errors(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    return (status, b'{"error": "no"}') if status == 404 else (status, body)


def accepting(refused: int, name_of: str) -> Distortion:
    def distort(name: str, status: int, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        return (200, b'{"token": "a.b.c"}') if status == refused and name == name_of else (status, body)

    return distort


@pytest.mark.parametrize(
    ("distortion", "check"),
    [
        (without("x-frame-options"), "security headers"),
        (without("content-security-policy"), "security headers"),
        (without("x-request-id"), "the request's id"),
        (same_request_id, "the request's id"),
        (without("ratelimit-policy"), "limits are announced"),
        (without("retry-after"), "limits are announced"),
        (no_refusals, "limits are announced"),
        (without("etag"), "a page is read from the cache"),
        (without("idempotency-replayed"), "a repeated Idempotency-Key"),
        (without("www-authenticate"), "a wrong password and a missing token"),
        (accepting(401, "POST /api/auth"), "a wrong password and a missing token"),
        (accepting(401, "GET /api/stake"), "signing out holds"),
        (stale_pages(), "a stake is made and read at once"),
        (replacing(rb'"amount":"(\d+)"', rb'"amount":\1'), "a stake is made and read at once"),
        (replacing(rb'"fromCache":true', b'"fromCache":false'), "a page is read from the cache"),
        (replacing(rb'"stakeId":".*?"', b'"stakeId":"x"'), "a stake is made and read at once"),
        (replacing(rb'"status":"ready"', b'"status":"degraded"'), "the service is up, and ready"),
        (plain_errors, "every refusal is a problem"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(
    distorted: Callable[[Distortion], str],
    secrets: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    distortion: Distortion,
    check: str,
) -> None:
    """Each check fails for what it is there to notice; the exit status is 1."""
    assert smoke.main([distorted(distortion)], secrets) == 1
    said = capsys.readouterr().out
    assert re.search(f"^FAIL  {check}", said, re.MULTILINE), said


SECRETS = {"SMOKE_USERNAME": "ada", "SMOKE_PASSWORD": PASSWORD}


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ([], SECRETS, "Say where it is served"),
        (["https://ada:secret@api.example.com"], SECRETS, "do not belong in an address"),
        (["http://api.example.com"], SECRETS, "would send the password in clear"),
        (["ftp://api.example.com"], SECRETS, "is no address"),
        (["api.example.com"], SECRETS, "is no address"),
        (["https://api.example.com/?a=b"], SECRETS, "is no address"),
        (["https://api.example.com"], {"SMOKE_USERNAME": "ada"}, "Set SMOKE_PASSWORD"),
        (["http://localhost:1"], {}, "Set SMOKE_USERNAME and SMOKE_PASSWORD"),
    ],
)
def test_what_it_can_not_begin_with_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], environ: dict[str, str], said: str
) -> None:
    """Nothing is sent; the exit status is 2; what was secret is not repeated."""
    assert smoke.main(arguments, environ) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "secret@" not in told.err + told.out


def test_a_service_that_is_not_there_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Every check that asks something fails, in a line each, without a traceback."""
    assert smoke.main([f"http://127.0.0.1:{free_port()}"], SECRETS) == 1
    assert "FAIL  the service is up, and ready: " in capsys.readouterr().out


def test_it_needs_python_alone(tmp_path: Path) -> None:
    """It runs where nothing of the project is installed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(bundle.PROJECT / "deploy" / "smoke.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Say where it is served" in done.stderr


def test_an_answer_that_is_no_object_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy's error page, or a list, is a failed check and no crash."""
    for body in (b"<html>", json.dumps([1]).encode()):
        with pytest.raises(smoke.CheckError):
            smoke.Answer(200, {}, body).json()
