"""docs/security.md keeps to the code: what it names exists, and it leaves out no requirement."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (.+) \| (.+) \|$", re.MULTILINE)

# How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has; in all of them they come first.
LEVELS_1_AND_2 = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2,
    "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3,
    "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3,
    "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3,
    "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2,
    "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1,
    "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7,
    "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
REQUIRED = {
    f"{section}.{number}" for section, count in LEVELS_1_AND_2.items() for number in range(1, count + 1)
}


@cache
def _functions(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _is_there(path: str, function: str) -> bool:
    """Whether the document's `path::function` is a test; one without a function needs its file alone."""
    file = TESTS / path.removeprefix("tests/")
    return file.is_file() and (not function or (function[:5] == "test_" and function in _functions(file)))


def _rows(document: str) -> list[tuple[str, str, str]]:
    return ROW.findall(document)


def _not_applicable(document: str) -> set[str]:
    """The requirements of the chapters, sections and numbers in the list."""
    listed = document.partition("### What does not apply\n")[2]
    found: set[str] = set()
    for numbers, reason in re.findall(r"^- ([\d., ]+): (.+)$", listed, re.MULTILINE):
        assert len(reason) > 5, numbers
        for number in numbers.split(", "):
            covered = {each for each in REQUIRED if f"{each}.".startswith(f"{number}.")}
            assert covered, f"{number} is not of level 1 or 2"
            assert not covered & found, f"{number} is listed twice"
            found |= covered
    return found


def _order(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split(".")))


def test_every_test_that_is_named_exists() -> None:
    """File and function, wherever the page names one."""
    named = NAMED.findall(DOCUMENT)
    assert len(named) > 100
    assert [each for each in named if not _is_there(*each)] == []


def test_requirements_come_once_and_in_order() -> None:
    """Numbers are unique and sorted, in the tables and in the list of what is not met."""
    numbers = [number for number, _, _ in _rows(DOCUMENT)]
    assert numbers == sorted(set(numbers), key=_order)


def test_every_requirement_has_a_test_or_a_reason() -> None:
    """A row that names no test says why; what is not met says so in its row and in the list above."""
    for number, what, shown in _rows(DOCUMENT):
        assert NAMED.search(shown) or re.fullmatch(r"— .{20,}\.", shown), number
        assert len(what) >= 4, number
    listed = re.findall(r"^Not met, in full or to the letter: (.+)\.$", DOCUMENT, re.MULTILINE)
    unmet = [number for number, what, _ in _rows(DOCUMENT) if what.startswith("**Not met**")]
    assert [", ".join(unmet)] == listed


def test_no_requirement_is_left_out() -> None:
    """All of levels 1 and 2 are in a table or in the list of what does not apply, none in both."""
    rows = {number for number, _, _ in _rows(DOCUMENT)}
    without = _not_applicable(DOCUMENT)
    assert rows & without == set()
    assert sorted(rows ^ REQUIRED ^ without, key=_order) == []


def test_every_section_of_rfc_8725_has_a_row() -> None:
    """3.1 to 3.12, each with a test."""
    rows = re.findall(r"^\| (3\.\d+) \| [^|]+ \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert [section for section, _ in rows] == [f"3.{number}" for number in range(1, 13)]
    assert all(NAMED.search(shown) for _, shown in rows)


def test_links_within_the_page_lead_somewhere() -> None:
    """Each `#fragment` is a heading, here or in the page of docs/ that is named."""
    for page, fragment in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", DOCUMENT):
        text = (TESTS.parent / "docs" / page).read_text() if page else DOCUMENT
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert fragment in slugs, (page, fragment)


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("security/test_document.py", "test_that_never_was"),
        ("security/test_gone.py", "test_no_requirement_is_left_out"),
        ("security/test_document.py", "_rows"),
    ],
)
def test_a_test_that_is_not_there_is_noticed(path: str, function: str) -> None:
    """Neither a name nor a file that has gone, nor a function that is no test, passes for one."""
    assert _is_there("security/test_document.py", "test_no_requirement_is_left_out")
    assert not _is_there(path, function)
