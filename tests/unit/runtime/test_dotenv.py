"""The `.env` file: assignments, nothing more."""

from pathlib import Path

import pytest

from stakehold.runtime.dotenv import DotenvError, with_dotenv


def read(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / ".env").write_text(text)
    return with_dotenv({}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=value", "value"),
        ("  export NAME = value  ", "value"),
        ("NAME=", ""),
        ("NAME=a=b", "a=b"),
        ("NAME=value # said", "value"),
        ("NAME='single # kept $HOME'", "single # kept $HOME"),
        (r'NAME="double \"quoted\"\n"  # said', 'double "quoted"\n'),
        ("NAME=postgresql://ada:p%40ss@db/stakehold?sslmode=require", None),
    ],
)
def test_values_are_read_as_written(tmp_path: Path, line: str, value: str | None) -> None:
    """Quotes group, comments end, nothing is expanded."""
    expected = value if value is not None else line.partition("=")[2]
    assert read(tmp_path, f"# a comment\n\n{line}\n") == {"NAME": expected}


def test_what_is_set_already_wins(tmp_path: Path) -> None:
    """A file changes nothing that the environment says, an empty value included."""
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    assert with_dotenv({"A": "set"}, tmp_path / ".env") == {"A": "set", "B": "file"}


def test_no_file_is_no_change(tmp_path: Path) -> None:
    """Most have none."""
    assert with_dotenv({"A": "set"}, tmp_path / ".env") == {"A": "set"}


@pytest.mark.parametrize("line", ["no assignment", "1A=x", 'A="unended', "A='x' y"])
def test_a_line_that_is_no_assignment_is_named_without_its_content(tmp_path: Path, line: str) -> None:
    """It may hold a secret."""
    with pytest.raises(DotenvError, match="line 2") as caught:
        read(tmp_path, f"A=1\n{line}\n")
    assert line not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A directory of that name, or bytes that are no text, are not taken for an empty file."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "bytes").write_bytes(b"A=\xff")
    for name in ("directory", "bytes"):
        with pytest.raises(DotenvError, match=f"{name} cannot be read"):
            with_dotenv({}, tmp_path / name)
