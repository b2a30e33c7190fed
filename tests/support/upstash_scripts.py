"""Upstash's flag for scripts, `#!lua flags=allow-key-locking`, for a Redis or Valkey that does not have it.

https://upstash.com/docs/redis/features/key-locking: a script with the flag on its first line locks the keys
in KEYS and not the whole database, and every other key it names is refused. The locks themselves cannot be
shown here, since a Redis runs one script at a time; the refusal can. A script without the flag passes as it
is.

The flag is part of the text that a script's SHA1 is of, so Redis, which gets another text, knows the script
by another one.
"""

import hashlib
from typing import Any

_FLAG = b"allow-key-locking"
_FLAGS_PART = b"flags="
_WITH_SOURCE = frozenset(b"EVAL EVAL_RO".split())
_WITH_SHA = frozenset(b"EVALSHA EVALSHA_RO".split())

# On one line, so that the lines of what follows keep their numbers. Redis itself says which of a call's
# arguments are keys; of a call that is malformed or has none it says so, and then the call itself is to fail
# or not. The first refusal has the documentation's words. For the second it has none: these are ours.
_DECLARED_KEYS_ONLY = b" ".join(
    b"""
local redis = (function(server)
  local declared = {}
  for _, key in ipairs(KEYS) do declared[key] = true end
  local function refusal(name, ...)
    local upper = string.upper(tostring(name))
    if upper == 'FLUSHDB' or upper == 'FLUSHALL' then
      return "ERR '" .. upper .. "' is not allowed in Lua scripts when 'allow-key-locking' flag is set."
    end
    local keys = server.pcall('COMMAND', 'GETKEYS', name, ...)
    if keys.err then return nil end
    for _, key in ipairs(keys) do
      if not declared[key] then
        return "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set."
          .. " Key was: " .. key
      end
    end
  end
  local function call(...)
    local refused = refusal(...)
    if refused then error({err = refused}) end
    return server.call(...)
  end
  local function protected_call(...)
    local refused = refusal(...)
    if refused then return {err = refused} end
    return server.pcall(...)
  end
  return setmetatable({call = call, pcall = protected_call}, {__index = server})
end)(redis)
""".split()
)


# Of one text there is one SHA1: what any front of this process was sent is true for all of them.
_REDIS_SHA_BY_SENT: dict[bytes, bytes] = {}
_SENT_SHA_BY_REDIS: dict[bytes, bytes] = {}


def translated(command: list[Any]) -> list[Any]:
    """What Redis is asked in place of `command`, which came from a client."""
    name, *parts = (_as_bytes(part) for part in command)
    name = name.upper()
    if name in _WITH_SOURCE and parts:
        return [name, _source(parts[0]), *parts[1:]]
    if name in _WITH_SHA and parts:
        return [name, _sha(parts[0]), *parts[1:]]
    if name == b"SCRIPT" and len(parts) > 1:
        what = _source if parts[0].upper() == b"LOAD" else _sha
        return [name, parts[0], *(what(part) for part in parts[1:])]
    return command


def restored(reply: Any) -> Any:
    """`reply` with the hash as the client knows it, where SCRIPT LOAD answers with Redis' own."""
    if isinstance(reply, list):
        return [restored(item) for item in reply]
    return _SENT_SHA_BY_REDIS.get(reply, reply) if isinstance(reply, bytes) else reply


def _source(sent: bytes) -> bytes:
    given = _without_flag(sent)
    if given != sent:
        sent_sha, redis_sha = _sha1(sent), _sha1(given)
        _REDIS_SHA_BY_SENT[sent_sha] = redis_sha
        _SENT_SHA_BY_REDIS[redis_sha] = sent_sha
    return given


def _sha(sent: bytes) -> bytes:
    return _REDIS_SHA_BY_SENT.get(sent.lower(), sent)


def _without_flag(source: bytes) -> bytes:
    """`source` with the flag taken off its first line, and what the flag forbids refused; else as it is."""
    first, _, rest = source.partition(b"\n")
    engine, *options = first.split() or [b""]
    flags = [
        flag
        for part in options
        if part.startswith(_FLAGS_PART)
        for flag in part.removeprefix(_FLAGS_PART).split(b",")
    ]
    if engine != b"#!lua" or _FLAG not in flags:
        return source
    others = b",".join(flag for flag in flags if flag != _FLAG)
    # Without a first line at all where no flag is left: with one Redis has rules of its own.
    first = b"#!lua " + _FLAGS_PART + others if others else b""
    return first + b"\n" + _DECLARED_KEYS_ONLY + b" " + rest


def _sha1(source: bytes) -> bytes:
    return hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


def _as_bytes(part: str | bytes) -> bytes:
    return part if isinstance(part, bytes) else part.encode()
