"""Commands whose settings are wrong, or that are given too much, repeat no secret."""

import io
import traceback

import pytest

from stakehold.cli import main
from tests.security.scanning import Scanner

SECRET = "kQ3vN7-pT_x9Lw2Zr8Yb5Dm1Hs6Jf4Gc0Ea"
GOOD = {
    "JWT_SECRET": "of-the-tests-alone-7f3c1d5e9b2a4860",
    "DATABASE_URL": "postgresql://stakehold:pw@127.0.0.1:1/stakehold",
    "REDIS_URL": "redis://:pw@127.0.0.1:1/0",
}
UNFIT = (
    "{}",
    "{}/and more",
    "{}#more",
    "and?{}",
    "with [{}",
    "a b {}",
    "{}%zz",
    "é{}",
    "\\{}",
    "@{}@",
    "1/{}",
)
"""A password that a URL can not have so; {} is the secret."""


def said_by(
    arguments: list[str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, status: int = 1
) -> str:
    """What a command that ends with `status` leaves at the terminal, a traceback included."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", out)
    for name in (*GOOD, "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "JWT_SECRET_PREVIOUS"):
        monkeypatch.setenv(name, environ.get(name, ""))
    monkeypatch.setenv("PORT", "0")
    try:
        main(arguments)
    except SystemExit as ended:
        out.write("" if ended.code == status else f"ended with {ended.code}")
    except Exception:
        out.write(traceback.format_exc())
    assert "ended with" not in out.getvalue()
    return out.getvalue()


@pytest.mark.parametrize("command", [["doctor"], ["migrate"], ["users", "list"]], ids=" ".join)
@pytest.mark.parametrize("part", UNFIT)
def test_an_address_with_a_password_that_does_not_fit_is_not_repeated(
    command: list[str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not escaped as a URL wants it, so that what is read of it as host, port or database is the secret."""
    password = part.format(SECRET)
    environ = {
        **GOOD,
        "DATABASE_URL": f"postgresql://stakehold:{password}@127.0.0.1:1/stakehold",
        "REDIS_URL": f"redis://:{password}@127.0.0.1:1/0 redis://:{password}@127.0.0.1:1/0",
    }
    for wrong in ("DATABASE_URL", "REDIS_URL"):
        said = said_by(command, {**GOOD, wrong: environ[wrong]}, monkeypatch)
        assert said
        assert Scanner({"password": SECRET}).leaks(said, said.encode()) == []


def test_no_command_takes_a_secret_as_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments are shown to everybody on the machine: a password beside the name is refused, unused."""
    assert "unrecognized arguments" in said_by(["users", "add", "ada", SECRET], GOOD, monkeypatch, status=2)
    for command in (["dev"], ["serve"], ["migrate"], ["doctor"], ["users", "add"], ["users", "disable"]):
        said = said_by([*command, "--help"], GOOD, monkeypatch, status=0)
        options = said.partition("usage:")[2].partition("\n\n")[0]
        assert options.split()[-1] in (command[-1], "[-h]", "[--check]", "username"), options
