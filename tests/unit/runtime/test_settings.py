"""Settings: read from a mapping, checked all at once, never shown where secret."""

import base64
import os
from pathlib import Path

import pytest

from stakehold.runtime.settings import (
    SETTINGS,
    RedisAddress,
    Settings,
    SettingsError,
    cores,
    load_settings,
    load_worker_settings,
)

SECRET = "a-secret-of-the-tests-9f2b7c41d8e6"
KEY = bytes(range(100, 132))
SIGNING = "whsec_" + base64.b64encode(KEY).decode()
COMPLETE = {
    "JWT_SECRET": SECRET,
    "DATABASE_URL": "postgresql://ada:engines@db.internal:5432/stakehold",
    "REDIS_URL": "redis://:engines@cache.internal:6379/0",
}


def production(**change: str) -> Settings:
    return load_settings({**COMPLETE, **change}, production=True)


def problems(environ: dict[str, str], *, production: bool = True) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, production=production)
    return caught.value.problems


def test_dev_needs_nothing_and_serves_on_loopback() -> None:
    """An empty environment is complete for `dev`, which fills in stores and secret itself."""
    settings = load_settings({}, production=False)
    assert (settings.host, settings.port, settings.processes) == ("127.0.0.1", 8000, 1)
    assert (settings.database_url, settings.redis, settings.jwt_secret) == ("", (), "")
    assert settings.data == Path(".stakehold").resolve()


def test_serve_names_everything_that_is_missing_at_once() -> None:
    """One start tells all that must be set."""
    found = "\n".join(problems({}))
    for name in ("JWT_SECRET", "DATABASE_URL", "REDIS_URL"):
        assert name in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("STAKEHOLD_PROCESSES", "0"),
        ("STAKEHOLD_PROCESSES", "1.5"),
        ("STAKEHOLD_LIMITS", "auth=ten"),
        ("STAKEHOLD_LIMITS", "nonsense=1"),
        ("STAKEHOLD_SIGN_UP", "perhaps"),
        ("FUNDING", "Balance"),
        ("STAKEHOLD_CORS_ORIGINS", "https://app.example.org/path"),
        ("STAKEHOLD_CORS_ORIGINS", "app.example.org"),
        ("STAKEHOLD_TRUSTED_PROXIES", "11"),
        ("STAKEHOLD_DRAIN_S", "nan"),
        ("STAKEHOLD_DRAIN_S", "two"),
        ("STAKEHOLD_STOP_S", "1"),
        ("STAKEHOLD_REFRESH_TTL_S", "1"),
        ("STAKEHOLD_RING_EPOCH", "-1"),
        ("DATABASE_URL", "mysql://ada:engines@db.internal/stakehold"),
        ("DATABASE_URL", "postgresql://ada:engines@db.internal:port/stakehold"),
        ("REDIS_URL", "http://cache.internal"),
        ("REDIS_URL", "redis://cache.internal redis://cache.internal"),
        ("REDIS_URL", "redis://cache.internal/one"),
        ("REDIS_URL", "redis://cache.internal/0?protocol=3"),
        ("UPSTASH_REDIS_REST_URL", "https://other.internal"),
        ("UPSTASH_REDIS_REST_TOKEN", "engines"),
        ("JWT_SECRET", "engines"),
        ("JWT_SECRET_PREVIOUS", "engines"),
        ("STAKEHOLD_WEBHOOK_URL", "https://engines@receiver.example/"),
        ("STAKEHOLD_WEBHOOK_URL", "http://receiver.example/engines"),
        ("STAKEHOLD_WEBHOOK_URL", "http://127.0.0.1/engines"),
        ("STAKEHOLD_WEBHOOK_SECRET", "engines"),
        ("STAKEHOLD_WEBHOOK_SECRET", "whsec_" + "A" * 32),
        ("STAKEHOLD_WEBHOOK_SECRET_PREVIOUS", "engines"),
        ("STAKEHOLD_WEBHOOK_PRIVATE", "perhaps"),
    ],
)
def test_a_wrong_value_is_named_and_a_secret_never_shown(name: str, value: str) -> None:
    """The message has the variable's name; passwords in addresses and secrets stay out of it."""
    found = "\n".join(problems({**COMPLETE, name: value}))
    assert name in found
    assert "engines" not in found


def test_secrets_are_not_in_the_settings_own_representation() -> None:
    """Settings that end up in a log or traceback tell no secret."""
    shown = repr(production())
    assert SECRET not in shown
    assert "engines" not in shown


def test_the_secrets_bytes_are_the_key_white_space_included() -> None:
    """JWT_SECRET is taken as it is."""
    assert production(JWT_SECRET=f" {SECRET}\n").jwt_secret == f" {SECRET}\n"


def test_connections_are_shared_over_the_processes() -> None:
    """About ten a core, however many processes, and never fewer than two each."""
    assert production(STAKEHOLD_PROCESSES="1").pool_size == 10 * cores()
    assert production(STAKEHOLD_PROCESSES="64").pool_size == max(2, 10 * cores() // 64)
    assert production().processes == cores()
    assert production(STAKEHOLD_POOL_SIZE="7").pool_size == 7


@pytest.mark.parametrize(("known", "expected"), [(3, 3), (None, 1)])
def test_without_a_processs_own_processors_the_machines_count(
    monkeypatch: pytest.MonkeyPatch, known: int | None, expected: int
) -> None:
    """macOS cannot say which of them a process may use; and there is always one."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert cores() == expected
    assert production().processes == expected


def test_switches_and_origins_are_read() -> None:
    """What is right is taken as it is written; origins are told apart by commas."""
    settings = production(
        STAKEHOLD_HSTS="on",
        STAKEHOLD_SIGN_UP="off",
        FUNDING="balance",
        STAKEHOLD_CORS_ORIGINS="https://app.example.org, http://127.0.0.1:3000,",
    )
    assert (settings.hsts, settings.sign_up_open, settings.funding) == (True, False, "balance")
    assert settings.cors_origins == {"https://app.example.org", "http://127.0.0.1:3000"}
    assert production(STAKEHOLD_CORS_ORIGINS="*").cors_origins == {"*"}


WEBHOOK = {"STAKEHOLD_WEBHOOK_URL": "https://receiver.example/engines", "STAKEHOLD_WEBHOOK_SECRET": SIGNING}


def test_events_go_to_one_address_signed_with_one_secret_or_two() -> None:
    """The current one first. Neither they nor the address show."""
    settings = production(**WEBHOOK)
    assert settings.webhook_url == "https://receiver.example/engines"
    assert settings.webhook_keys == (KEY,)
    assert production(**WEBHOOK, STAKEHOLD_WEBHOOK_SECRET_PREVIOUS=SIGNING).webhook_keys == (KEY, KEY)
    assert "engines" not in repr(settings)
    assert repr(KEY) not in repr(settings)
    assert SIGNING not in repr(settings)


@pytest.mark.parametrize("in_production", [False, True])
def test_nothing_is_sent_unsigned_or_to_this_machine_unasked(in_production: bool) -> None:
    """Also under `dev`: an address needs a secret, and one on this machine STAKEHOLD_WEBHOOK_PRIVATE."""
    url = {"STAKEHOLD_WEBHOOK_URL": "http://127.0.0.1:9/"}
    found = problems({**COMPLETE, **WEBHOOK, "STAKEHOLD_WEBHOOK_SECRET": ""}, production=in_production)
    assert [problem.split()[0] for problem in found] == ["STAKEHOLD_WEBHOOK_SECRET"]
    found = problems({**COMPLETE, **WEBHOOK, **url}, production=in_production)
    assert [problem.split(":")[0] for problem in found] == ["STAKEHOLD_WEBHOOK_URL"]
    asked = {**COMPLETE, **WEBHOOK, **url, "STAKEHOLD_WEBHOOK_PRIVATE": "on"}
    assert load_settings(asked, production=in_production).webhook_private


def test_several_redis_make_a_ring_known_by_names_without_credentials() -> None:
    """The name stays with the data when a password changes."""
    settings = production(REDIS_URL="redis://:one@a.internal:6379/0 rediss://:two@b.internal:6380/1")
    assert [address.name for address in settings.redis] == ["a.internal:6379/0", "b.internal:6380/1"]
    assert RedisAddress("redis://:other@a.internal:6379/0").name == "a.internal:6379/0"


@pytest.mark.parametrize(
    "urls",
    [
        "redis://a, redis://b",
        "redis://a,redis://b",
        "redis://a,b",
        "redis://[::1], redis://b",
        "redis://:engines@a:6379,redis://:engines@b:6379",
        f"redis://a/{'1' * 5000}",
    ],
    ids=["comma and space", "comma", "hosts alone", "IPv6", "passwords", "a number too long"],
)
def test_a_redis_address_is_one_host_and_a_number(urls: str) -> None:
    """Addresses with commas between are no host with a comma in its name; no number is too long to refuse."""
    with pytest.raises(SettingsError) as refused:
        production(REDIS_URL=urls)
    assert refused.value.names == ["REDIS_URL"]
    assert "engines" not in str(refused.value)


def test_a_comma_in_a_password_is_the_passwords() -> None:
    """Only hosts are looked at for commas."""
    assert [address.name for address in production(REDIS_URL="redis://:p,q@a").redis] == ["a:6379/0"]


@pytest.mark.parametrize(
    "urls", ["https://a,https://b", "https://a,b", "https://a/p,https://b", "https://a,"]
)
def test_upstash_addresses_with_commas_between_are_refused(urls: str) -> None:
    """Two addresses with a comma between are not one member with a long path."""
    with pytest.raises(SettingsError) as refused:
        production(REDIS_URL="", UPSTASH_REDIS_REST_URL=urls, UPSTASH_REDIS_REST_TOKEN="1,2")
    assert refused.value.names == ["UPSTASH_REDIS_REST_URL"]


def test_upstash_addresses_and_tokens_go_together() -> None:
    """Upstash's two variables, in place of REDIS_URL."""
    settings = production(
        REDIS_URL="", UPSTASH_REDIS_REST_URL="https://one.internal", UPSTASH_REDIS_REST_TOKEN="engines"
    )
    assert settings.redis == (RedisAddress("https://one.internal", "engines"),)


def test_an_empty_variable_is_one_not_set() -> None:
    """As a shell or compose file leaves it."""
    empty = {setting.name: "" for setting in SETTINGS}
    assert load_settings(empty, production=False) == load_settings({}, production=False)


def test_the_list_of_settings_is_what_is_read() -> None:
    """Every variable that is read is in SETTINGS, and nothing else is."""
    asked: set[str] = set()

    class Noting(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)  # type: ignore[arg-type]

    load_settings(Noting(COMPLETE), production=True)
    assert asked == {setting.name for setting in SETTINGS}


def test_operations_documents_every_setting() -> None:
    """The table of docs/operations.md has each variable with its meaning, in the order of SETTINGS."""
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    documented = [(row[0].strip("`"), row[-1]) for row in rows if len(row) == 4]
    assert documented == [(setting.name, setting.meaning) for setting in SETTINGS]


WORKER = {
    "JWT_SECRET": SECRET,
    "UPSTASH_REDIS_REST_URL": "https://db.upstash.io",
    "UPSTASH_REDIS_REST_TOKEN": "token-of-the-tests",
}


def test_a_worker_needs_no_address_of_what_is_bound() -> None:
    """With Hyperdrive there is no DATABASE_URL; without, it is needed. An isolate counts as one process."""
    settings = load_worker_settings(WORKER, hyperdrive=True)
    assert (settings.database_url, settings.processes) == ("", 1)
    assert load_worker_settings({**WORKER, "STAKEHOLD_PROCESSES": "20"}, hyperdrive=True).processes == 20
    with pytest.raises(SettingsError) as refused:
        load_worker_settings(WORKER, hyperdrive=False)
    assert refused.value.names == ["DATABASE_URL"]


def test_a_worker_refuses_a_redis_that_it_cannot_reach() -> None:
    """There are no connections between requests: REST alone."""
    with pytest.raises(SettingsError) as refused:
        load_worker_settings({**WORKER, "REDIS_URL": "redis://cache"}, hyperdrive=True)
    assert "REDIS_URL" in refused.value.names


def test_problems_name_their_settings() -> None:
    """For a log that must not show a value: what is wrong by name alone."""
    with pytest.raises(SettingsError) as refused:
        load_settings({"STAKEHOLD_SIGN_UP": "JWT_SECRET_PREVIOUS"}, production=True)
    assert {"JWT_SECRET", "DATABASE_URL", "STAKEHOLD_SIGN_UP"} <= set(refused.value.names)
