"""What the environment says of a ring: a user's place depends on the addresses, not on their spelling."""

import random

import pytest

from stakehold.redis.port import Redis
from stakehold.redis.ring import Ring
from stakehold.runtime.container import connect_redis
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.settings import RedisAddress, SettingsError, load_settings
from tests.support.fakes import CountingCounters

USERS = [f"u:{random.Random(number).getrandbits(128):032x}" for number in range(30_000)]
THREE = "redis://:one@a.internal redis://:two@b.internal redis://:three@c.internal"
SECRETS = ("engines", "steam", "brass")


def members_of(environ: dict[str, str]) -> tuple[RedisAddress, ...]:
    return load_settings({"JWT_SECRET": "x" * 40, **environ}, production=False).redis


def placement(environ: dict[str, str]) -> dict[str, str]:
    """The host that each user's keys live on."""
    addresses = members_of(environ)
    clients: list[Redis] = [
        connect_redis(address, SystemClock(), SystemEntropy(), CountingCounters()) for address in addresses
    ]
    hosts = {
        id(client): address.name.partition(":")[0] for client, address in zip(clients, addresses, strict=True)
    }
    ring = Ring(clients, [address.name for address in addresses])
    return {user: hosts[id(ring.member_for(user))] for user in USERS}


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        members_of(environ)
    return str(caught.value)


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return placement({"REDIS_URL": THREE})


def test_removing_one_of_three_moves_its_users_alone(before: dict[str, str]) -> None:
    """A third of the users, within five percent of it: exactly those of the removed one."""
    after = placement({"REDIS_URL": "redis://a.internal redis://c.internal"})
    moved = {user for user in USERS if after[user] != before[user]}
    assert moved == {user for user in USERS if before[user] == "b.internal"}
    assert abs(len(moved) / len(USERS) - 1 / 3) < 0.05 / 3


def test_adding_a_fourth_moves_a_quarter_to_it(before: dict[str, str]) -> None:
    """A quarter of the users, within five percent of it, all of them to the new one."""
    after = placement({"REDIS_URL": f"{THREE} redis://d.internal"})
    moved = {user for user in USERS if after[user] != before[user]}
    assert {after[user] for user in moved} == {"d.internal"}
    assert abs(len(moved) / len(USERS) - 1 / 4) < 0.05 / 4


@pytest.mark.parametrize(
    "same",
    [
        "redis://c.internal redis://a.internal redis://b.internal",
        "redis://a.internal:6379/0 redis://B.Internal:6379/ redis://c.internal./00",
        "redis://user:new@a.internal redis://:p%20q@b.internal redis://c.internal",
        "rediss://a.internal rediss://b.internal:6379 rediss://c.internal/0",
        "  redis://a.internal\tredis://b.internal\nredis://c.internal ",
    ],
    ids=["order", "spelling", "passwords", "TLS", "white space"],
)
def test_how_the_ring_is_written_moves_nobody(before: dict[str, str], same: str) -> None:
    """Order, default port and database, case, credentials, TLS and white space: every user stays."""
    assert placement({"REDIS_URL": same}) == before


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("redis://cache.internal", "cache.internal:6379/0"),
        ("redis://cache.internal:6379/0", "cache.internal:6379/0"),
        ("redis://cache.internal:6380", "cache.internal:6380/0"),
        ("redis://cache.internal/1", "cache.internal:6379/1"),
        ("redis://[::1]:6379", "::1:6379/0"),
    ],
)
def test_host_port_and_database_are_a_databases_name(address: str, name: str) -> None:
    """Names are data: were one written otherwise, running rings would lose sight of its keys."""
    assert [member.name for member in members_of({"REDIS_URL": address})] == [name]


def test_an_upstash_ring_does_not_depend_on_order_spelling_or_tokens() -> None:
    """Each address keeps its name and takes its own token along, in whatever order they are listed."""
    first = {
        "UPSTASH_REDIS_REST_URL": "https://one.internal https://two.internal https://three.internal",
        "UPSTASH_REDIS_REST_TOKEN": "1 2 3",
    }
    other = {
        "UPSTASH_REDIS_REST_URL": "https://three.internal:443 https://ONE.internal/ https://two.internal",
        "UPSTASH_REDIS_REST_TOKEN": "3 new-1 2",
    }
    assert {member.name: member.token for member in members_of(other)} == {
        "one.internal:443": "new-1",
        "two.internal:443": "2",
        "three.internal:443": "3",
    }
    assert {member.name for member in members_of(first)} == {member.name for member in members_of(other)}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (
            {"UPSTASH_REDIS_REST_URL": "https://a https://b", "UPSTASH_REDIS_REST_TOKEN": "engines"},
            "UPSTASH_REDIS_REST_TOKEN: one token is needed for each address; there are 1 for 2.",
        ),
        (
            {"UPSTASH_REDIS_REST_URL": "https://a", "UPSTASH_REDIS_REST_TOKEN": "engines steam"},
            "UPSTASH_REDIS_REST_TOKEN: one token is needed for each address; there are 2 for 1.",
        ),
        ({"UPSTASH_REDIS_REST_URL": "https://a"}, "UPSTASH_REDIS_REST_TOKEN"),
        ({"UPSTASH_REDIS_REST_TOKEN": "engines"}, "UPSTASH_REDIS_REST_TOKEN"),
        (
            {"UPSTASH_REDIS_REST_URL": "https://a", "UPSTASH_REDIS_REST_TOKEN": "engineś"},
            "UPSTASH_REDIS_REST_TOKEN: a token is one word of ASCII.",
        ),
        (
            {
                "UPSTASH_REDIS_REST_URL": "https://a.internal https://A.internal:443/",
                "UPSTASH_REDIS_REST_TOKEN": "engines steam",
            },
            "UPSTASH_REDIS_REST_URL: a Redis is given twice: a.internal:443.",
        ),
        (
            {"REDIS_URL": "redis://:engines@h redis://:steam@h:6379/0"},
            "REDIS_URL: a Redis is given twice: h:6379/0.",
        ),
        (
            {
                "REDIS_URL": "redis://:brass@h",
                "UPSTASH_REDIS_REST_URL": "https://a",
                "UPSTASH_REDIS_REST_TOKEN": "steam",
            },
            "REDIS_URL and UPSTASH_REDIS_REST_URL are both set",
        ),
        (
            {"UPSTASH_REDIS_REST_URL": "https://x:engines@a", "UPSTASH_REDIS_REST_TOKEN": "steam"},
            "UPSTASH_REDIS_REST_URL: this is no https://host, with the token apart.",
        ),
        (
            {"UPSTASH_REDIS_REST_URL": "https://a?_token=engines", "UPSTASH_REDIS_REST_TOKEN": "steam"},
            "UPSTASH_REDIS_REST_URL: this is no https://host, with the token apart.",
        ),
        ({"REDIS_URL": "redis://:engines@h/٣"}, "REDIS_URL: this is no redis"),
    ],
)
def test_a_ring_that_makes_no_sense_is_refused(environ: dict[str, str], named: str) -> None:
    """The message names the variable and says what is wrong; no token or password is in it."""
    said = refusal(**environ)
    assert named in said
    assert not [secret for secret in (*SECRETS, "engineś") if secret in said]


def test_white_space_alone_is_no_ring() -> None:
    """A variable of blanks is one not set."""
    assert members_of({"REDIS_URL": "  ", "UPSTASH_REDIS_REST_URL": "\t"}) == ()
