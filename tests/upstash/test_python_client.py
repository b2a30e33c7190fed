"""upstash-redis, Upstash's client for Python, finds in the front what it documents of Upstash."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from upstash_redis import Redis as BlockingRedis
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError

from tests.support.upstash_front import UpstashFront

TEXT = 'größe ✓ 日本 \U0001f600 "quoted" \\ \n end'
NOT_AN_INTEGER = "ERR value is not an integer or out of range"


def client_of(front: UpstashFront, **options: Any) -> Redis:
    return Redis(
        **{"url": front.url, "token": front.token, "rest_retries": 0, "allow_telemetry": False, **options}
    )


@pytest_asyncio.fixture(params=["base64", None])
async def redis(front: UpstashFront, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client with answers in base64, which is its default, and one without."""
    client = client_of(front, rest_encoding=request.param)
    yield client
    await client.close()


async def test_strings(redis: Redis) -> None:
    """Text of any script, the empty one, one that reads OK; absence; conditions and lives."""
    assert await redis.set("text", TEXT) is True
    assert await redis.get("text") == TEXT
    assert await redis.get("absent") is None
    assert [await redis.set("empty", ""), await redis.get("empty")] == [True, ""]
    assert [await redis.set("ok", "OK"), await redis.get("ok")] == [True, "OK"]
    assert await redis.set("brief", "1", ex=100) is True
    assert 90 < await redis.ttl("brief") <= 100
    assert [await redis.set("once", "1", nx=True), await redis.set("once", "2", nx=True)] == [True, False]
    assert [await redis.incr("count"), await redis.incrby("count", 41)] == [1, 42]
    assert await redis.mget("text", "absent", "count") == [TEXT, None, "42"]
    assert await redis.delete("text", "count", "absent") == 2


async def test_hashes_sets_and_lists(redis: Redis) -> None:
    """Replies that are arrays come in the client's own types."""
    assert await redis.hset("hash", values={"a": "x", "b": "ü"}) == 2
    assert await redis.hgetall("hash") == {"a": "x", "b": "ü"}
    assert await redis.hmget("hash", "b", "absent") == ["ü", None]
    assert await redis.zadd("zset", {"a": 1.5, "b": 2}) == 2
    assert await redis.zrange("zset", 0, -1, withscores=True) == [("a", 1.5), ("b", 2.0)]
    assert await redis.zcount("zset", "(1.5", "+inf") == 1
    assert [await redis.rpush("list", "a", "b"), await redis.lrange("list", 0, -1)] == [2, ["a", "b"]]


async def test_scripts(redis: Redis) -> None:
    """By source and by hash; nested arrays; a hash that is not known; an error of the script's own."""
    script = "return {KEYS[1], ARGV[1], 7, false, {'a', {2}}}"
    assert await redis.eval(script, ["k"], ["ä"]) == ["k", "ä", 7, None, ["a", [2]]]
    sha = await redis.script_load("return ARGV[1]")
    assert await redis.evalsha(sha, args=["again"]) == "again"
    assert await redis.script_exists(sha, "0" * 40) == [True, False]
    with pytest.raises(UpstashError, match=r"^NOSCRIPT"):
        await redis.evalsha("0" * 40)
    with pytest.raises(UpstashError, match=r"^ERR of the script"):
        await redis.eval("return redis.error_reply('ERR of the script')")


async def test_batches(redis: Redis) -> None:
    """A pipeline and a transaction answer in order; an error in one stops none of the others."""
    for batch in (redis.pipeline(), redis.multi()):
        key = f"batch-{id(batch)}"
        batch.set(key, "1").incr(key).get(key).zadd(f"{key}:z", {"m": 1})
        assert await batch.exec() == [True, 2, "2", 1]
        batch = redis.pipeline()
        batch.set(key, "v").incr(key).set(f"{key}:after", "1")
        with pytest.raises(UpstashError, match=NOT_AN_INTEGER):
            await batch.exec()
        assert await redis.get(f"{key}:after") == "1"


async def test_errors(redis: Redis, front: UpstashFront) -> None:
    """Redis' own words; the token's; a request that is too large; a plan that is used up."""
    for command, words in (
        (["GET"], "ERR wrong number of arguments for 'get' command"),
        (["NONSENSE"], "ERR unknown command 'NONSENSE'"),
        (["BLPOP", "k", "1"], "ERR Command is not available: 'BLPOP'"),
    ):
        with pytest.raises(UpstashError, match=words):
            await redis.execute(command)
    front.command_bytes_max = 1000
    with pytest.raises(UpstashError, match="ERR max request size exceeded"):
        await redis.set("large", "x" * 1000)
    front.faults.refusal = "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000"
    with pytest.raises(UpstashError, match="ERR max daily request limit exceeded"):
        await redis.get("k")
    stranger = client_of(front, token="wrong")
    with pytest.raises(UpstashError, match="WRONGPASS invalid or missing auth token"):
        await stranger.get("k")
    await stranger.close()


async def test_large_values(redis: Redis) -> None:
    """Half a megabyte of text there and back."""
    large = "ä" * 250_000
    assert await redis.set("large", large) is True
    assert await redis.get("large") == large


async def test_it_reads_its_own_writes(front: UpstashFront) -> None:
    """Each request carries the token that the last answer gave."""
    client = client_of(front)
    for _ in range(3):
        await client.incr("count")
    await client.close()
    assert front.sync_tokens == ["", "front-1", "front-2"]


async def test_the_blocking_client(front: UpstashFront) -> None:
    """The same over the client's other half, from a thread."""

    def work() -> list[Any]:
        with BlockingRedis(front.url, front.token, rest_retries=0) as client:
            return [client.set("text", TEXT), client.get("text"), client.pipeline().incr("n").get("n").exec()]

    assert await asyncio.wait_for(asyncio.to_thread(work), 30) == [True, TEXT, [1, "1"]]
