"""What is particular to Upstash's REST: statuses, repetitions, time, and answers not to be believed."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from stakehold.gate.scripts import ENTER, FILL, LEAVE, OPEN_FENCES, RETURN
from stakehold.redis.aiohttp_sender import AiohttpSender
from stakehold.redis.port import REPLY_BYTES_MAX, RedisReplyError, RedisUnavailableError, Script
from stakehold.redis.upstash import SendFailedError, UpstashRedis, locking_its_keys
from stakehold.runtime.embedded_server import free_port
from tests.support.fakes import CountingCounters, ManualClock, SeededEntropy
from tests.support.upstash_front import UpstashFront
from tests.unit.redis.conftest import RunningClock

TIMEOUT_S = 5.0
TOKEN = "sesame-token"

Make = Callable[..., UpstashRedis]


@pytest_asyncio.fixture
async def front(redis_url: str) -> AsyncIterator[UpstashFront]:
    server = UpstashFront(redis_url, TOKEN)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def make(entropy: SeededEntropy, counters: CountingCounters) -> AsyncIterator[Make]:
    clients: list[UpstashRedis] = []

    def make_one(url: str, token: str = TOKEN, **options: Any) -> UpstashRedis:
        parts = {"clock": RunningClock(), "entropy": entropy, "counters": counters, "sender": AiohttpSender()}
        clients.append(UpstashRedis(url, token, **{**parts, **options}))
        return clients[-1]

    yield make_one
    for client in clients:
        await client.close()


class RecordingSender:
    """Answers in turn what it is given, an exception by raising it; keeps what it was asked to send."""

    def __init__(self, *outcomes: tuple[int, bytes] | Exception) -> None:
        self.outcomes = list(outcomes)
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.timeouts_s: list[float] = []

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, answer_bytes_max: int
    ) -> tuple[int, bytes]:
        self.headers.append(headers)
        self.bodies.append(body)
        self.timeouts_s.append(timeout_s)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        pass


async def test_one_command_is_one_post_of_a_json_array(make: Make) -> None:
    """The command goes to `/` as an array of strings, with the token as bearer."""
    sender = RecordingSender((200, b'{"result":"OK"}'))
    assert await make("https://one.upstash.io/", sender=sender).command(
        "SET", "k", "é".encode(), "EX", 2**63, timeout_s=1.0
    ) == (b"OK")
    assert sender.bodies == ['["SET","k","é","EX","9223372036854775808"]'.encode()]
    assert sender.headers[0]["Authorization"] == f"Bearer {TOKEN}"


async def test_a_known_script_is_one_request(make: Make, front: UpstashFront) -> None:
    """Once Redis knows a script, running it is one request; the first time it is two."""
    redis, script = make(front.url), Script("return ARGV[1]")
    assert await redis.script(script, [], ["a"], TIMEOUT_S) == b"a"
    assert front.requests == 2
    assert await redis.script(script, [], ["b"], TIMEOUT_S) == b"b"
    assert front.requests == 3


NO_SCRIPT = (400, b'{"error":"NOSCRIPT No matching script."}')


async def test_a_script_is_sent_with_the_flag_to_lock_its_keys_alone(make: Make) -> None:
    """The source begins with the line that Upstash documents, and the hash is of that text."""
    sender = RecordingSender(NO_SCRIPT, (200, b'{"result":1}'))
    await make("https://one.upstash.io", sender=sender).script(Script("return 1"), ["k"], ["a"], 1.0)
    flagged = "#!lua flags=allow-key-locking\nreturn 1"
    sha = hashlib.sha1(flagged.encode()).hexdigest()
    assert [json.loads(body) for body in sender.bodies] == [
        ["EVALSHA", sha, "1", "k", "a"],
        ["EVAL", flagged, "1", "k", "a"],
    ]


@pytest.mark.parametrize("script", [ENTER, LEAVE, FILL, OPEN_FENCES, RETURN])
def test_nothing_stands_before_the_flag(script: Script) -> None:
    """It counts on the first line only, where no script of ours has another one's."""
    assert not script.source.startswith("#!")
    assert locking_its_keys(script).source.startswith("#!lua flags=allow-key-locking\n")


async def test_a_key_that_is_not_declared_is_refused(make: Make, front: UpstashFront) -> None:
    """The script is not run again without the flag: it may have had an effect before."""
    await make(front.url).command("SET", "n", 0, timeout_s=TIMEOUT_S)
    script = Script("redis.call('INCR', KEYS[1]) return redis.call('GET', 'other')")
    with pytest.raises(RedisReplyError, match=r"Dynamic keys .* Key was: other"):
        await make(front.url).script(script, ["n"], [], TIMEOUT_S)
    assert await make(front.url).command("GET", "n", timeout_s=TIMEOUT_S) == b"1"


async def test_a_server_that_does_not_know_the_flag_is_sent_scripts_without_it(
    make: Make, front: UpstashFront
) -> None:
    """A stand-in that hands scripts to a plain Redis runs them all the same, and is asked once."""
    front.key_locking_known = False
    redis, script = make(front.url), Script("return redis.call('INCR', KEYS[1])")
    assert [await redis.script(script, ["n"], [], TIMEOUT_S) for _ in range(3)] == [1, 2, 3]
    assert front.requests == 4 + 1 + 1


@pytest.mark.parametrize(
    "refusal",
    [
        b"ERR Unexpected flag in script shebang: allow-key-locking",
        b"ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
    ],
)
async def test_the_flag_is_given_up_within_the_callers_time(
    make: Make, clock: ManualClock, refusal: bytes
) -> None:
    """Redis 7 and later and Redis 6 refuse it in words of their own; all attempts share the time."""

    class SlowSender(RecordingSender):
        async def post(self, url: str, **options: Any) -> tuple[int, bytes]:
            clock.advance(0.2)
            return await super().post(url, **options)

    refused = (400, b'{"error":"%s"}' % refusal)
    sender = SlowSender(NO_SCRIPT, refused, NO_SCRIPT, (200, b'{"result":1}'))
    redis = make("https://one.upstash.io", sender=sender, clock=clock)
    assert await redis.script(Script("return 1"), [], [], 1.0) == 1
    assert [round(timeout_s, 3) for timeout_s in sender.timeouts_s] == [1.0, 0.8, 0.6, 0.4]
    assert json.loads(sender.bodies[-1]) == ["EVAL", "return 1", "0"]


async def test_bytes_that_are_not_utf8_are_refused(make: Make, front: UpstashFront) -> None:
    """JSON cannot carry them: ValueError, and nothing is sent."""
    with pytest.raises(ValueError, match="utf-8"):
        await make(front.url).command("SET", "k", b"\xff", timeout_s=TIMEOUT_S)
    assert front.requests == 0


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_passing_5xx_is_sent_again(
    make: Make, front: UpstashFront, counters: CountingCounters, failures: int
) -> None:
    """Up to two failed attempts are made good by another."""
    front.faults.statuses = [503, 500][:failures]
    assert await make(front.url).command("PING", timeout_s=TIMEOUT_S) == b"PONG"
    assert front.requests == failures + 1
    assert counters.counts == {"redis_retries": failures}


async def test_a_lasting_5xx_is_given_up_after_three_attempts(
    make: Make, front: UpstashFront, counters: CountingCounters
) -> None:
    """Three attempts and no more; whether any of them ran is unknown."""
    front.faults.statuses = [500, 502, 503, 504, 500]
    redis = make(front.url)
    with pytest.raises(RedisUnavailableError, match="503") as failed:
        await redis.command("INCR", "n", timeout_s=TIMEOUT_S)
    assert failed.value.outcome_unknown
    assert front.requests == 3
    assert redis.connection_losses == 1
    assert counters.counts == {"redis_retries": 2, "redis_connections_lost": 1}


async def test_a_cut_connection_is_tried_again_and_the_command_may_run_twice(
    make: Make, front: UpstashFront
) -> None:
    """Cut after Redis ran the command, it is sent again: what is sent must bear being run twice."""
    front.faults.cuts = 1
    assert await make(front.url).command("INCR", "n", timeout_s=TIMEOUT_S) == 2


async def test_an_unknown_attempt_stays_unknown_whatever_follows(make: Make, front: UpstashFront) -> None:
    """When the first attempt may have run, a later refusal does not make the outcome known."""
    front.faults.statuses_after = [500]
    redis = make(front.url)

    async def refuse_the_second() -> None:
        while front.requests < 1:
            await asyncio.sleep(0)
        front.token = "changed"

    refusing = asyncio.create_task(refuse_the_second())
    with pytest.raises(RedisUnavailableError, match="401") as failed:
        await redis.command("INCR", "n", timeout_s=TIMEOUT_S)
    await refusing
    assert failed.value.outcome_unknown


async def test_nobody_there_is_known_to_have_had_no_effect(make: Make, counters: CountingCounters) -> None:
    """Connection refused, three times within the caller's time: nothing was sent."""
    with pytest.raises(RedisUnavailableError, match="ClientConnectorError") as refused:
        await make(f"http://127.0.0.1:{free_port()}").command("INCR", "n", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert counters.counts["redis_retries"] == 2


async def test_a_timeout_is_never_sent_again(make: Make, front: UpstashFront) -> None:
    """A request that takes too long may still be running: it is not repeated, and its outcome is unknown."""
    front.faults.stalled = True
    started_s = time.monotonic()
    with pytest.raises(RedisUnavailableError, match="in time") as late:
        await make(front.url).command("INCR", "n", timeout_s=0.2)
    assert 0.15 < time.monotonic() - started_s < 0.6
    assert late.value.outcome_unknown
    assert front.requests == 1


async def test_a_timeout_with_time_left_is_not_sent_again_either(make: Make) -> None:
    """Whatever the clock says, one timeout is the end of the call."""
    sender = RecordingSender(TimeoutError(), (200, b'{"result":1}'))
    with pytest.raises(RedisUnavailableError, match="in time"):
        await make("https://one.upstash.io", sender=sender).command("INCR", "n", timeout_s=TIMEOUT_S)
    assert len(sender.bodies) == 1


@pytest.mark.parametrize(("timeout_s", "attempts"), [(0.049, 1), (0.051, 2), (0.099, 2), (0.101, 3)])
async def test_no_wait_outlasts_the_callers_time(
    make: Make, clock: ManualClock, timeout_s: float, attempts: int
) -> None:
    """When the wait before another attempt would take longer than is left, the call ends at once.

    Waits are at most 0.05 s, then 0.1 s; the clock stands still, so that each meets all of the time.
    """

    class HighestDraw:
        def random_bytes(self, count: int) -> bytes:
            return b"\xff" * count

    sender = RecordingSender((500, b""), (500, b""), (500, b""))
    redis = make("https://one.upstash.io", sender=sender, clock=clock, entropy=HighestDraw())
    with pytest.raises(RedisUnavailableError, match="500"):
        await redis.command("INCR", "n", timeout_s=timeout_s)
    assert len(sender.bodies) == attempts


async def test_closed_it_sends_nothing(make: Make) -> None:
    """Afterwards no sender is asked any more, nor for a further attempt of a call in flight."""

    class ClosingSender(RecordingSender):
        async def post(self, url: str, **options: Any) -> tuple[int, bytes]:
            await redis.close()
            return await super().post(url, **options)

    sender = ClosingSender((500, b""), (200, b'{"result":1}'))
    redis = make("https://one.upstash.io", sender=sender)
    for outcome_unknown in (True, False):
        with pytest.raises(RedisUnavailableError, match="closed") as refused:
            await redis.command("INCR", "n", timeout_s=TIMEOUT_S)
        assert refused.value.outcome_unknown is outcome_unknown
    assert len(sender.bodies) == 1


async def test_all_attempts_share_the_callers_time(make: Make, clock: ManualClock) -> None:
    """Each attempt is given what the ones before it left; without any left there is no further one."""

    class SlowSender(RecordingSender):
        async def post(self, url: str, **options: Any) -> tuple[int, bytes]:
            clock.advance(0.4)
            return await super().post(url, **options)

    sender = SlowSender(*[(500, b"")] * 5)
    with pytest.raises(RedisUnavailableError):
        await make("https://one.upstash.io", sender=sender, clock=clock).command("PING", timeout_s=0.7)
    assert [round(timeout_s, 3) for timeout_s in sender.timeouts_s] == [0.7, 0.3]


async def test_eval_after_evalsha_shares_the_callers_time(make: Make, clock: ManualClock) -> None:
    """Sending the source is part of the same call and not given a second timeout."""

    class SlowSender(RecordingSender):
        async def post(self, url: str, **options: Any) -> tuple[int, bytes]:
            clock.advance(0.4)
            return await super().post(url, **options)

    sender = SlowSender(NO_SCRIPT, (200, b'{"result":1}'))
    redis = make("https://one.upstash.io", sender=sender, clock=clock)
    assert await redis.script(Script("return 1"), [], [], 1.0) == 1
    assert [round(timeout_s, 3) for timeout_s in sender.timeouts_s] == [1.0, 0.6]
    sender.outcomes = [NO_SCRIPT]
    with pytest.raises(RedisUnavailableError, match="no time left"):
        await redis.script(Script("return 1"), [], [], 0.3)


async def test_a_wrong_token_counts_as_away_and_is_not_tried_again(make: Make, front: UpstashFront) -> None:
    """401: nothing was run, and no other attempt would be."""
    with pytest.raises(RedisUnavailableError, match="401") as refused:
        await make(front.url, "sesame-wrong").command("INCR", "n", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert front.requests == 1


@pytest.mark.parametrize("status", [301, 403, 404, 405, 413, 429])
async def test_a_refused_request_is_not_tried_again(make: Make, front: UpstashFront, status: int) -> None:
    """Too many requests, or a wrong address: unavailable, with no effect, after one attempt."""
    front.faults.statuses = [status]
    with pytest.raises(RedisUnavailableError, match=str(status)) as refused:
        await make(front.url).command("INCR", "n", timeout_s=TIMEOUT_S)
    assert refused.value.outcome_unknown is False
    assert front.requests == 1


async def test_a_redirect_is_not_followed_with_the_token(make: Make, front: UpstashFront) -> None:
    """Whoever answers with a redirect is not given the token at another address."""
    front.faults.redirect_to = f"{front.url}/elsewhere"
    with pytest.raises(RedisUnavailableError, match="307"):
        await make(front.url).command("PING", timeout_s=TIMEOUT_S)
    assert front.requests == 1


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b""),
        (200, b"<html>maintenance</html>"),
        (200, b"\xff\xfe"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"result":1.5}'),
        (200, b'{"result":true}'),
        (200, b'{"result":{"a":1}}'),
        (200, b'{"result":["a",{"b":1}]}'),
        (200, b'{"result":' + b"[" * 100_000),
        (200, b'{"result":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
        (200, b'{"error":7}'),
    ],
)
async def test_an_answer_of_another_shape_is_not_believed(make: Make, status: int, answer: bytes) -> None:
    """What Upstash does not document counts as away, is not asked for again, and may have had an effect."""
    sender = RecordingSender((status, answer))
    with pytest.raises(RedisUnavailableError, match="documents") as failed:
        await make("https://one.upstash.io", sender=sender).command("INCR", "n", timeout_s=1.0)
    assert failed.value.outcome_unknown


async def test_brackets_in_a_text_are_text(make: Make) -> None:
    """A page may hold any number of them."""
    text = '[{"\\\\' * 5_000
    sender = RecordingSender((200, msgspec.json.encode({"result": text})))
    assert (
        await make("https://one.upstash.io", sender=sender).command("GET", "k", timeout_s=1.0)
        == text.encode()
    )


async def test_an_error_of_redis_is_read_under_any_status(make: Make) -> None:
    """`{"error"}` means the same with 200 as with 400; 400 without a reason is an error of ours."""
    sender = RecordingSender(
        (200, b'{"error":"OOM command not allowed"}'), (400, b'{"error":"ERR syntax"}'), (400, b"nonsense")
    )
    redis = make("https://one.upstash.io", sender=sender)
    with pytest.raises(RedisUnavailableError, match="OOM"):
        await redis.command("SET", "k", "x", timeout_s=1.0)
    for reason in ("syntax", "without saying why"):
        with pytest.raises(RedisReplyError, match=reason):
            await redis.command("SET", "k", timeout_s=1.0)


async def test_an_answer_without_end_is_cut_off(make: Make, front: UpstashFront) -> None:
    """No more than the limit of an answer is read; the next call works."""
    redis = make(front.url)
    front.faults.raw_answer = b'{"result":"' + b"x" * (REPLY_BYTES_MAX + 1) + b'"}'
    with pytest.raises(RedisUnavailableError, match="longer") as failed:
        await redis.command("GET", "k", timeout_s=TIMEOUT_S)
    assert failed.value.outcome_unknown
    front.faults.raw_answer = None
    assert await redis.command("PING", timeout_s=TIMEOUT_S) == b"PONG"


async def test_the_token_shows_nowhere(
    make: Make, front: UpstashFront, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the client, nor its errors with their causes, nor the most talkative log has the token."""
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException] = []
    there, nowhere = make(front.url), make(f"http://127.0.0.1:{free_port()}")
    front.faults.statuses = [401]
    front.faults.cuts = 3
    for redis, command in ((there, "PING"), (there, "PING"), (there, "NOPE"), (nowhere, "PING")):
        with pytest.raises((RedisUnavailableError, RedisReplyError)) as failed:
            await redis.command(command, timeout_s=TIMEOUT_S)
        errors.append(failed.value)
    texts = [repr(there), str(there), caplog.text]
    while errors:
        error = errors.pop()
        texts += [repr(error), str(error), repr(error.args), repr(getattr(error, "__dict__", {}))]
        errors += [
            cause
            for cause in (error.__cause__, None if error.__suppress_context__ else error.__context__)
            if cause
        ]
    assert not any("sesame" in text for text in texts)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("", TOKEN),
        ("redis://host", TOKEN),
        ("https://", TOKEN),
        ("https://user:pass@host", TOKEN),
        ("https://host?_token=x", TOKEN),
        ("https://host", ""),
        ("https://host", "sesame token"),
        ("https://host", "sesame\r\nX: y"),
        ("https://host", "sésame"),
    ],
)
async def test_a_wrong_address_or_token_is_refused_at_once(make: Make, url: str, token: str) -> None:
    """ValueError when the client is made, without the token."""
    with pytest.raises(ValueError, match="An Upstash REST") as refused:
        make(url, token)
    assert "same" not in str(refused.value)


async def test_a_sender_that_failed_before_sending_is_told_apart(make: Make) -> None:
    """`reached` decides whether the outcome is known."""
    for reached in (False, True):
        sender = RecordingSender(*[SendFailedError("no answer", reached=reached)] * 3)
        with pytest.raises(RedisUnavailableError) as failed:
            await make("https://one.upstash.io", sender=sender).command("INCR", "n", timeout_s=TIMEOUT_S)
        assert failed.value.outcome_unknown is reached
