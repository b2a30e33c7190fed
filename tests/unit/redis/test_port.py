"""Scripts by their hash, and what an error reply means."""

import pytest

from stakehold.redis.port import (
    RedisReplyError,
    RedisUnavailableError,
    Script,
    UnknownScriptError,
    error_of,
)


def test_a_script_is_called_by_the_sha1_of_its_source() -> None:
    """The hash is the one Redis' documentation gives for this script."""
    assert Script("return 1").sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


@pytest.mark.parametrize(
    "message",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "OOM command not allowed when used memory > 'maxmemory'. script: 1b93, on @user_script:1.",
        "ERR Error running script (call to f_1b93): @user_script:1: -OOM command not allowed",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "ERR max number of clients reached",
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.",
        "ERR max requests limit exceeded.",
        "ERR max concurrent connections exceeded",
        "ERR DB capacity quota exceeded",
    ],
)
def test_a_server_that_cannot_serve_now_counts_as_away(message: str) -> None:
    """Full, loading, read-only, busy or out of quota: unavailable, and the command had no effect."""
    error = error_of(message)
    assert isinstance(error, RedisUnavailableError)
    assert error.outcome_unknown is False


@pytest.mark.parametrize(
    "message",
    [
        "ERR unknown command 'NOPE'",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "BUSYGROUP Consumer Group name already exists",
        "NOPERM User default has no permissions to run the 'eval' command",
        "ERR max request size exceeded",
        "ERR user_script:1: OOM is only a word here",
        "",
    ],
)
def test_any_other_error_is_ours(message: str) -> None:
    """An error that another try would meet again is not mistaken for an outage."""
    assert type(error_of(message)) is RedisReplyError


def test_an_unknown_script_is_told_apart() -> None:
    """NOSCRIPT is recognised, whatever follows it."""
    assert type(error_of("NOSCRIPT No matching script. Please use EVAL.")) is UnknownScriptError


def test_what_redis_says_stays_out_of_answers() -> None:
    """`detail` is what a client of ours may read; what Redis said is in `reason`, cut to a bounded length."""
    for error in (error_of("ERR secret " + "x" * 1000), error_of("OOM secret " + "x" * 1000)):
        assert "secret" not in error.detail
        assert str(error) == error.reason
        assert "secret" in error.reason
        assert len(error.reason) <= 200
        assert error.retry_after_s == 1
