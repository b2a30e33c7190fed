"""The OpenAPI 3.1 document, generated from the route table, the schemas and the registry of problems."""

import inspect
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from typing import Any, Final

import msgspec

from stakehold import __version__
from stakehold.http.examples import example_of, problem_example
from stakehold.http.idempotency import KEY_PATTERN
from stakehold.http.openapi_links import LINKS
from stakehold.http.operations import Operation, Outcome
from stakehold.http.pipeline import GLOBAL_POLICY
from stakehold.http.problems import PROBLEMS, Problem, ProblemKind
from stakehold.http.routes import OPERATIONS
from stakehold.http.schemas.base import PLAN_ID_PATTERN

Json = dict[str, Any]

_SCHEMA_REF: Final = "#/components/schemas/{name}"
_PROBLEM_TYPE: Final = "application/problem+json"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")

_DESCRIPTION: Final = """\
Sign in, lock an amount for a period, read the stakes back.

Every answer that is not a success is a problem (RFC 9457) with a stable `code`. Unknown fields are refused. \
Times are RFC 3339 in UTC. Amounts are decimals and never become binary floats: send a JSON number or a \
string, read a string.

Any path may also be asked with `HEAD` (where there is a `GET`) and `OPTIONS`. A path that does not exist \
is `not_found`, a method that a path does not have is `method_not_allowed`."""

_TAGS: Final = {
    "accounts": "Users, sessions and tokens.",
    "stakes": "Locking amounts, and reading what was locked.",
    "plans": "What is on sale.",
    "ledger": "Every movement of money, what it comes to, and whether it is whole.",
    "operators": "For users with the scope `admin`.",
    "service": "Health and documentation. Never limited.",
}

_HEADERS: Final[dict[str, Json]] = {
    "X-Request-Id": {
        "description": "The request's `X-Request-Id` where usable, else a new one. Quote it in reports.",
        "schema": {"type": "string", "maxLength": 128},
        "required": True,
    },
    "RateLimit-Policy": {
        "description": "The limits that apply: `q` requests in any `w` seconds, each by name "
        "(draft-ietf-httpapi-ratelimit-headers-11).",
        "schema": {"type": "string"},
        "example": '"stake-create";q=20;w=60, "global";q=100;w=60',
    },
    "RateLimit": {
        "description": "What is left of each limit: `r` requests now, and one more in `t` seconds.",
        "schema": {"type": "string"},
        "example": '"stake-create";r=19;t=42, "global";r=97;t=42',
    },
    "Retry-After": {
        "description": "Seconds to wait before the request is worth repeating.",
        "schema": {"type": "integer", "minimum": 1},
        "required": True,
    },
    "WWW-Authenticate": {
        "description": "The challenge (RFC 6750).",
        "schema": {"type": "string"},
        "required": True,
        "example": 'Bearer realm="stakehold", error="invalid_token"',
    },
    "Location": {
        "description": "The path of what was made.",
        "schema": {"type": "string", "format": "uri-reference"},
        "required": True,
    },
    "ETag": {
        "description": "Names this state of the answer; weak for lists. Send it as `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^(W/)?"[^"]+"$'},
        "required": True,
    },
    "Idempotency-Replayed": {
        "description": "Present, and `true`, when an earlier request with the same key had the effect.",
        "schema": {"type": "string", "const": "true"},
    },
}

_PARAMETERS: Final[dict[str, Json]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a repeated request have one effect and one answer "
        "(draft-ietf-httpapi-idempotency-key-header-07). A quoted string; bare is taken too. Kept for at "
        "least 24 hours.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that the stake was last seen with: if it is another by now, nothing is "
        "changed and the answer is 412.",
        "schema": {"type": "string"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "ETags known already; the answer is 304 while one of them is current.",
        "schema": {"type": "string"},
    },
}

_PATH_SCHEMAS: Final[dict[str, Json]] = {
    "stakeId": {"type": "string", "format": "uuid"},
    "planId": {"type": "string", "pattern": PLAN_ID_PATTERN},
}

# Members that a problem has beside those of every problem.
_EXTRA_MEMBERS: Final[dict[str, Json]] = {
    "unknown_period": {
        "periods": {
            "description": "The periods on sale, in months.",
            "type": "array",
            "items": {"type": "string"},
        }
    },
    "insufficient_scope": {
        "scope": {"description": "The scope that the access token needs.", "type": "string"}
    },
    "rate_limited": {
        "violated-policies": {
            "description": "The names of the limits that are used up.",
            "type": "array",
            "items": {"type": "string"},
        }
    },
}

# Of what is no JSON of a schema of ours.
_MEDIA_TYPES: Final = {
    "openapi": "application/json",
    "docs": "text/html",
    "docsStyle": "text/css",
    "docsScript": "text/javascript",
    "getStatement": "text/csv",
}


@cache
def openapi_document() -> bytes:
    """The document of this service as JSON; the same bytes in every process of a version."""
    return msgspec.json.encode(build_document(OPERATIONS))


def build_document(operations: Sequence[Operation]) -> Json:
    """The document that describes `operations`."""
    used_codes = {code for operation in operations for code in operation.problem_codes()}
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stakehold",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": tag, "description": _TAGS[tag]}
            for tag in dict.fromkeys(operation.tag for operation in operations)
        ],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "examples": {
                code: {"summary": PROBLEMS[code].title, "value": problem_example(code)}
                for code in PROBLEMS
                if code in used_codes
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `token` that signing in or refreshing answers.",
                }
            },
        },
        "x-problems": [_problem_summary(kind) for kind in PROBLEMS.values()],
    }


def _problem_summary(kind: ProblemKind) -> Json:
    """What the documentation page says of a kind of problem."""
    return {
        "code": kind.code,
        "status": kind.status,
        "type": kind.type,
        "title": kind.title,
        "summary": kind.summary,
    }


def _operation(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{"bearer": [operation.scope] if operation.scope else []}] if operation.signed_in else [],
        "parameters": list(_parameters(operation)),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": _media(operation.body)},
        }
    described["responses"] = _responses(operation)
    if operation.policy is not None:
        described["x-rate-limits"] = [operation.policy, GLOBAL_POLICY]
    return described


def _parameters(operation: Operation) -> Iterable[Json]:
    for name in _PATH_PARAMETER.findall(operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
    if operation.query is not None:
        yield from _query_parameters(operation.query)
    if operation.idempotent:
        yield {"$ref": "#/components/parameters/Idempotency-Key"}
    if operation.page is not None:
        yield {"$ref": "#/components/parameters/If-None-Match"}
    if operation.if_match:
        yield {"$ref": "#/components/parameters/If-Match"}


def _query_parameters(schema: type[msgspec.Struct]) -> Iterable[Json]:
    described = msgspec.json.schema(schema)["$defs"][schema.__name__]
    for name, member in described["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in described["required"],
            "description": member.pop("description"),
            "schema": member,
        }


def _responses(operation: Operation) -> Json:
    limited = operation.policy is not None
    responses = {str(outcome.status): _success(operation, outcome) for outcome in operation.outcomes}
    kinds = sorted((PROBLEMS[code] for code in operation.problem_codes()), key=lambda kind: kind.status)
    for status, group in groupby(kinds, key=lambda kind: kind.status):
        responses[str(status)] = _failure(status, list(group), limited)
    return dict(sorted(responses.items()))


def _headers(names: Iterable[str], limited: bool) -> Json:
    everywhere = ["X-Request-Id", "RateLimit-Policy", "RateLimit"] if limited else ["X-Request-Id"]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *everywhere)}


def _success(operation: Operation, outcome: Outcome) -> Json:
    response: Json = {
        "description": outcome.description,
        "headers": _headers(outcome.headers, limited=operation.policy is not None),
    }
    if outcome.schema is not None:
        response["content"] = {"application/json": _media(outcome.schema)}
    if operation.id in _MEDIA_TYPES:
        response.setdefault("content", {})[_MEDIA_TYPES[operation.id]] = {}
    if links := LINKS.get((operation.id, outcome.status)):
        response["links"] = links
    return response


def _failure(status: int, kinds: Sequence[ProblemKind], limited: bool) -> Json:
    """The answer for all problems of one status that an operation may have."""
    headers = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    codes = [kind.code for kind in kinds]
    if codes == ["insufficient_scope"]:
        headers = ["WWW-Authenticate"]
    members: Json = {"status": {"const": status}, "code": {"enum": codes}}
    for code in codes:
        members |= _EXTRA_MEMBERS.get(code, {})
    return {
        "description": "\n".join(f"`{kind.code}`: {kind.summary}" for kind in kinds),
        "headers": _headers(headers, limited),
        "content": {
            _PROBLEM_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": _SCHEMA_REF.format(name=Problem.__name__)},
                        {"type": "object", "properties": members},
                    ]
                },
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _media(schema: type[msgspec.Struct]) -> Json:
    return {"schema": {"$ref": _SCHEMA_REF.format(name=schema.__name__)}, "example": example_of(schema)}


def _schemas(operations: Iterable[Operation]) -> Json:
    used: dict[type[msgspec.Struct], None] = {Problem: None}
    for operation in operations:
        if operation.body is not None:
            used[operation.body] = None
        used |= dict.fromkeys(outcome.schema for outcome in operation.outcomes if outcome.schema is not None)
    _, components = msgspec.json.schema_components(list(used), ref_template=_SCHEMA_REF)
    for component in components.values():
        component["description"] = inspect.cleandoc(component["description"])
    for schema in used:
        components[schema.__name__] |= getattr(schema, "JSON_SCHEMA", {})
    return components
