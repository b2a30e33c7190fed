"""The front of the tests answers as Upstash's documentation does, so that it is not tuned to our client."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.upstash_front import UpstashFront


@pytest_asyncio.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    server = UpstashFront(redis_url)
    await server.start()
    yield server
    await server.stop()


async def ask(
    front: UpstashFront,
    method: str,
    path: str,
    body: Any = None,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """A request with the front's token, unless other headers are given; its status and its JSON."""
    sent = {"Authorization": f"Bearer {front.token}"} if headers is None else headers
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, front.url + path, json=body, data=data, headers=sent) as response,
    ):
        return response.status, await response.json()


async def test_a_command_is_sent_as_an_array(front: UpstashFront) -> None:
    """`POST /` with `[COMMAND, ARG, …]`; numbers are taken as their text."""
    assert await ask(front, "POST", "/", ["SET", "foo", "bar", "EX", 100]) == (200, {"result": "OK"})
    assert await ask(front, "POST", "/", ["GET", "foo"]) == (200, {"result": "bar"})
    assert await ask(front, "POST", "/", ["GET", "absent"]) == (200, {"result": None})
    assert await ask(front, "POST", "/", ["INCRBY", "n", 137]) == (200, {"result": 137})
    status, answer = await ask(front, "POST", "/", ["MGET", "foo", "absent", "n"])
    assert (status, answer) == (200, {"result": ["bar", None, "137"]})


async def test_a_command_is_sent_as_a_path(front: UpstashFront) -> None:
    """`/COMMAND/arg…`, with a value in the body and what follows it as parameters."""
    assert await ask(front, "GET", "/set/foo/b%2Fr") == (200, {"result": "OK"})
    assert await ask(front, "GET", "/get/foo") == (200, {"result": "b/r"})
    assert await ask(front, "POST", "/set/foo?EX=100", data=b'{"a":1}') == (200, {"result": "OK"})
    assert await ask(front, "GET", "/get/foo") == (200, {"result": '{"a":1}'})
    status, answer = await ask(front, "GET", "/ttl/foo")
    assert status == 200
    assert 0 < answer["result"] <= 100


async def test_errors_have_status_400_and_a_reason(front: UpstashFront) -> None:
    """What Redis refuses, and what is no command at all."""
    assert await ask(front, "POST", "/", ["GET"]) == (
        400,
        {"error": "ERR wrong number of arguments for 'get' command"},
    )
    for body in ({}, [], "GET", 7):
        status, answer = await ask(front, "POST", "/", body)
        assert (status, list(answer)) == (400, ["error"])


async def test_the_token_is_wanted_in_the_header_or_the_address(front: UpstashFront) -> None:
    """Without it 401; a wrong one too."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": front.token}):
        assert await ask(front, "POST", "/", ["PING"], headers=headers) == (
            401,
            {"error": "WRONGPASS invalid or missing auth token"},
        )
    assert await ask(front, "GET", f"/ping?_token={front.token}", headers={}) == (200, {"result": "PONG"})


async def test_other_methods_are_refused(front: UpstashFront) -> None:
    """Only HEAD, GET, POST and PUT are taken."""
    assert (await ask(front, "DELETE", "/", ["PING"]))[0] == 405


async def test_a_pipeline_answers_each_command(front: UpstashFront) -> None:
    """The documentation's example: an error in the middle stops nothing."""
    commands = [
        ["SET", "key1", "valuex"],
        ["SETEX", "key2", 13, "valuez"],
        ["INCR", "key1"],
        ["ZADD", "myset", 11, "item1", 22, "item2"],
    ]
    for path in ("/pipeline", "/multi-exec"):
        status, answer = await ask(front, "POST", path, commands)
        assert status == 200
        assert [list(item) for item in answer] == [["result"], ["result"], ["error"], ["result"]]
        assert answer[:2] == [{"result": "OK"}] * 2
        assert answer[3] == {"result": 2 if path == "/pipeline" else 0}


async def test_a_transaction_with_a_malformed_command_is_discarded(front: UpstashFront) -> None:
    """One answer for the whole, status 400, and no command has run."""
    status, answer = await ask(front, "POST", "/multi-exec", [["SET", "foo", "bar"], ["GET"]])
    assert (status, list(answer)) == (400, ["error"])
    assert await ask(front, "POST", "/", ["EXISTS", "foo"]) == (200, {"result": 0})


async def test_replies_in_base64_but_ok(front: UpstashFront) -> None:
    """With `Upstash-Encoding: base64` every string but OK is encoded; without it broken UTF-8 is replaced."""
    encoded = {"Authorization": f"Bearer {front.token}", "Upstash-Encoding": "base64"}
    assert await ask(front, "GET", "/set/foo/bar", headers=encoded) == (200, {"result": "OK"})
    assert await ask(front, "GET", "/get/foo", headers=encoded) == (200, {"result": "YmFy"})
    assert await ask(front, "POST", "/set/foo", data=b"\xff") == (200, {"result": "OK"})
    assert await ask(front, "GET", "/get/foo", headers=encoded) == (200, {"result": "/w=="})
    assert await ask(front, "GET", "/get/foo") == (200, {"result": "\N{REPLACEMENT CHARACTER}"})


async def test_it_runs_by_itself(redis_url: str) -> None:
    """`python -m tests.support.upstash_front` prints its address and serves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.upstash_front", "--redis-url", redis_url, "--token", "t",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
            async with (
                aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session,
                session.post(url, json=["PING"]) as response,
            ):
                assert await response.json() == {"result": "PONG"}
    finally:
        process.kill()
        await process.wait()


async def test_replies_in_resp2(front: UpstashFront) -> None:
    """With `Upstash-Response-Format: resp2` a reply comes as over TCP; not with base64, and not otherwise."""
    authorised = {"Authorization": f"Bearer {front.token}"}
    headers = {**authorised, "Upstash-Response-Format": "resp2"}
    commands = [["SET", "foo", "bar"], ["GET", "foo"], ["GET", "absent"], ["INCR", "n"], ["MGET", "foo", "n"]]
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{front.url}/pipeline", json=commands) as response,
    ):
        assert response.content_type == "application/octet-stream"
        assert await response.read() == (b"+OK\r\n$3\r\nbar\r\n$-1\r\n:1\r\n*2\r\n$3\r\nbar\r\n$1\r\n1\r\n")
    status, answer = await ask(front, "POST", "/multi-exec", [["GET", "foo"]], headers=headers)
    assert (status, answer) == (200, [{"result": "bar"}])
    for refused in (
        {**headers, "Upstash-Encoding": "base64"},
        {**authorised, "Upstash-Response-Format": "resp3"},
    ):
        status, answer = await ask(front, "POST", "/", ["PING"], headers=refused)
        assert (status, list(answer)) == (400, ["error"])


async def test_what_rest_does_not_have_is_refused(front: UpstashFront) -> None:
    """What waits, watches, subscribes or is about the connection: by body, by path, in a batch."""
    for command in (["BLPOP", "k", "1"], ["watch", "k"], ["SUBSCRIBE", "c"], ["SELECT", "1"], ["MULTI"]):
        status, answer = await ask(front, "POST", "/", command)
        assert (status, list(answer)) == (400, ["error"])
    assert (await ask(front, "GET", "/client/list"))[0] == 400
    assert (await ask(front, "POST", "/", ["XREAD", "BLOCK", "1", "STREAMS", "s", "$"]))[0] == 400
    assert (await ask(front, "POST", "/pipeline", [["PING"], ["BLPOP", "k", "1"]]))[0] == 400
    assert await ask(front, "POST", "/", ["PUBLISH", "c", "m"]) == (200, {"result": 0})


async def test_a_request_that_is_too_large_is_refused(front: UpstashFront) -> None:
    """All parts of a command count; in a transaction nothing is done at all."""
    front.command_bytes_max = 100
    assert await ask(front, "POST", "/", ["SET", "k", "x" * 96]) == (200, {"result": "OK"})
    too_large = {"error": "ERR max request size exceeded"}
    assert await ask(front, "POST", "/", ["SET", "k", "x" * 97]) == (400, too_large)
    assert await ask(front, "POST", "/set/k", data=b"x" * 97) == (400, too_large)
    batch = [["SET", "other", "v"], ["SET", "k", "x" * 97]]
    assert await ask(front, "POST", "/multi-exec", batch) == (400, too_large)
    assert await ask(front, "POST", "/", ["EXISTS", "other"]) == (200, {"result": 0})


async def test_what_is_no_batch_is_refused(front: UpstashFront) -> None:
    """A batch is an array of commands, each an array."""
    for path in ("/pipeline", "/multi-exec"):
        for body in ({}, [], ["PING"], [[]], "PING"):
            status, answer = await ask(front, "POST", path, body)
            assert (status, list(answer)) == (400, ["error"])
        assert (await ask(front, "POST", path, data=b"[["))[0] == 400
        assert (await ask(front, "POST", path))[0] == 400


FLAG = "#!lua flags=allow-key-locking\n"


async def sha_of(front: UpstashFront, source: str) -> str:
    """What SCRIPT LOAD answers, which is the SHA1 of the text as sent."""
    status, answer = await ask(front, "POST", "/", ["SCRIPT", "LOAD", source])
    assert (status, answer) == (200, {"result": hashlib.sha1(source.encode()).hexdigest()})
    return str(answer["result"])


async def test_a_script_that_locks_its_keys_is_known_by_the_hash_of_its_text(
    front: UpstashFront, redis_url: str
) -> None:
    """By EVAL and SCRIPT LOAD, in a batch and a transaction, the flag counts as part of the text.

    Another front before the same Redis knows it too.
    """
    source = FLAG + "return redis.call('INCRBY', KEYS[1], ARGV[1])"
    sha = hashlib.sha1(source.encode()).hexdigest()
    status, answer = await ask(front, "POST", "/", ["EVALSHA", sha, 1, "n", 2])
    assert (status, answer["error"].split()[0]) == (400, "NOSCRIPT")
    assert await ask(front, "POST", "/", ["EVAL", source, 1, "n", 2]) == (200, {"result": 2})
    assert await ask(front, "POST", "/", ["evalsha", sha.upper(), 1, "n", 3]) == (200, {"result": 5})
    beside = UpstashFront(redis_url)
    await beside.start()
    assert await ask(beside, "POST", "/", ["EVALSHA", sha, 1, "n", 0]) == (200, {"result": 5})
    await beside.stop()
    for path in ("/pipeline", "/multi-exec"):
        batch = [["SCRIPT", "LOAD", source], ["SCRIPT", "EXISTS", sha], ["EVALSHA", sha, 1, "n", 0]]
        expected = [{"result": sha}, {"result": [1]}, {"result": 5}]
        assert await ask(front, "POST", path, batch) == (200, expected)
    assert await ask(front, "POST", "/", ["SCRIPT", "FLUSH"]) == (200, {"result": "OK"})
    assert await ask(front, "POST", "/", ["SCRIPT", "EXISTS", sha]) == (200, {"result": [0]})
    status, answer = await ask(front, "POST", "/", ["EVALSHA", sha, 1, "n", 2])
    assert (status, answer["error"].split()[0]) == (400, "NOSCRIPT")


@pytest.mark.parametrize(
    "call",
    [
        "redis.call('SET', 'other', 'x')",
        "redis.call('GET', ARGV[1])",
        "redis.call('ZUNIONSTORE', KEYS[1], 1, 'other')",
        "redis.pcall('MGET', KEYS[1], KEYS[2], 'other')",
    ],
)
async def test_a_script_that_locks_its_keys_is_refused_every_other(front: UpstashFront, call: str) -> None:
    """In the documentation's words; what the script did before stays, and without the flag it may."""
    source = f"redis.call('SET', KEYS[2], 'x') return {call}"
    refusal = (
        "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: other"
    )
    for command in (
        ["EVAL", FLAG + source],
        ["EVALSHA", await sha_of(front, FLAG + source)],
        ["EVAL", "#!lua flags=allow-oom,allow-key-locking\n" + source],
    ):
        status, answer = await ask(front, "POST", "/", [*command, 2, "k", "set", "other"])
        assert (status, answer["error"][: len(refusal)]) == (400, refusal)
    assert await ask(front, "POST", "/", ["MGET", "set", "other"]) == (200, {"result": ["x", None]})
    assert (await ask(front, "POST", "/", ["EVAL", source, 2, "k", "set", "other"]))[0] == 200


async def test_a_script_that_locks_its_keys_may_do_all_else(front: UpstashFront) -> None:
    """Its keys by whatever way it comes to their names, and commands without keys; not empty the database."""
    source = FLAG + (
        "redis.call('SET', 'a' .. 'b', ARGV[1])\n"
        "local refused = redis.pcall('flushall')\n"
        "return {redis.call('MGET', KEYS[2], KEYS[1]), redis.call('ECHO', 'e'), #redis.call('TIME'),\n"
        "  redis.status_reply('FINE'), redis.sha1hex(''):len(), type(refused.err)}"
    )
    status, answer = await ask(front, "POST", "/", ["EVAL", source, 2, "ab", "absent", "x"])
    assert (status, answer) == (200, {"result": [[None, "x"], "e", 2, "FINE", 40, "string"]})
    status, answer = await ask(front, "POST", "/", ["EVAL", FLAG + "\nerror('here')", 0])
    assert (status, "user_script:3: here" in answer["error"]) == (400, True)


async def test_only_the_first_line_has_flags(front: UpstashFront) -> None:
    """A flag further down is none, other flags keep their meaning, and an unknown one is refused."""
    below = "-- \n" + "-- " + FLAG + "return redis.call('SET', 'other', 'x')"
    assert await ask(front, "POST", "/", ["EVAL", below, 0]) == (200, {"result": "OK"})
    for flags in ("no-writes", "no-writes,allow-key-locking"):
        source = f"#!lua flags={flags}\nreturn redis.call('SET', KEYS[1], 'x')"
        status, answer = await ask(front, "POST", "/", ["EVAL", source, 1, "k"])
        assert (status, "Write commands are not allowed" in answer["error"]) == (400, True)
    status, answer = await ask(front, "POST", "/", ["EVAL", "#!lua flags=nonsense\nreturn 1", 0])
    assert (status, answer["error"]) == (400, "ERR Unexpected flag in script shebang: nonsense")
