"""What may be kept as a reason."""

import re
import sys
import unicodedata

import pytest

from stakehold.domain.reasons import REASON_CHARACTERS_MAX, REASON_PATTERN, check_reason


@pytest.mark.parametrize(
    "text", ["x", " Wire 4711 ", "=1+1", "Überweisung 🎉 от 3.", "x" * REASON_CHARACTERS_MAX]
)
def test_any_text_is_a_reason(text: str) -> None:
    """Of any script, up to the length that is kept."""
    check_reason(text)
    assert re.search(REASON_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u00a0\u2003\u3000", "a\nb", "a\n", "\na", "a\tb", "a\0b", "a\x7f", "\u0085a", "x" * 501],
)
def test_what_is_none_is_refused(text: str) -> None:
    """Nothing at all, blanks alone, control characters anywhere, and more than is kept."""
    with pytest.raises(ValueError, match="A reason has 1 to 500 characters"):
        check_reason(text)


def test_the_rule_is_unicodes() -> None:
    """Characters of the category Cc are refused, and those that Python calls blank do not suffice."""
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        is_control = unicodedata.category(one) == "Cc"
        assert bool(re.fullmatch(REASON_PATTERN, f"a{one}b")) is not is_control, hex(code)
        assert bool(re.fullmatch(REASON_PATTERN, one)) is not (is_control or one.isspace()), hex(code)
