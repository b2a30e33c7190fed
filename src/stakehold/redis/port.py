"""Redis as the rest of the service sees it: one command or one script a trip, over any transport.

Replies are those of RESP2: nil is None, an integer is int, a status or a bulk string is bytes, an array is a
list.
Arguments are text, integers, or bytes that are UTF-8: Upstash's REST carries them as JSON.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias

from stakehold.domain.errors import ExternalServiceError
from stakehold.domain.ports import Clock

Argument: TypeAlias = str | bytes | int
Reply: TypeAlias = "int | bytes | list[Reply] | None"

COMMAND_BYTES_MAX = 1024 * 1024
"""A longer command is a mistake of ours (ValueError). Upstash accepts 10 MB, and did 1 MB."""

REPLY_BYTES_MAX = 4 * 1024 * 1024
"""A longer reply is refused: nothing we ask for comes near it."""


class RedisUnavailableError(ExternalServiceError):
    """Redis is away, too slow, full, or cannot serve now.

    `outcome_unknown` is False when the command certainly had no effect. `reason` is for logs, never for an
    answer.
    """

    default_code: ClassVar[str] = "redis_unavailable"

    def __init__(self, reason: str, *, outcome_unknown: bool) -> None:
        super().__init__("A store this service needs is unavailable.", retry_after_s=1)
        self.reason = reason
        self.outcome_unknown = outcome_unknown

    def __str__(self) -> str:
        return self.reason


class RedisReplyError(ExternalServiceError):
    """Redis answered a command or script with an error: ours to mend. `reason` is for logs, as above."""

    default_code: ClassVar[str] = "redis_error"

    def __init__(self, reason: str) -> None:
        super().__init__("A store this service needs refused a command.", retry_after_s=1)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class UnknownScriptError(RedisReplyError):
    """Redis does not have the script of that hash: it restarted, or its scripts were flushed."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script; `sha` is what EVALSHA calls it by."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


class Redis(Protocol):
    """One Redis database. Every call raises RedisUnavailableError or RedisReplyError when it fails."""

    @property
    def connection_losses(self) -> int:
        """How often an established connection was lost, or a request went unanswered; only ever grows."""
        ...

    async def command(self, *arguments: Argument, timeout_s: float) -> Reply:
        """Send one command and return its reply within `timeout_s`."""
        ...

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], timeout_s: float
    ) -> Reply:
        """Run a script, atomically, by its hash; its source is sent only when Redis does not know it."""
        ...

    async def close(self) -> None:
        """Give up what is in flight and refuse everything afterwards."""
        ...


async def run_script(
    redis: Redis,
    clock: Clock,
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[Argument],
    timeout_s: float,
) -> Reply:
    """EVALSHA, then EVAL if Redis does not know the script, both within `timeout_s`."""
    end_s = clock.monotonic_s() + timeout_s
    try:
        return await redis.command("EVALSHA", script.sha, len(keys), *keys, *arguments, timeout_s=timeout_s)
    except UnknownScriptError:
        left_s = end_s - clock.monotonic_s()
    return await redis.command("EVAL", script.source, len(keys), *keys, *arguments, timeout_s=left_s)


# What a server says when it cannot serve now, whatever was asked. Before Redis 7 a script's error wraps it;
# the last line has Upstash's words for a full database and a used-up plan.
_UNAVAILABLE = re.compile(
    r"(?:ERR Error running script .*?-)?(?:"
    r"(?:OOM|LOADING|READONLY|MASTERDOWN|BUSY|MISCONF|NOREPLICAS|CLUSTERDOWN|TRYAGAIN)\b|"
    r"ERR max number of clients|ERR DB capacity quota|ERR max (?:daily|requests|concurrent))"
)
# How Redis ends "ERR unknown command 'AUTH'": the password would follow, on its way to a log or the doctor.
_QUOTES_ARGUMENTS = ", with args beginning with"
_REASON_CHARACTERS_MAX = 200


def error_of(message: str) -> RedisUnavailableError | RedisReplyError:
    """The exception for an error reply. Redis checks for all of these before a command has any effect."""
    reason = message.partition(_QUOTES_ARGUMENTS)[0][:_REASON_CHARACTERS_MAX]
    if _UNAVAILABLE.match(message):
        return RedisUnavailableError(reason, outcome_unknown=False)
    if message.upper().startswith("NOSCRIPT"):
        return UnknownScriptError(reason)
    return RedisReplyError(reason)
