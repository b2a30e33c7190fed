"""The command line: how it ends."""

from collections.abc import Callable

import pytest

from stakehold import cli


def ended_by(error: type[BaseException]) -> Callable[[str], str]:
    def ask(_: str) -> str:
        raise error

    return ask


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_who_gives_no_password_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-D and Ctrl-C at the terminal are no faults of the program."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", ended_by(error))
    with pytest.raises(SystemExit) as ended:
        cli.main(["users", "add", "alice"])
    assert ended.value.code == 130
