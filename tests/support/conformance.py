"""Whether an answer is what the service's own OpenAPI document says, whole: status, headers, body."""

import json
import re
from typing import Any
from urllib.parse import unquote

import httpx
import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers that every answer has, with their values."""

_NOT_YET_LIMITED = {"header_fields_too_large", "internal_error", "overloaded", "request_timeout"}
_PROBLEM = "application/problem+json"


class Conformance:
    """Checks answers against one OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:document", resource)
        self._paths = {
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): item for path, item in document["paths"].items()
        }
        self._validators: dict[tuple[str, int], jsonschema.Draft202012Validator] = {}
        self._statuses = {kind["code"]: kind["status"] for kind in document["x-problems"]}

    def check(self, answer: httpx.Response) -> None:
        """AssertionError or jsonschema.ValidationError unless the answer is as documented."""
        for name, value in EVERYWHERE.items():
            assert answer.headers.get(name) == value, (name, answer.headers)
        assert "content-security-policy" in answer.headers
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", answer.headers["x-request-id"])
        if answer.status_code in (204, 304) or answer.request.method == "HEAD":
            assert answer.content == b""
        else:
            # What is streamed has no length: its end is told in another way.
            length = answer.headers.get("content-length", str(len(answer.content)))
            assert int(length) == len(answer.content)
        operation = self._operation(answer.request)
        if operation is None:
            assert answer.status_code in (204, 404, 405, 431), answer.text
        else:
            self._check_documented(answer, operation)
        if answer.status_code >= 400 and answer.request.method != "HEAD" and not self._is_readiness(answer):
            self._check_problem(answer)

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        method = "get" if request.method == "HEAD" else request.method.lower()
        for pattern, item in self._paths.items():
            if pattern.fullmatch(request.url.path):
                found: dict[str, Any] | None = item.get(method)
                return found
        return None

    def _check_documented(self, answer: httpx.Response, operation: dict[str, Any]) -> None:
        described = operation["responses"].get(str(answer.status_code))
        assert described, f"{operation['operationId']} does not document {answer.status_code}: {answer.text}"
        limited = "x-rate-limits" in operation and _code(answer) not in _NOT_YET_LIMITED
        for name, reference in described["headers"].items():
            header = self._document["components"]["headers"][reference["$ref"].rpartition("/")[2]]
            if header.get("required") or (limited and name.startswith("RateLimit")):
                assert name in answer.headers, (name, answer.status_code, answer.headers)
        if not answer.content or "content" not in described:
            return
        media_type = answer.headers["content-type"].partition(";")[0]
        schema = described["content"][media_type].get("schema")
        if not media_type.endswith("json") or schema is None:
            return
        key = (operation["operationId"], answer.status_code)
        if key not in self._validators:
            absolute = json.loads(json.dumps(schema).replace('"#/components', '"urn:document#/components'))
            self._validators[key] = jsonschema.Draft202012Validator(absolute, registry=self._registry)
        self._validators[key].validate(answer.json())

    def _is_readiness(self, answer: httpx.Response) -> bool:
        return answer.request.url.path == "/readyz" and answer.status_code == 503

    def _check_problem(self, answer: httpx.Response) -> None:
        assert answer.headers["content-type"] == _PROBLEM
        assert answer.headers["cache-control"] == "no-store"
        problem = answer.json()
        assert problem["status"] == answer.status_code == self._statuses[problem["code"]]
        assert unquote(problem["instance"]) == answer.request.url.path
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert all(problem[name] for name in ("type", "title", "detail"))
        for field in problem.get("errors", []):
            assert all(field[name] for name in ("code", "detail"))
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith('Bearer realm="stakehold"')
        if answer.status_code in (429, 503):
            assert int(answer.headers["retry-after"]) >= 1


def _code(answer: httpx.Response) -> str | None:
    if answer.headers.get("content-type") != _PROBLEM or not answer.content:
        return None
    code: str = answer.json()["code"]
    return code
