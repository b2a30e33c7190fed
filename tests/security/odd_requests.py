"""Requests that have a secret where none belongs, as confused clients send them."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.support.service import Person

READ_TIMEOUT_S = 15.0

Request = tuple[str, str, dict[str, Any]]
"""Method, path, and the client's options."""


def odd_requests(secret: str, person: Person) -> Iterator[Request]:
    """`secret` in every part of a request, and the person's tokens where they do not belong."""
    yield from _in_addresses(secret, person)
    yield from _in_headers(secret, person)
    yield from _in_bodies(secret, person)


def _in_addresses(secret: str, person: Person) -> Iterator[Request]:
    signed_in = {"headers": person.headers}
    for text in (quote(secret, safe=""), person.token, person.refresh_token):
        yield "GET", f"/{text}", {}
        yield "GET", f"/api/stake/{text}", signed_in
        yield "GET", f"/api/stake?token={text}", signed_in
        yield "GET", f"/api/stake?page={text}", signed_in
        yield "GET", f"/api/stake?cursor={text}", signed_in
        yield "GET", f"/api/stake?{text}=1&{text}=2", signed_in
        yield "PUT", f"/api/auth?password={text}", {}
        yield "GET", f"/docs?access_token={text}", {}


def _in_headers(secret: str, person: Person) -> Iterator[Request]:
    basic = base64.b64encode(f"{person.username}:{secret}".encode()).decode()
    ascii_secret = quote(secret, safe="")
    for value in (
        person.token,
        f"Basic {basic}",
        f"Bearer {ascii_secret}",
        f"Bearer {person.token}x",
        f"Bearer {person.token.rpartition('.')[0]}.{'A' * 43}",
        f"Bearer {person.refresh_token}",
        f"Bearer {person.token}, Bearer {person.token}",
    ):
        yield "GET", "/api/me", {"headers": {"Authorization": value}}
    names = (
        "X-Request-Id", "Cookie", "Origin", "X-Forwarded-For", "If-None-Match", "Idempotency-Key", "Host",
        "User-Agent", "Referer", "Content-Type", "Content-Encoding", "X-Forwarded-Host",
    )  # fmt: skip
    for name in names:
        for misplaced in (secret.encode(), person.token.encode()):
            headers = {**person.headers, name: misplaced}
            yield "POST", "/api/stake", {"headers": headers, "content": b'{"amount": 1, "period": 12}'}


def _in_bodies(secret: str, person: Person) -> Iterator[Request]:
    sign_in = {"username": person.username, "password": secret}
    whole = json.dumps(sign_in).encode()
    bodies = [
        whole[:-1],
        whole[:-2],
        whole + whole,
        whole.replace(b'"password"', b'"password": 1, "password"'),
        json.dumps({**sign_in, "passwort": secret}).encode(),
        json.dumps({**sign_in, secret: secret}).encode(),
        json.dumps({"username": secret, "password": secret}).encode(),
        json.dumps({"username": {"name": secret}, "password": [secret]}).encode(),
        json.dumps({"username": person.username, "password": secret * 1000}).encode(),
        json.dumps(secret).encode(),
        secret.encode(),
        secret.encode("latin-1"),
        b'{"username": "ada", "password": "\xff' + secret.encode() + b'"}',
        b"[" * 40 + json.dumps(secret).encode(),
        f"username=ada&password={quote(secret)}".encode(),
    ]
    for path in ("/api/auth", "/api/users", "/api/me/password", "/api/stake", "/api/auth/refresh"):
        for body in bodies:
            headers = {**person.headers, "Content-Type": "application/json"}
            yield "POST", path, {"headers": headers, "content": body}
    for token in (person.token, person.refresh_token[:-1], person.refresh_token + "A", secret):
        yield "POST", "/api/auth/refresh", {"json": {"refreshToken": token}}


def odd_bytes(secret: str, person: Person) -> list[bytes]:
    """What is hardly HTTP, each to be sent on a connection of its own."""
    raw, token = secret.encode(), person.token.encode()
    return [
        raw + b"\r\n\r\n",
        token + b" / HTTP/1.1\r\n\r\n",
        b"GET /" + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + token + b" HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nAuthorization Bearer " + token + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-\x00: " + raw + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + token * 80 + b"\r\n\r\n",
        b"POST /api/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + token + b"\r\n\r\n",
        b"POST /api/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz" + raw + b"\r\n",
        b"POST /api/auth HTTP/1.1\r\nHost: x\r\nContent-Length: -" + raw + b"\r\n\r\n",
    ]


async def send_bytes(port: int, sent: bytes) -> bytes:
    """What the server answers until it closes, or says nothing more once we have closed our side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(65536), READ_TIMEOUT_S)
    except OSError:  # refused, reset, or closed before we were
        return b""
    finally:
        writer.close()
