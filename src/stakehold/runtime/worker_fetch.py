"""Sends Upstash's requests on Workers, by the platform's fetch."""

from collections.abc import Mapping
from typing import Any

import msgspec
from js import JSON, AbortSignal, fetch
from pyodide.ffi import JsException

from stakehold.redis.upstash import SendFailedError


class FetchSender:
    """See upstash.Sender. It holds nothing open: what a request fetches is the request's own."""

    def __init__(self) -> None:
        self._headers: tuple[Mapping[str, str], Any] | None = None

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, answer_bytes_max: int
    ) -> tuple[int, bytes]:
        """POST once and return the status and at most a piece more than `answer_bytes_max` bytes."""
        try:
            answer = await fetch(
                url,
                method="POST",
                headers=self._as_object(headers),
                body=body.decode(),
                redirect="manual",
                signal=AbortSignal.timeout(max(1, int(timeout_s * 1000))),
            )
            return answer.status, await _read(answer, answer_bytes_max)
        except JsException as error:
            if error.name == "TimeoutError":
                raise TimeoutError from None
            # What the platform says may hold the address; and it does not tell whether anything was sent.
            raise SendFailedError(f"no answer: {error.name}", reached=True) from None

    async def close(self) -> None:
        """Nothing is open between requests."""

    def _as_object(self, headers: Mapping[str, str]) -> Any:
        """The headers as a JavaScript object: made once, since a client sends the same with each request."""
        if self._headers is None or self._headers[0] is not headers:
            self._headers = headers, JSON.parse(msgspec.json.encode(dict(headers)).decode())
        return self._headers[1]


async def _read(answer: Any, bytes_max: int) -> bytes:
    stream = answer.body
    if not stream:
        return b""
    reader = stream.getReader()
    content = bytearray()
    while len(content) <= bytes_max:
        piece = await reader.read()
        if piece.done:
            return bytes(content)
        content += piece.value.to_bytes()
    await reader.cancel()
    return bytes(content)
