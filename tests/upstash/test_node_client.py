"""@upstash/redis, Upstash's client for JavaScript, finds in the front what it documents of Upstash.

Its checks are node/battery.mjs; `npm ci` in that directory installs the client.
"""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.upstash_front import UpstashFront

HERE = Path(__file__).parent / "node"
TIMEOUT_S = 60

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
EXPECTED = {
    "ping": "PONG",
    "set": "OK",
    "get": True,
    "get without base64": True,
    "absent": None,
    "empty": ["OK", ""],
    "the text OK": ["OK", "OK"],
    "object": ["OK", {"a": [1, None, "x"]}],
    "ex": ["OK", True],
    "nx": ["OK", None],
    "incr": [1, 42, 41],
    "mget": ["OK", ["a", None, "b"]],
    "del": 2,
    "hash": [2, "ü", {"a": "x", "b": "ü"}, 1],
    "zset": [2, ["a", 1.5, "b", 2], 1.5, 1],
    "list": [2, ["a", "b"]],
    "eval": ["k", "ä", 7, None],
    "nested": [1, ["a", [2, "b"]]],
    "evalsha": [40, "again", [1, 0]],
    "pipeline": ["OK", 1, "v", 1],
    "pipeline kept error": [{"result": "OK"}, {"error": NOT_AN_INTEGER}, {"result": "v"}],
    "multi": ["OK", 2, 2],
    "multi discarded": 0,
    "autopipelining": [["OK", 2, 3], 1],
    "large": ["OK", True],
    "scan": ["zset"],
}
ERRORS = {
    "eval error": "UpstashError: ERR of the script",
    "noscript": "UpstashError: NOSCRIPT No matching script",
    "wrong type": f"UpstashError: {WRONG_TYPE}",
    "unknown command": "UpstashError: ERR unknown command 'NONSENSE'",
    "too few arguments": "UpstashError: ERR wrong number of arguments for 'get' command",
    "wrong token": "UpstashError: WRONGPASS invalid or missing auth token",
    "pipeline error": f"UpstashError: Command 2 [ incr ] failed: {NOT_AN_INTEGER}",
    "multi error": f"UpstashError: Command 2 [ incr ] failed: {NOT_AN_INTEGER}",
    "too large": "Error: ERR max request size exceeded",
}


def node() -> str:
    """The Node runtime, with the client installed; skips, but not where CI=true, when there is none."""
    program = shutil.which("node")
    if program and (HERE / "node_modules" / "@upstash" / "redis").is_dir():
        return program
    missing = f"needs Node 20 or later, and `npm ci` in {HERE}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


async def outcomes_at(front: UpstashFront) -> dict[str, Any]:
    environment = {
        **os.environ,
        "UPSTASH_REDIS_REST_URL": front.url,
        "UPSTASH_REDIS_REST_TOKEN": front.token,
    }
    process = await asyncio.create_subprocess_exec(
        node(), "battery.mjs", cwd=HERE, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        printed, said = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    found: dict[str, Any] = json.loads(printed)
    return found


async def test_every_call_has_the_outcome_that_its_documentation_states(front: UpstashFront) -> None:
    """Text, numbers, hashes, sorted sets, scripts, batches, transactions, joined calls, sizes and errors."""
    front.command_bytes_max = 1024 * 1024
    found = await outcomes_at(front)
    assert set(found) == set(EXPECTED) | set(ERRORS)
    assert {name: outcome.get("value") for name, outcome in found.items() if name in EXPECTED} == EXPECTED
    for name, begin in ERRORS.items():
        assert found[name].get("error", "").startswith(begin), (name, found[name])
    # The client sends back the token of its last answer, so that it reads its own writes.
    assert any(token.startswith("front-") for token in front.sync_tokens)
