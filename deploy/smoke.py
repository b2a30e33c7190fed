"""Check a deployment as a client sees it: `make smoke URL=https://…`.

It signs in as SMOKE_USERNAME with SMOKE_PASSWORD (from the environment, never the address), makes six stakes
of SMOKE_AMOUNT (1) for 12 months, and reads until a limit refuses it: use a user made for this, and wait a
minute before the next time. It needs Python alone. Exit status: 0 when all is well, 1 when not, 2 when it
could not begin.
"""

import http.client
import json
import os
import re
import secrets
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

TIMEOUT_S = 30.0
PERIOD_MONTHS = 12
QUOTA_TRIED_MAX = 200
WRITES = 5
"""How many writes are each followed by a read."""

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


class UsageError(Exception):
    """The checks can not begin; the message says why."""


class CheckError(Exception):
    """A check failed; the message says what was seen."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered with. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises CheckError when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            raise CheckError(f"status {self.status}, and no JSON: {self.body[:80]!r}") from None
        if not isinstance(found, dict):
            raise CheckError(f"status {self.status}, and no JSON object: {self.body[:80]!r}")
        return found


class Client:
    """One connection that is kept, and made again when the other side ended it."""

    def __init__(self, address: SplitResult) -> None:
        self._address = address
        self.encrypted = address.scheme == "https"
        self._connection = self._connect(address.scheme, address.port)
        self.answers: list[tuple[str, Answer]] = []

    def _connect(self, scheme: str, port: int | None) -> http.client.HTTPConnection:
        host = self._address.hostname or ""
        if scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; `body` is sent as JSON, or as it is when it is bytes."""
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            answer = self._exchange(self._connection, method, path, data, sent)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A kept connection may end at any time. What is sent twice here has a key, or changes nothing.
            self._connection.close()
            answer = self._exchange(self._connection, method, path, data, sent)
        self.answers.append((f"{method} {path}", answer))
        return answer

    def over_plain_http(self, path: str) -> Answer | None:
        """What http:// at the usual port answers; None when nobody does."""
        try:
            return self._exchange(self._connect("http", 80), "GET", path, None, {})
        except (OSError, http.client.HTTPException):
            return None

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:  # fmt: skip
        connection.request(method, self._address.path.rstrip("/") + path, body, dict(headers))
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())


class Smoke:
    """The checks, in the order in which they are made."""

    def __init__(self, client: Client, username: str, password: str, amount: str) -> None:
        self.client = client
        self.credentials = {"username": username, "password": password}
        self.amount = amount
        self.token = ""

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Names, and what tells how a check went or raises CheckError."""
        yield "the service is up, and ready", self.ready
        yield "the documentation is served", self.documentation
        yield "signing in gives a token", self.sign_in
        yield "a wrong password and a missing token are refused alike", self.refusals
        yield "a stake is made and read at once, each time", self.fence
        yield "a page is read from the cache", self.cache
        yield "a repeated Idempotency-Key makes nothing new", self.replay
        yield "malformed and invalid requests are told apart", self.problems
        yield "signing out holds from the next request on", self.sign_out
        yield "limits are announced, and refuse", self.limits
        yield "the request's id is the client's, or new", self.request_id
        yield "security headers are on every answer", self.security_headers
        yield "every refusal is a problem", self.problem_bodies
        yield "connections are encrypted", self.encryption

    def get(self, path: str, **headers: str) -> Answer:
        return self.client.request("GET", path, headers=self.signed(headers))

    def post(self, path: str, body: object, **headers: str) -> Answer:
        return self.client.request("POST", path, body, self.signed(headers))

    def signed(self, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"Authorization": f"Bearer {self.token}", **sent} if self.token else sent

    def ready(self) -> str:
        expect(self.get("/healthz"), 200)
        answer = expect(self.get("/readyz"), 200)
        status = answer.json().get("status")
        if status != "ready":
            raise CheckError(f"it says {status!r}: Redis is away; see docs/operations.md")
        return "ready"

    def documentation(self) -> str:
        for path in ("/docs", "/docs.css", "/docs.js"):
            expect(self.get(path), 200)
        version = expect(self.get("/openapi.json"), 200).json().get("openapi")
        return f"OpenAPI {version}"

    def sign_in(self) -> str:
        answer = expect(self.post("/api/auth", self.credentials), 200)
        token = str(answer.json().get("token", ""))
        if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII):
            raise CheckError("the answer has no token")
        self.token = token
        return "Bearer token"

    def refusals(self) -> str:
        wrong = {**self.credentials, "password": secrets.token_urlsafe(24)}
        expect(self.client.request("POST", "/api/auth", wrong), 401)
        expect(self.client.request("GET", "/api/stake"), 401)
        forged = {"Authorization": f"Bearer {self.token[:-4]}AAAA"}
        answer = expect(self.client.request("GET", "/api/stake", headers=forged), 401)
        if "www-authenticate" not in answer.headers:
            raise CheckError("a refused token is answered without WWW-Authenticate")
        return "401, 401, 401"

    def stake(self, key: str, amount: str | None = None) -> Answer:
        body = {"amount": amount or self.amount, "period": PERIOD_MONTHS}
        return self.post("/api/stake", body, Idempotency_Key=f'"{key}"')

    def fence(self) -> str:
        for _ in range(WRITES):
            made = expect(self.stake(secrets.token_hex(16)), 201).json()
            if made.get("success") is not True:
                raise CheckError(f"success is {made.get('success')!r}")
            first = self.page()["items"][0]
            if first["id"] != made["stakeId"]:
                raise CheckError("the page after a write does not have it first: that is a stale page")
            if (first["period"], type(first["amount"])) != (str(PERIOD_MONTHS), str):
                raise CheckError(
                    f"amount and period are no strings: {first['amount']!r}, {first['period']!r}"
                )
        return f"{WRITES} times"

    def page(self) -> dict[str, Any]:
        return expect(self.get("/api/stake?page=1&limit=10"), 200).json()

    def cache(self) -> str:
        self.page()
        if self.page().get("fromCache") is not True:
            raise CheckError("the second of two equal reads did not come from the cache")
        answer = self.get("/api/stake?page=1&limit=10")
        expect(self.get("/api/stake?page=1&limit=10", If_None_Match=answer.headers.get("etag", "")), 304)
        return "fromCache, and 304 for its ETag"

    def replay(self) -> str:
        key = secrets.token_hex(16)
        made, again = expect(self.stake(key), 201), expect(self.stake(key), 201)
        if made.json().get("stakeId") != again.json().get("stakeId"):
            raise CheckError("the same key made two stakes")
        if again.headers.get("idempotency-replayed") != "true":
            raise CheckError("the second answer does not say that it is a repetition")
        code = expect(self.stake(key, amount=f"{self.amount}1"), 422).json().get("code")
        if code != "idempotency_key_reused":
            raise CheckError(f"the key with another amount is refused as {code!r}")
        return "the same stake"

    def problems(self) -> str:
        expect(self.post("/api/stake", b"{"), 400)
        expect(self.post("/api/stake", {"amount": "-1", "period": PERIOD_MONTHS}), 422)
        expect(self.get("/api/nothing-is-here"), 404)
        expect(self.client.request("DELETE", "/api/stake", headers=self.signed({})), 405)
        return "400, 422, 404, 405"

    def sign_out(self) -> str:
        kept = self.token
        try:
            self.sign_in()
            expect(self.post("/api/auth/logout", {}), 204)
            expect(self.get("/api/stake"), 401)
        finally:
            self.token = kept
        expect(self.get("/api/stake"), 200)
        return "that session alone"

    def limits(self) -> str:
        answer = expect(self.get("/api/stake"), 200)
        policies = dict(re.findall(r'"([a-z-]+)";q=([0-9]+)', answer.headers.get("ratelimit-policy", "")))
        if "stake-read" not in policies or '"stake-read";r=' not in answer.headers.get("ratelimit", ""):
            raise CheckError("RateLimit-Policy and RateLimit do not say the limit of reads")
        quota = int(policies["stake-read"])
        if quota > QUOTA_TRIED_MAX:
            return f"announced; {quota} reads were not tried"
        reads = 0
        while answer.status == 200 and reads <= quota:
            answer = self.get("/api/stake")
            reads += 1
        expect(answer, 429)
        if not re.fullmatch(r"[1-9][0-9]*", answer.headers.get("retry-after", "")):
            raise CheckError("the refusal has no Retry-After")
        return f"{quota} a window; the next was refused after {reads} more"

    def request_id(self) -> str:
        own = f"smoke-{secrets.token_hex(8)}"
        answer = self.client.request("GET", "/healthz", headers={"X-Request-Id": own})
        if answer.headers.get("x-request-id") != own:
            raise CheckError(f"{own} came back as {answer.headers.get('x-request-id')!r}")
        ids = [found.headers.get("x-request-id") for name, found in self.client.answers if is_dynamic(name)]
        if None in ids or len(set(ids)) != len(ids):
            raise CheckError("an answer has no X-Request-Id, or that of another")
        return f"{len(ids)} different ones"

    def security_headers(self) -> str:
        for name, answer in self.client.answers:
            for header, value in SECURITY_HEADERS.items():
                if answer.headers.get(header) != value:
                    raise CheckError(f"{name} ({answer.status}): {header} is {answer.headers.get(header)!r}")
            if "content-security-policy" not in answer.headers:
                raise CheckError(f"{name} ({answer.status}) has no Content-Security-Policy")
        return f"{len(self.client.answers)} answers"

    def problem_bodies(self) -> str:
        refusals = [(name, answer) for name, answer in self.client.answers if answer.status >= 400]
        for name, answer in refusals:
            problem = answer.json()
            if answer.headers.get("content-type") != "application/problem+json":
                raise CheckError(f"{name} is refused as {answer.headers.get('content-type')!r}")
            if not problem.keys() >= PROBLEM_MEMBERS or problem["status"] != answer.status:
                raise CheckError(f"{name} is refused with {sorted(problem)}, status {problem.get('status')}")
            if problem["request_id"] != answer.headers.get("x-request-id"):
                raise CheckError(f"{name}: the problem has another request_id than the answer")
        return f"{len(refusals)} refusals"

    def encryption(self) -> str:
        if not self.client.encrypted:
            return "not tried: this is loopback"
        answer = self.client.answers[-1][1]
        if "strict-transport-security" not in answer.headers:
            raise CheckError("there is no Strict-Transport-Security: set STAKEHOLD_HSTS to on")
        plain = self.client.over_plain_http("/healthz")
        if plain is not None and plain.status < 300:
            raise CheckError("http:// is answered too: have Cloudflare redirect it (Always Use HTTPS)")
        return "certificate verified, and nothing over http://"


def is_dynamic(name: str) -> bool:
    """Whether the service itself answers, and not Cloudflare with a file of its."""
    return name not in ("GET /docs.css", "GET /docs.js")


def expect(answer: Answer, status: int) -> Answer:
    """The answer, when it has this status. Raises CheckError otherwise."""
    if answer.status != status:
        said = answer.body[:300].decode("utf-8", "replace")
        raise CheckError(f"status {answer.status} in place of {status}: {said}")
    return answer


def parse_address(text: str) -> SplitResult:
    """The address of a service. Raises UsageError for one that is none, or would show secrets."""
    address = urlsplit(text)
    if "@" in address.netloc:
        raise UsageError("Credentials do not belong in an address: set SMOKE_USERNAME and SMOKE_PASSWORD.")
    if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment:
        raise UsageError(f"{text!r} is no address like https://api.example.com")
    if address.scheme == "http" and not is_loopback(address.hostname):
        raise UsageError(f"{text!r} would send the password in clear: use https://")
    return address


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Make every check, print how each went, and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if len(given) != 1:
            raise UsageError("Say where it is served: python -m deploy.smoke https://…")
        address = parse_address(given[0])
        missing = [name for name in ("SMOKE_USERNAME", "SMOKE_PASSWORD") if not environ.get(name)]
        if missing:
            raise UsageError(f"Set {' and '.join(missing)}: `stakehold users add NAME` makes a user.")
    except UsageError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 2
    amount = environ.get("SMOKE_AMOUNT", "1")
    smoke = Smoke(Client(address), environ["SMOKE_USERNAME"], environ["SMOKE_PASSWORD"], amount)
    failures = sum(not made(name, check) for name, check in smoke.checks())
    print(f"{failures} of the checks failed" if failures else "all is well")
    return 1 if failures else 0


def made(name: str, check: Callable[[], str]) -> bool:
    """Make a check, say how it went, and tell whether it went well."""
    try:
        print(f"ok    {name}: {check()}", flush=True)
        return True
    except (CheckError, OSError, http.client.HTTPException, KeyError, IndexError) as error:
        print(f"FAIL  {name}: {error or type(error).__name__}", flush=True)
        return False


if __name__ == "__main__":
    sys.exit(main())
