"""Reading what a client sends: the header, the query, the body. All of it bounded, none of it trusted."""

import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Message, Receive, Scope

from stakehold.domain.errors import FieldError, MalformedRequestError, ValidationError
from stakehold.domain.ports import Deadline
from stakehold.domain.time_limit import TimeLimit
from stakehold.http.operations import Operation
from stakehold.http.problems import HttpError

BODY_BYTES_MAX = 16 * 1024
HEADER_BYTES_MAX = 16 * 1024
BODY_TIMEOUT_S = 4.0
QUERY_PARAMETERS_MAX = 20
_REMEMBERED_QUERY_BYTES_MAX = 100
NESTING_MAX = 32
"""Our bodies are flat. How deep a parser can go differs between Pythons; this does not."""

# A name or address with a port, as a URI may have it; no comma, which is how a second Host is seen.
_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+;=:\[\]]+")
_BLANKS = " \t"  # RFC 9110, section 5.6.3; what else Python takes for white space is none here.

# Strings are taken whole, so that brackets in them do not count; one that never ends takes all the rest.
_STRINGS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
_PATH_IN_MESSAGE = re.compile(r" - at `\$\.(?P<path>.*)`$")
# Greedy: a name that a client chose may hold anything, our own phrases included.
_NAMED_IN_MESSAGE = re.compile(
    r"Object (?P<problem>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL
)
_ABOUT_NAMED = {
    "contains unknown": ("unknown_field", "There is no such field."),
    "missing required": ("missing", "This field is needed."),
}


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """The header as a mapping, in lower case; refused when larger than 16 KiB, or without one Host.

    A repeated field keeps all its values, joined by commas (RFC 9110, section 5.2): a second
    `Authorization` spoils the first instead of hiding behind it.
    """
    headers: dict[bytes, bytes] = {}
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        headers[name] = headers[name] + b", " + value if name in headers else value
    if size > HEADER_BYTES_MAX:
        raise HttpError("header_fields_too_large", f"The header may have {HEADER_BYTES_MAX} bytes in all.")
    host = headers.get(b"host")
    if (host is None and scope["http_version"] == "1.1") or (host and not _HOST.fullmatch(host)):
        raise MalformedRequestError("A request has one Host (RFC 9112, section 3.2).")
    if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise MalformedRequestError("A body is sent as it is, or chunked: no other transfer coding is read.")
    return headers


def read_query(operation: Operation, query_string: bytes) -> Any:
    """The query as the operation's schema; None where it has none. Raises ValidationError."""
    if operation.query is None:
        return None
    if len(query_string) > _REMEMBERED_QUERY_BYTES_MAX:
        return _query_of(operation.query, query_string)
    return _remembered_query_of(operation.query, query_string)


def _query_of(schema: type[msgspec.Struct], query_string: bytes) -> Any:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query_string),
            max_num_fields=QUERY_PARAMETERS_MAX,
            errors="strict",
        )
    except ValueError:
        raise ValidationError("The query could not be read.") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValidationError(
            "A query parameter is given twice.",
            fields=(FieldError(f"?{repeated[:64]}", "repeated", "Given twice."),),
        )
    try:
        query = msgspec.convert(values, schema, strict=False)
    except msgspec.ValidationError as error:
        _refuse(error, query=True)
    for field in msgspec.structs.fields(schema):
        name, text = field.encode_name, values.get(field.encode_name, "0")
        # msgspec reads "1e2" as a whole number too; the API's documentation does not.
        if isinstance(getattr(query, field.name), int) and not (text.isascii() and text.isdigit()):
            raise ValidationError(
                "The query is not valid.", fields=(FieldError(f"?{name}", "invalid", "Digits only."),)
            )
    return query


# Most clients ask the same few pages. A query is frozen, so that one reading can serve many requests.
_remembered_query_of = lru_cache(maxsize=1024)(_query_of)


async def read_body(
    operation: Operation, headers: dict[bytes, bytes], receive: Receive, deadline: Deadline
) -> Any:
    """The body as the operation's schema; None where it has none.

    Raises HttpError (408, 413, 415), MalformedRequestError (400), ValidationError (422), ClientGoneError.
    """
    schema = operation.body
    if schema is None:
        return None
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > BODY_BYTES_MAX:
        raise _too_large()
    body = await _receive_body(receive, deadline)
    if not body and operation.body_optional:
        return schema()
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise HttpError("unsupported_media_type", "Send the body as it is, without Content-Encoding.")
    media_type, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if media_type.strip(_BLANKS).lower() != "application/json" or not _is_utf8(parameters):
        raise HttpError("unsupported_media_type", "Send the body as application/json, in UTF-8.")
    return _decode(body, schema)


def _is_utf8(parameters: str) -> bool:
    name, _, value = parameters.partition("=")
    return not name.strip(_BLANKS) or (
        name.strip(_BLANKS).lower() == "charset"
        and value.strip(_BLANKS).strip('"').lower() in ("utf-8", "utf8")
    )


def _too_large() -> HttpError:
    return HttpError("content_too_large", f"A body may have {BODY_BYTES_MAX} bytes.")


async def _receive_body(receive: Receive, deadline: Deadline) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        with TimeLimit(deadline.bound_s(BODY_TIMEOUT_S)):
            while True:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part = message.get("body", b"")
                size += len(part)
                if size > BODY_BYTES_MAX:
                    raise _too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise HttpError("request_timeout", "The body did not arrive in time.") from None


def _decode(body: bytes, schema: type[msgspec.Struct]) -> Any:
    _refuse_deep_nesting(body)
    try:
        read = _first_reading(body.decode("utf-8"))
        if isinstance(read, FieldError):
            raise ValidationError("A field is given twice.", fields=(read,))
        return msgspec.json.decode(body, type=schema)
    except msgspec.ValidationError as error:
        _refuse(error, query=False)
    except ValueError:
        # msgspec.DecodeError and UnicodeDecodeError are ValueErrors too. What the parser says stays here.
        raise MalformedRequestError("The body is not valid JSON.") from None


def _refuse_deep_nesting(body: bytes) -> None:
    if body.count(b"{") + body.count(b"[") <= NESTING_MAX:
        return
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(body):
        bracket = token[0]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth > NESTING_MAX:
                raise MalformedRequestError(f"The body is nested more than {NESTING_MAX} deep.")
        elif bracket in (b"]", b"}"):
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | FieldError:
    """The object, or what is wrong with it. Within another one it is refused in any case, for its type."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
    repeated.encode()  # half of a surrogate pair is no text, and could not be named in the answer
    return FieldError(_pointer(repeated), "repeated", "Given twice.")


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a field of the body, its name cut to a length worth repeating."""
    return "/" + name[:64].replace("~", "~0").replace("/", "~1")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


# By the standard library, which alone notices a key given twice; numbers stay text, so that their size costs
# nothing.
_first_reading = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_refuse_constant
).decode


def _refuse(error: msgspec.ValidationError, *, query: bool) -> NoReturn:
    """Turn msgspec's message into ours, with the field named. No schema has fields within fields."""
    message = str(error)
    named = _NAMED_IN_MESSAGE.fullmatch(message)
    path = None if named else _PATH_IN_MESSAGE.search(message)
    if named:
        name = named["name"]
        code, reason = _ABOUT_NAMED[named["problem"]]
    else:
        name = path["path"] if path else ""
        code, reason = "invalid", message[: path.start()] if path else message
    pointer = f"?{name[:64]}" if query else _pointer(name) if named or name else ""
    raise ValidationError(
        "The query is not valid." if query else "The body is not valid.",
        fields=(FieldError(pointer, code, reason),),
    ) from None
