"""The arguments of commands: what is none ends in a usage error that names it, whatever the stores."""

import pytest

from stakehold import cli
from stakehold.runtime.settings import SETTINGS

INT8_MAX = 2**63 - 1
NO_UTF8 = "\udcff"
LONG = "9" * 5000
OF_USERS = (
    ("users", "add"), ("users", "disable"), ("users", "enable"), ("ledger", "show"), ("ledger", "verify"),
)  # fmt: skip
DEPOSIT = ("ledger", "deposit", "ada", "1", "--asset", "STK", "--reason", "paid in")
WITHDRAW = ("ledger", "withdraw", *DEPOSIT[2:])
REVERSE = ("ledger", "reverse", "ada", "1", "--reason", "typed wrongly")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """No stores: who asked for one would end with another status."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("STAKEHOLD_DATA", str(tmp_path))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said of arguments that make no sense."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    return said


def changed(arguments: tuple[str, ...], place: int, text: str) -> list[str]:
    return [*arguments[:place], text, *arguments[place + 1 :]]


@pytest.mark.parametrize("name", ["", "x", "-x", "a b", "../..", NO_UTF8 * 3, LONG, "ada\0"])
def test_a_username_is_one(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """By every action that takes one, in the words of who signs up."""
    for action in OF_USERS:
        assert "argument username: A username " in refusal(capsys, *action, "--", name)
    for action in ("grant", "revoke"):
        assert "argument username: A username " in refusal(capsys, "users", action, "--", name, "admin")
    for arguments in (DEPOSIT, WITHDRAW, REVERSE):
        others = (*arguments[:2], *arguments[4:])
        assert "argument username: A username " in refusal(capsys, *others, "--", name, arguments[3])


@pytest.mark.parametrize(
    "seq", ["0", "-1", str(INT8_MAX + 1), LONG, "1.5", "1e3", "1_0", " 5", "٣", "", "x", NO_UTF8]
)
def test_a_transfers_number_is_one_that_the_database_holds(
    capsys: pytest.CaptureFixture[str], seq: str
) -> None:
    """From 1 to 2^63-1, in ASCII digits."""
    said = refusal(capsys, *changed(REVERSE, 3, seq))
    assert f"argument seq: {seq!r} is no whole number from 1 to {INT8_MAX}." in said


@pytest.mark.parametrize(
    "amount",
    ["0", "-1", "0.0", "1e400", "1" * 39, LONG, "0." + "0" * 18 + "1", "x", "", "٣", "NaN", "1_0", NO_UTF8],
)
@pytest.mark.parametrize("action", [DEPOSIT, WITHDRAW], ids=["deposit", "withdraw"])
def test_an_amount_is_one_of_some_asset(
    capsys: pytest.CaptureFixture[str], action: tuple[str, ...], amount: str
) -> None:
    """More than nothing, and of no more digits than the ledger holds."""
    assert "argument amount: this is no amount like 1000.25" in refusal(capsys, *changed(action, 3, amount))


@pytest.mark.parametrize("name", ["", "stk", "A B", "X" * 33, "STK\n", NO_UTF8, LONG + "X"])
def test_a_name_of_an_asset_or_a_plan_could_be_one(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Of the characters and the length that they may have."""
    rule = "a name has 1 to 32 of A-Z, 0-9, dot, underscore and hyphen"
    for action in (DEPOSIT, WITHDRAW):
        assert f"argument --asset: {rule}" in refusal(capsys, *changed(action, 5, name))
    assert f"argument PLAN_ID: {rule}" in refusal(capsys, "plans", "close", name)


@pytest.mark.parametrize("identifier", ["", "0", LONG, "f" * 33, NO_UTF8])
def test_an_events_id_is_one(capsys: pytest.CaptureFixture[str], identifier: str) -> None:
    """A UUID."""
    said = refusal(capsys, "webhooks", "replay", identifier)
    assert "argument EVENT_ID: this is no id of an event" in said


def test_an_event_is_replayed_whatever_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that were given up can be told from the others of a time, and from nothing else."""
    said = refusal(capsys, "webhooks", "replay", "f" * 32, "--failed")
    assert "argument --failed: not allowed with argument EVENT_ID" in said


@pytest.mark.parametrize(
    "moment",
    ["", "now", "2026-01-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", LONG, NO_UTF8],
)
def test_a_time_is_one_that_the_database_can_be_asked_for(
    capsys: pytest.CaptureFixture[str], moment: str
) -> None:
    """With its zone, and in UTC of a year from 1 to 9999."""
    said = refusal(capsys, "webhooks", "replay", "--since", moment)
    assert "argument --since: this is no time like 2027-01-31T09:30:00Z" in said


@pytest.mark.parametrize(
    "arguments",
    [
        changed(REVERSE, 3, str(INT8_MAX)),
        changed(DEPOSIT, 3, "9" * 38),
        changed(DEPOSIT, 3, "0." + "0" * 17 + "1"),
        changed(DEPOSIT, 2, "Ada@Example"),
        changed(DEPOSIT, 5, "X" * 32),
        ["webhooks", "replay", "f" * 32],
        ["webhooks", "replay", "--since", "9999-12-31T23:59:59Z"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_what_is_only_just_an_argument_is_taken(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The command then wants the stores."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 1
    assert "DATABASE_URL is not set" in capsys.readouterr().err
