"""What is particular to the one shared connection."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stakehold.redis.port import RedisReplyError, RedisUnavailableError
from stakehold.redis.resp import RespRedis
from stakehold.runtime.embedded import EmbeddedValkey
from stakehold.runtime.embedded_server import free_port
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.resp_proxy import RespProxy
from tests.unit.redis.conftest import RunningClock, eventually, until

TIMEOUT_S = 5.0

Make = Callable[..., RespRedis]


@pytest_asyncio.fixture
async def make(entropy: SeededEntropy, counters: CountingCounters) -> AsyncIterator[Make]:
    clients: list[RespRedis] = []

    def make_one(url: str, **options: Any) -> RespRedis:
        parts = {"clock": RunningClock(), "entropy": entropy, "counters": counters, **options}
        clients.append(RespRedis(url, **parts))
        return clients[-1]

    yield make_one
    for client in clients:
        await client.close()


@pytest_asyncio.fixture
async def proxy(redis_url: str) -> AsyncIterator[RespProxy]:
    between = RespProxy(redis_url)
    await between.start()
    yield between
    await between.stop()


@contextlib.asynccontextmanager
async def server_that_says(answer: bytes) -> AsyncIterator[str]:
    """A server that answers whatever it is sent, once a chunk, with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_all_callers_share_one_connection(make: Make, proxy: RespProxy) -> None:
    """A hundred first commands at once open one connection, and one command is one trip."""
    redis = make(proxy.url)
    await asyncio.gather(*(redis.command("ECHO", number, timeout_s=TIMEOUT_S) for number in range(100)))
    assert proxy.connections == 1
    assert proxy.trips() == [b"ECHO"] * 100


async def test_nobody_answers_fails_at_once_and_nothing_happened(make: Make) -> None:
    """Connection refused is known at once, and known to have had no effect."""
    redis = make(f"redis://127.0.0.1:{free_port()}")
    started_s = time.monotonic()
    with pytest.raises(RedisUnavailableError) as refused:
        await redis.command("PING", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert time.monotonic() - started_s < 1.0
    assert redis.connection_losses == 0


class HighestDraw:
    """The draw that makes every jittered wait the longest it can be."""

    def random_bytes(self, count: int) -> bytes:
        return b"\xff" * count


async def test_waits_between_attempts_grow_to_a_second_and_start_anew(
    make: Make, clock: ManualClock, counters: CountingCounters, private_valkey: EmbeddedValkey
) -> None:
    """At most 0.05 s after the first failure, doubling up to 1 s; a connection starts it over."""
    redis = make(private_valkey.url, clock=clock, entropy=HighestDraw())
    failures = 0
    for waits_s in ([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0], [0.05]):
        await redis.command("PING", timeout_s=TIMEOUT_S)
        losses = redis.connection_losses
        private_valkey.kill()

        async def lost(losses: int = losses) -> bool:
            return redis.connection_losses == losses + 1

        await until(lost)
        for wait_s in waits_s:
            failures += 1
            for early_s in (wait_s - 0.01, 0.01):
                with pytest.raises(RedisUnavailableError):
                    await redis.command("PING", timeout_s=TIMEOUT_S)
                assert counters.counts["redis_connect_failures"] == failures
                clock.advance(early_s)
        private_valkey.start()
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"


async def test_between_attempts_commands_fail_without_connecting(
    make: Make, proxy: RespProxy, clock: ManualClock, counters: CountingCounters, valkey: EmbeddedValkey
) -> None:
    """After a failed attempt none is made until a wait of at most a second has passed; then one is."""
    wrong = proxy.url.replace(valkey.password, "wrong")
    redis = make(wrong, clock=clock)
    for _ in range(10):
        for _ in range(5):
            with pytest.raises(RedisUnavailableError, match="WRONGPASS"):
                await redis.command("PING", timeout_s=TIMEOUT_S)
        clock.advance(1.0)
    assert proxy.connections == 10
    assert counters.counts["redis_connect_failures"] == 10


async def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(make: Make, redis_url: str) -> None:
    """The reason says that the password is wrong, not what it is."""
    host = redis_url.rpartition("@")[2]
    redis = make(f"redis://:sesame-wrong@{host}")
    with pytest.raises(RedisUnavailableError, match="WRONGPASS") as refused:
        await redis.command("PING", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert redis.connection_losses == 0
    for text in (repr(refused.value), str(refused.value), refused.value.detail, repr(redis)):
        assert "sesame" not in text


async def test_a_missing_password_is_refused(make: Make, redis_url: str) -> None:
    """A server that wants a password where the URL has none counts as unavailable."""
    redis = make(f"redis://{redis_url.rpartition('@')[2]}")
    with pytest.raises(RedisUnavailableError, match="NOAUTH"):
        await redis.command("PING", timeout_s=TIMEOUT_S)


async def test_user_password_and_database_of_the_url_are_used(make: Make, redis_url: str) -> None:
    """A named user signs in with an escaped password, and works in the URL's database."""
    admin, host = make(redis_url), redis_url.rpartition("@")[2].partition("/")[0]
    acl = ("ACL", "SETUSER", "st@ke", "on", ">p/w:ö", "~*", "+@all")
    assert await admin.command(*acl, timeout_s=TIMEOUT_S) == b"OK"
    redis = make(f"redis://st%40ke:p%2Fw%3A%C3%B6@{host}/3")
    assert await redis.command("ACL", "WHOAMI", timeout_s=TIMEOUT_S) == b"st@ke"
    await redis.command("SET", "k", "in three", timeout_s=TIMEOUT_S)
    assert await admin.command("GET", "k", timeout_s=TIMEOUT_S) is None
    assert await make(f"{redis_url[:-1]}3").command("GET", "k", timeout_s=TIMEOUT_S) == b"in three"
    await admin.command("ACL", "DELUSER", "st@ke", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    "url",
    [
        "http://:sesame@host",
        "redis://",
        "redis://:sesame@host:port",
        "redis://:sesame@host:99999",
        "redis://:sesame@host/two",
        "redis://:sesame@host?db=1",
        "redis://:ses/ame@host",
    ],
)
async def test_a_wrong_url_is_refused_without_its_password(make: Make, url: str) -> None:
    """What cannot be read as a Redis URL raises ValueError, which repeats nothing of it."""
    with pytest.raises(ValueError, match="A Redis URL is") as refused:
        make(url)
    assert "ses" not in str(refused.value)


async def test_cut_before_it_was_written_a_command_had_no_effect(make: Make, proxy: RespProxy) -> None:
    """Lost in the same turn of the loop in which it was queued, a command is known not to have run."""
    redis = make(proxy.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    queued = asyncio.create_task(redis.command("SET", "k", "x", timeout_s=TIMEOUT_S))
    closing = asyncio.create_task(redis.close())
    with pytest.raises(RedisUnavailableError) as cut:
        await queued
    await closing
    assert cut.value.outcome_unknown is False
    assert await make(proxy.url).command("EXISTS", "k", timeout_s=TIMEOUT_S) == 0
    assert b"SET" not in proxy.trips()


async def test_cut_before_its_reply_came_a_command_may_have_run(
    make: Make, proxy: RespProxy, counters: CountingCounters
) -> None:
    """Cut after Redis ran it, a command's outcome is unknown; the next command has a new connection."""
    redis = make(proxy.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    proxy.cut_at = b"INCR"
    with pytest.raises(RedisUnavailableError) as cut:
        await redis.command("INCR", "n", timeout_s=TIMEOUT_S)
    assert cut.value.outcome_unknown
    assert await redis.command("GET", "n", timeout_s=TIMEOUT_S) == b"1"
    assert (redis.connection_losses, counters.counts["redis_connections_lost"]) == (1, 1)
    assert proxy.connections == 2


async def test_an_idle_connection_that_is_cut_costs_no_command(make: Make, proxy: RespProxy) -> None:
    """A server that drops an idle client is connected to again, unseen by the next caller."""
    redis = make(proxy.url)
    for losses in range(1, 4):
        await redis.command("PING", timeout_s=TIMEOUT_S)
        proxy.cut()

        async def lost(losses: int = losses) -> bool:
            return redis.connection_losses == losses

        await until(lost)
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"


async def test_a_late_reply_goes_to_nobody(make: Make, proxy: RespProxy) -> None:
    """A reply that comes after its caller timed out is dropped; the following replies are not shifted."""
    redis = make(proxy.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    proxy.stall()
    with pytest.raises(RedisUnavailableError) as late:
        await redis.command("ECHO", "late", timeout_s=0.05)
    assert late.value.outcome_unknown
    following = asyncio.create_task(redis.command("ECHO", "in time", timeout_s=TIMEOUT_S))
    await asyncio.sleep(0)
    proxy.resume()
    assert await following == b"in time"
    assert (proxy.connections, redis.connection_losses) == (1, 0)


async def test_a_stalled_connection_is_given_up(
    make: Make, proxy: RespProxy, counters: CountingCounters
) -> None:
    """When the oldest command waits for over a second, all in flight fail and the next call reconnects."""
    redis = make(proxy.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    proxy.stall()
    started_s = time.monotonic()
    calls = [redis.command("INCR", "n", timeout_s=timeout_s) for timeout_s in (0.1, 0.5, 3.0)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert 0.9 < time.monotonic() - started_s < 2.0
    assert all(isinstance(outcome, RedisUnavailableError) and outcome.outcome_unknown for outcome in outcomes)
    assert (redis.connection_losses, counters.counts["redis_stalls"]) == (1, 1)
    proxy.resume()
    assert await redis.command("GET", "n", timeout_s=TIMEOUT_S) == b"3"
    assert proxy.connections == 2


async def test_a_server_that_accepts_and_says_nothing_is_no_connection(make: Make, proxy: RespProxy) -> None:
    """Connecting has its own timeout; every caller learns that nothing was sent."""
    proxy.stall()
    redis = make(proxy.url, connect_timeout_s=0.1)
    calls = [redis.command("SET", "k", "x", timeout_s=timeout_s) for timeout_s in (0.05, 1.0)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, RedisUnavailableError)
        assert outcome.outcome_unknown is False
    proxy.resume()
    assert await eventually(lambda: redis.command("EXISTS", "k", timeout_s=1.0), within_s=2.0) == 0


async def test_closing_while_connecting_ends_promptly(make: Make, proxy: RespProxy) -> None:
    """A caller that waits for a connection is told that the client was closed."""
    proxy.stall()
    redis = make(proxy.url, connect_timeout_s=4.0)
    waiting = asyncio.create_task(redis.command("PING", timeout_s=TIMEOUT_S))

    async def connecting() -> bool:
        return proxy.connections == 1

    await until(connecting)
    started_s = time.monotonic()
    await redis.close()
    with pytest.raises(RedisUnavailableError, match="closed") as refused:
        await waiting
    assert refused.value.outcome_unknown is False
    assert time.monotonic() - started_s < 0.5


async def test_callers_who_wait_for_a_connection_are_bounded_too(make: Make, proxy: RespProxy) -> None:
    """While a connection is being made no more callers wait than may be in flight."""
    proxy.stall()
    redis = make(proxy.url, max_in_flight=2)
    waiting = [asyncio.create_task(redis.command("PING", timeout_s=TIMEOUT_S)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(RedisUnavailableError, match="too many"):
        await redis.command("PING", timeout_s=TIMEOUT_S)
    proxy.resume()
    assert await asyncio.gather(*waiting) == [b"PONG"] * 2


async def test_what_waits_to_be_written_is_bounded(make: Make) -> None:
    """Towards a server that reads nothing more, a bounded number of bytes piles up; the rest is refused."""
    answered = asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"SELECT\r\n$1\r\n0\r\n")
        writer.write(b"+OK\r\n")
        await answered.wait()
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    redis = make(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", connect_timeout_s=TIMEOUT_S)
    calls = [redis.command("SET", "k", "x" * 1_000_000, timeout_s=TIMEOUT_S) for _ in range(40)]
    commands = [asyncio.create_task(call) for call in calls]
    refused, _ = await asyncio.wait(commands, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    for command in refused:
        with pytest.raises(RedisUnavailableError, match="too many") as beyond:
            await command
        assert beyond.value.outcome_unknown is False
    # 16 here, and what the kernel takes off our hands.
    assert 15 <= len(commands) - len(refused) <= 27
    await redis.close()
    await asyncio.gather(*commands, return_exceptions=True)
    answered.set()
    server.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"), (b"$99999999\r\n" + b"x" * 2**23, "longer")],
)
async def test_what_is_not_redis_is_given_up(make: Make, answer: bytes, reason: str) -> None:
    """A server of another protocol, or a reply without end, is closed and not believed."""
    async with server_that_says(answer) as url:
        with pytest.raises(RedisUnavailableError, match=reason):
            await make(url).command("PING", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    ("password", "reason"), [("", r"nobody waits for|lost"), (":engines@", "the connection has ended")]
)
async def test_a_reply_nobody_asked_for_ends_the_connection(make: Make, password: str, reason: str) -> None:
    """One reply too many means that replies no longer pair with callers: none is handed out any more.

    Nor is anything sent after it, such as the SELECT that follows the password.
    """
    async with server_that_says(b"+OK\r\n+OK\r\n") as url:
        redis = make(url.replace("redis://", f"redis://{password}"))
        with pytest.raises(RedisUnavailableError, match=reason):
            await redis.command("PING", timeout_s=TIMEOUT_S)


async def test_a_connection_outlives_the_time_of_commands_that_were_answered(
    make: Make, proxy: RespProxy
) -> None:
    """Nothing is in flight when their time is up, so nothing is late."""
    redis = make(proxy.url)
    await redis.command("PING", timeout_s=TIMEOUT_S)
    await redis.command("PING", timeout_s=0.2)
    connection = redis._connection
    assert connection is not None

    async def time_was_up() -> bool:
        return connection._timer is None

    await until(time_was_up)
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"
    assert (proxy.connections, redis.connection_losses) == (1, 0)


async def test_a_system_that_does_not_time_its_probes_connects_all_the_same(
    make: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS names that option otherwise; an idle connection is probed at the system's own pace there."""
    monkeypatch.delattr(socket, "TCP_KEEPIDLE", raising=False)
    redis = make(redis_url)
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"
    assert redis._connection is not None
    connected = redis._connection._transport.get_extra_info("socket")
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_an_error_within_an_array_fails_its_own_call(make: Make, redis_url: str) -> None:
    """EXEC's reply holds the errors of its commands: the call raises, and the next one is not touched."""
    redis = make(redis_url)
    await redis.command("SET", "k", "text", timeout_s=TIMEOUT_S)
    outcomes = await asyncio.gather(
        redis.command("MULTI", timeout_s=TIMEOUT_S),
        redis.command("LPUSH", "k", "x", timeout_s=TIMEOUT_S),
        redis.command("EXEC", timeout_s=TIMEOUT_S),
        redis.command("GET", "k", timeout_s=TIMEOUT_S),
        return_exceptions=True,
    )
    assert outcomes[:2] == [b"OK", b"QUEUED"]
    assert isinstance(outcomes[2], RedisReplyError)
    assert outcomes[3] == b"text"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=stakehold-test", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


@pytest_asyncio.fixture
async def tls_url(redis_url: str, certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    """The session's Valkey behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    proxy = RespProxy(redis_url, tls=context)
    await proxy.start()
    yield proxy.url
    await proxy.stop()


async def test_tls_carries_the_same(make: Make, tls_url: str, certificate: tuple[Path, Path]) -> None:
    """`rediss://` works with the authority it is given, also for a reply of many records."""
    redis = make(tls_url, tls_ca_file=str(certificate[0]))
    assert await redis.command("SET", "k", "x" * 300_000, timeout_s=TIMEOUT_S) == b"OK"
    calls = [redis.command("GET", "k", timeout_s=TIMEOUT_S) for _ in range(20)]
    assert await asyncio.gather(*calls) == [b"x" * 300_000] * 20


async def test_tls_of_an_unknown_authority_is_refused(make: Make, tls_url: str) -> None:
    """A certificate nobody vouches for is no connection, and the password is not sent."""
    with pytest.raises(RedisUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        await make(tls_url).command("PING", timeout_s=TIMEOUT_S)


async def test_tls_for_another_name_is_refused(
    make: Make, tls_url: str, certificate: tuple[Path, Path]
) -> None:
    """A certificate is good for the address it names, and for no other."""
    other_name = tls_url.replace("127.0.0.1", "localhost")
    with pytest.raises(RedisUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        await make(other_name, tls_ca_file=str(certificate[0])).command("PING", timeout_s=TIMEOUT_S)
