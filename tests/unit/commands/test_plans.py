"""`stakehold plans`, on real stores."""

import json
from pathlib import Path
from typing import Any

import pytest

from stakehold import cli
from stakehold.commands.plans import FILE_BYTES_MAX, read_terms
from stakehold.domain.errors import ValidationError
from stakehold.domain.plans import Band
from stakehold.runtime.settings import SETTINGS
from tests.support.plans import make_plan

LEAST: dict[str, Any] = {
    "id": "GLD-3M", "asset": "GLD", "scale": 2, "period": "3", "rate": "0.05", "minimumAmount": "0.01",
}  # fmt: skip
EVERYTHING: dict[str, Any] = {
    **LEAST,
    "rateBands": [{"from": "0", "rate": "0.05"}, {"from": "1000.5", "rate": "0"}],
    "dayCount": "ACT/ACT",
    "maximumAmount": "5000",
    "step": "0.01",
    "userCap": "9000",
    "capacity": "99999999999999999999999999999999.25",
    "onSaleFrom": "2099-01-31T09:30:00.250Z",
    "onSaleUntil": "2099-02-28T10:30:00+01:00",
    "earlyExit": {"policy": "forfeit_part", "share": "0.5"},
    "minimumHoldDays": 7,
    "cooldownSeconds": 172800,
    "gracePeriodSeconds": 0,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["plans", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_terms_are_read_exactly() -> None:
    """Every member of the API's plans but the version; decimal strings become minor units, times UTC."""
    plan, from_now = read_terms(json.dumps(EVERYTHING).encode())
    assert not from_now
    assert plan == make_plan(
        id="GLD-3M", asset="GLD", scale=2, period_months=3, bands=(Band(0, 50_000), Band(100_050, 0)),
        day_count="ACT/ACT", minimum_minor=1, maximum_minor=500_000, step_minor=1, user_cap_minor=900_000,
        capacity_minor=9999999999999999999999999999999925, on_sale_from_ms=4_073_535_000_250,
        on_sale_until_ms=4_075_954_200_000, early_exit="forfeit_part", early_exit_ppm=500_000,
        minimum_hold_days=7, cooldown_s=172_800, grace_s=0,
    )  # fmt: skip


def test_what_is_not_said_is_the_least() -> None:
    """Six members are enough: the rest is as in the catalogue that comes with the service."""
    plan, from_now = read_terms(json.dumps(LEAST).encode())
    assert from_now
    assert plan == make_plan(id="GLD-3M", asset="GLD", scale=2, period_months=3, bands=(Band(0, 50_000),))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 3}, "version"),
        ({"rate": None}, "rate"),
        ({"rate": 0.05}, "rate"),
        ({"rate": "5 %"}, "rate"),
        ({"rateBands": [{"from": "0", "rate": "0.06"}]}, "rate"),
        ({"rateBands": []}, "rate"),
        ({"scale": 19}, "scale"),
        ({"period": 3}, "period"),
        ({"period": "3.0"}, "period"),
        ({"minimumAmount": "0.001"}, "minimumAmount"),
        ({"capacity": "1e400"}, "capacity"),
        ({"onSaleFrom": "2099-01-31"}, "onSaleFrom"),
        ({"onSaleUntil": "tomorrow"}, "onSaleUntil"),
        ({"onSaleUntil": "9999-12-31T23:59:59-14:00"}, "onSaleUntil"),
        ({"onSaleUntil": "9999-12-31T23:59:59.999-00:01"}, "onSaleUntil"),
        ({"onSaleFrom": "0001-01-01T00:00:00+00:01"}, "onSaleFrom"),
        ({"earlyExit": {"policy": "forfeit_part"}}, "earlyExit"),
        ({"earlyExit": {"policy": "forfeit_all", "share": "1"}}, "earlyExit"),
        ({"earlyExit": {"policy": "reduced_rate", "rate": "-1"}}, "earlyExit"),
        ({"earlyExit": {"policy": "never"}}, "earlyExit"),
        ({"dayCount": "30/360"}, "dayCount"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, object], named: str) -> None:
    """Nothing is guessed at, and nothing rounded."""
    with pytest.raises(ValidationError, match=named):
        read_terms(json.dumps({**LEAST, **change}).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"null"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    """In words, not with a trace."""
    with pytest.raises(ValidationError, match="no plan"):
        read_terms(content)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('"rate":', '"rate": "0.5", "rate":', "rate is given twice"),
        ('"policy":', '"policy": "forfeit_all", "policy":', "policy is given twice"),
    ],
)
def test_a_member_given_twice_is_refused(before: str, after: str, named: str) -> None:
    """Which of the two was meant nobody can say, and a version cannot be taken back."""
    content = json.dumps({**LEAST, "rate": "0.05", "earlyExit": {"policy": "not_allowed"}})
    read_terms(content.encode())
    with pytest.raises(ValidationError, match=named):
        read_terms(content.replace(before, after).encode())


@pytest.mark.usefixtures("environment")
def test_a_plan_is_published_listed_and_closed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Published twice it is one version; closed, it is listed with the end of its sale."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(LEAST))
    assert run("publish", str(file)) == 0
    assert capfd.readouterr().out.startswith("GLD-3M version 1 is on sale from 2")
    assert run("publish", str(file)) == 0
    assert "has these terms already" in capfd.readouterr().out
    file.write_text(json.dumps({**LEAST, "rate": "0.06"}))
    assert run("publish", str(file)) == 0
    assert run("close", "GLD-3M") == 0
    assert capfd.readouterr().out.endswith("GLD-3M is off sale: version 1, 2\n")
    assert run("close", "GLD-3M") == 0
    assert capfd.readouterr().out == "GLD-3M was off sale already\n"
    assert run("list") == 0
    rows = [line.split("\t") for line in capfd.readouterr().out.splitlines()]
    assert [row[:5] for row in rows[:3]] == [
        ["GLD-3M", "1", "GLD", "3M", "0.05"],
        ["GLD-3M", "2", "GLD", "3M", "0.06"],
        ["STK-12M", "1", "STK", "12M", "0.12"],
    ]
    assert [row[6] == "-" for row in rows] == [False, False, True, True, True, True]


@pytest.mark.usefixtures("environment")
def test_what_is_refused_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Terms that make no sense, a file that is too long or is not there, a plan that is none."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({**LEAST, "asset": "STK"}))
    assert run("publish", str(file)) == 1
    assert "STK has 8 decimal places" in capfd.readouterr().err
    file.write_text(json.dumps({**LEAST, "onSaleFrom": "2026-01-01T00:00:00Z"}))
    assert run("publish", str(file)) == 1
    assert "past" in capfd.readouterr().err
    file.write_text(" " * (FILE_BYTES_MAX + 1))
    assert run("publish", str(file)) == 1
    assert run("publish", str(tmp_path / "none.json")) == 1
    assert run("close", "NONE") == 1
    assert "There is no such plan." in capfd.readouterr().err
