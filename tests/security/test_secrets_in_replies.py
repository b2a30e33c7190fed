"""What Redis says of a command is kept for logs and the doctor, and the command's arguments are not."""

import pytest

from stakehold.redis.port import Redis, RedisReplyError
from stakehold.redis.resp import RespRedis
from stakehold.runtime.outside import SystemClock, SystemEntropy
from tests.security.scanning import Scanner
from tests.support.fakes import CountingCounters

SECRET = "kQ3vN7-pT_x9Lw2Zr8Yb5Dm1Hs6Jf4Gc0Ea"


@pytest.fixture
def redis(redis_url: str) -> Redis:
    return RespRedis(redis_url, clock=SystemClock(), entropy=SystemEntropy(), counters=CountingCounters())


async def test_a_command_that_redis_does_not_know_is_not_repeated_with_its_arguments(redis: Redis) -> None:
    """Redis quotes them: a server or proxy without AUTH would have the doctor print the password."""
    try:
        with pytest.raises(RedisReplyError, match=r"^ERR unknown command 'AUTH-renamed'$") as refused:
            await redis.command("AUTH-renamed", SECRET, timeout_s=5)
    finally:
        await redis.close()
    assert Scanner({"password": SECRET}).leaks("the reason", str(refused.value).encode()) == []
