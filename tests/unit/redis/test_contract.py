"""What both transports promise, over a real Valkey: RESP directly, Upstash through its REST front."""

import asyncio
import signal
import time

import pytest

from stakehold.redis.port import (
    COMMAND_BYTES_MAX,
    Redis,
    RedisReplyError,
    RedisUnavailableError,
    Reply,
    Script,
)
from stakehold.redis.upstash import locking_its_keys
from stakehold.runtime.embedded import EmbeddedValkey
from stakehold.runtime.embedded_server import free_port
from tests.support.fakes import CountingCounters
from tests.unit.redis.conftest import Connect, eventually, until

TIMEOUT_S = 5.0


async def blocked_clients(other: Redis) -> int:
    report = await other.command("INFO", "clients", timeout_s=TIMEOUT_S)
    assert isinstance(report, bytes)
    return int(report.partition(b"blocked_clients:")[2].split()[0])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return 'text'", b"text"),
        ("return ''", b""),
        ("return false", None),
        ("return 0", 0),
        ("return -7", -7),
        ("return redis.status_reply('FINE')", b"FINE"),
        ("return {}", []),
        ("return {1, 'two', {3, {false, 'é'}}}", [1, b"two", [3, [None, "é".encode()]]]),
        ("return {KEYS[1], ARGV[1], ARGV[2], ARGV[3]}", [b"{k}", b"7", "žluť 🐎".encode(), b'{"a":"\\n"}']),
    ],
)
async def test_every_kind_of_reply_arrives_as_it_is(redis: Redis, source: str, expected: Reply) -> None:
    """Nil, integers, text, status, nested arrays and UTF-8 mean the same over both transports."""
    arguments = [7, "žluť 🐎", b'{"a":"\\n"}']
    assert await redis.script(Script(source), ["{k}"], arguments, TIMEOUT_S) == expected


async def test_integers_keep_all_64_bits(redis: Redis) -> None:
    """The largest and smallest integers Redis has are neither rounded nor turned into text."""
    for number in (2**63 - 1, -(2**63)):
        await redis.command("SET", "n", number, timeout_s=TIMEOUT_S)
        assert await redis.command("INCRBY", "n", 0, timeout_s=TIMEOUT_S) == number


async def test_a_missing_key_is_nil(redis: Redis) -> None:
    """What is not there is None, not empty."""
    assert await redis.command("GET", "absent", timeout_s=TIMEOUT_S) is None
    assert await redis.command("MGET", "absent", "absent", timeout_s=TIMEOUT_S) == [None, None]


async def test_a_megabyte_passes_whole(redis: Redis) -> None:
    """A reply far longer than a socket's buffer is put together again."""
    script = Script("return {string.rep('0123456789abcdef', 65536), 'end'}")
    assert await redis.script(script, [], [], TIMEOUT_S) == [b"0123456789abcdef" * 65536, b"end"]


async def test_a_command_beyond_the_limit_is_never_sent(redis: Redis) -> None:
    """A command of over a megabyte is a mistake of ours and raises ValueError; the client works on."""
    with pytest.raises(ValueError, match="at most"):
        await redis.command("SET", "k", "x" * COMMAND_BYTES_MAX, timeout_s=TIMEOUT_S)
    assert await redis.command("EXISTS", "k", timeout_s=TIMEOUT_S) == 0


async def test_a_script_redis_does_not_know_is_sent_once_and_runs_once(
    redis: Redis, connect: Connect
) -> None:
    """After its scripts are flushed Redis is sent the source again, and the script has its effect once."""
    script = Script("return redis.call('INCR', KEYS[1])")
    sent = locking_its_keys(script) if connect.transport == "upstash" else script
    assert await redis.script(script, ["n"], [], TIMEOUT_S) == 1
    assert await redis.command("SCRIPT", "EXISTS", sent.sha, timeout_s=TIMEOUT_S) == [1]
    await redis.command("SCRIPT", "FLUSH", timeout_s=TIMEOUT_S)
    assert await redis.script(script, ["n"], [], TIMEOUT_S) == 2
    assert await redis.script(script, ["n"], [], TIMEOUT_S) == 3


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("return redis.error_reply('REFUSED by the script')", "REFUSED"),
        ("error('broken')", "broken"),
        ("return redis.call('LPUSH', KEYS[1], 'x')", "WRONGTYPE"),
        ("this is not Lua", "compil"),
    ],
)
async def test_a_scripts_error_is_the_callers_alone(redis: Redis, source: str, reason: str) -> None:
    """A script that fails raises RedisReplyError; Redis does not count as away and the next call works."""
    await redis.command("SET", "k", "text", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisReplyError, match=reason):
        await redis.script(Script(source), ["k"], [], TIMEOUT_S)
    assert await redis.command("GET", "k", timeout_s=TIMEOUT_S) == b"text"
    assert redis.connection_losses == 0


@pytest.mark.parametrize("command", [("LPUSH", "k", "x"), ("NOSUCHCOMMAND",), ("GET",)])
async def test_a_wrong_command_is_a_reply_error(redis: Redis, command: tuple[str, ...]) -> None:
    """A wrong type, name or number of arguments raises RedisReplyError."""
    await redis.command("SET", "k", "text", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisReplyError):
        await redis.command(*command, timeout_s=TIMEOUT_S)


async def test_200_callers_get_their_own_replies(redis: Redis) -> None:
    """Whatever is in flight at once, each caller has the reply to its own command."""

    async def ask(number: int) -> bool:
        if number % 3 == 0:
            with pytest.raises(RedisReplyError, match=f"REFUSED {number}$"):
                await redis.script(
                    Script("return redis.error_reply(ARGV[1])"), [], [f"REFUSED {number}"], 5.0
                )
            return True
        return await redis.command("ECHO", number, timeout_s=TIMEOUT_S) == str(number).encode()

    assert all(await asyncio.gather(*(ask(number) for number in range(200))))


async def test_a_caller_that_gives_up_does_not_shift_the_others_replies(redis: Redis, other: Redis) -> None:
    """Cancelled in flight, a command leaves every other caller its own reply."""
    given_up = asyncio.create_task(redis.command("BLPOP", "queue", 10, timeout_s=TIMEOUT_S))
    behind = [asyncio.create_task(redis.command("ECHO", number, timeout_s=TIMEOUT_S)) for number in range(50)]
    await until(lambda: _is(blocked_clients(other), 1))
    given_up.cancel()
    for task in behind[::7]:
        task.cancel()
    await other.command("LPUSH", "queue", "x", timeout_s=TIMEOUT_S)
    replies = await asyncio.gather(*behind, return_exceptions=True)
    for number, reply in enumerate(replies):
        if number % 7 == 0:
            # Over REST the replies may already be there when the callers are cancelled.
            assert isinstance(reply, asyncio.CancelledError) or reply == str(number).encode()
        else:
            assert reply == str(number).encode()
    assert given_up.cancelled()


async def _is(measured: object, expected: int) -> bool:
    return (await measured) == expected  # type: ignore[misc]


async def test_commands_beyond_the_bound_are_refused_at_once(
    connect: Connect, redis_url: str, other: Redis, counters: CountingCounters
) -> None:
    """With the bound reached, a further command is refused before it is sent; the others are served."""
    redis = await connect(redis_url, max_in_flight=3)
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"
    within = [asyncio.create_task(redis.command("BLPOP", "queue", 10, timeout_s=TIMEOUT_S)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RedisUnavailableError) as refused:
        await redis.command("SET", "beyond", "1", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert counters.counts["redis_refused"] == 1
    await other.command("LPUSH", "queue", "a", "b", "c", timeout_s=TIMEOUT_S)
    taken = await asyncio.gather(*within)
    assert sorted(item for pair in taken for item in pair) == [b"a", b"b", b"c"] + [b"queue"] * 3
    assert await redis.command("EXISTS", "beyond", timeout_s=TIMEOUT_S) == 0


async def test_a_call_without_time_left_sends_nothing(redis: Redis) -> None:
    """A caller whose time is up is refused, and knows that nothing happened."""
    with pytest.raises(RedisUnavailableError) as refused:
        await redis.command("SET", "late", "1", timeout_s=0.0)
    assert refused.value.outcome_unknown is False
    assert await redis.command("EXISTS", "late", timeout_s=TIMEOUT_S) == 0


async def test_a_stopped_server_times_out_and_the_client_recovers(
    connect: Connect, private_valkey: EmbeddedValkey
) -> None:
    """A server that hangs costs each caller its timeout and leaves the outcome unknown; then all is well."""
    redis = await connect(private_valkey.url)
    await redis.command("SET", "k", "before", timeout_s=TIMEOUT_S)
    assert private_valkey.process is not None
    private_valkey.process.send_signal(signal.SIGSTOP)
    started_s = time.monotonic()
    calls = [redis.command("SET", "k", "during", timeout_s=0.2 + 0.05 * number) for number in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - started_s < 1.0
    for outcome in outcomes:
        assert isinstance(outcome, RedisUnavailableError)
        assert outcome.outcome_unknown
    private_valkey.process.send_signal(signal.SIGCONT)
    # Of another key: what was given up may still arrive, and over REST on connections of its own.
    await eventually(lambda: redis.command("SET", "recovered", "yes", timeout_s=0.5), within_s=2.0)
    assert await redis.command("GET", "recovered", timeout_s=TIMEOUT_S) == b"yes"


async def test_killed_and_started_again_the_server_is_found_within_two_seconds(
    connect: Connect, private_valkey: EmbeddedValkey
) -> None:
    """kill -9 fails calls at once, shows in connection_losses, and heals without a new client."""
    redis = await connect(private_valkey.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    assert redis.connection_losses == 0
    private_valkey.kill()
    for _ in range(20):
        started_s = time.monotonic()
        with pytest.raises(RedisUnavailableError):
            await redis.command("PING", timeout_s=1.0)
        assert time.monotonic() - started_s < 1.1
    assert redis.connection_losses > 0
    private_valkey.start()
    await eventually(lambda: redis.command("PING", timeout_s=0.5), within_s=2.0)


async def test_a_full_memory_counts_as_away(connect: Connect, private_valkey: EmbeddedValkey) -> None:
    """A write refused because memory is full had no effect, in a script too; reads still work."""
    redis = await connect(private_valkey.url)
    await redis.command("SET", "k", "kept", timeout_s=TIMEOUT_S)
    await redis.command("CONFIG", "SET", "maxmemory", 1, timeout_s=TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="OOM") as by_command:
        await redis.command("SET", "k", "lost", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="OOM") as by_script:
        await redis.script(Script("return redis.call('SET', KEYS[1], 'lost')"), ["k"], [], TIMEOUT_S)
    assert (by_command.value.outcome_unknown, by_script.value.outcome_unknown) == (False, False)
    assert await redis.command("GET", "k", timeout_s=TIMEOUT_S) == b"kept"


async def test_a_replica_counts_as_away(connect: Connect, private_valkey: EmbeddedValkey) -> None:
    """READONLY and MASTERDOWN, as after a failover to a stale address, mean that Redis is unavailable."""
    redis = await connect(private_valkey.url)
    await redis.command("REPLICAOF", "127.0.0.1", free_port(), timeout_s=TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="READONLY"):
        await redis.command("SET", "k", "x", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="READONLY"):
        await redis.script(Script("return redis.call('SET', KEYS[1], 'x')"), ["k"], [], TIMEOUT_S)
    await redis.command("CONFIG", "SET", "replica-serve-stale-data", "no", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisUnavailableError, match="MASTERDOWN"):
        await redis.command("GET", "k", timeout_s=TIMEOUT_S)


async def test_a_server_busy_with_a_script_counts_as_away(
    connect: Connect, private_valkey: EmbeddedValkey
) -> None:
    """BUSY means unavailable, on a standing connection; when the script is killed all is well."""
    redis, runner = await connect(private_valkey.url), await connect(private_valkey.url)
    await redis.command("CONFIG", "SET", "busy-reply-threshold", 1, timeout_s=TIMEOUT_S)
    endless = asyncio.create_task(runner.command("EVAL", "while true do end", 0, timeout_s=TIMEOUT_S))

    refusals: list[RedisUnavailableError] = []

    async def busy() -> bool:
        try:
            await redis.command("PING", timeout_s=TIMEOUT_S)
        except RedisUnavailableError as error:
            refusals.append(error)
        return bool(refusals)

    await until(busy)
    assert refusals[0].reason.startswith("BUSY")
    assert refusals[0].outcome_unknown is False
    await redis.command("SCRIPT", "KILL", timeout_s=TIMEOUT_S)
    with pytest.raises(RedisReplyError):
        await endless
    await eventually(lambda: redis.command("PING", timeout_s=1.0), within_s=2.0)


async def test_close_ends_promptly_and_refuses_afterwards(redis: Redis, other: Redis) -> None:
    """Closing waits for no reply: what is in flight fails as unknown, what comes later is refused."""
    in_flight = asyncio.create_task(redis.command("BLPOP", "queue", 10, timeout_s=TIMEOUT_S))
    await until(lambda: _is(blocked_clients(other), 1))
    started_s = time.monotonic()
    await redis.close()
    with pytest.raises(RedisUnavailableError) as cut:
        await in_flight
    assert time.monotonic() - started_s < 1.0
    assert cut.value.outcome_unknown
    with pytest.raises(RedisUnavailableError) as refused:
        await redis.command("PING", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    await redis.close()
