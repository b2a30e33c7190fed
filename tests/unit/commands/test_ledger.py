"""`stakehold ledger`: what it takes."""

import argparse

import pytest

from stakehold.commands import ledger


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    ledger.register(parser, lambda work: 0)
    return parser


ACTIONS = (
    ["deposit", "ada", "1", "--asset", "STK"],
    ["withdraw", "ada", "1", "--asset", "STK"],
    ["reverse", "ada", "7"],
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action[0])
def test_a_reason_is_the_same_here_as_over_http(
    parser: argparse.ArgumentParser, action: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Text without control characters, and not only blanks; bytes that are no UTF-8 are refused as well."""
    assert parser.parse_args([*action, "--reason", "Überweisung 4711"]).reason == "Überweisung 4711"
    for reason, said in (
        (" \u2003", "A reason has 1 to 500 characters"),
        ("a\nb", "none of them a control character"),
        ("x" * 501, "A reason has 1 to 500 characters"),
        ("\udcff", "A reason is text in UTF-8."),
    ):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([*action, "--reason", reason])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
