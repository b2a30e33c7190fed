"""The commonest passwords of at least eight characters, which nobody may choose.

Put together by hand from what is generally known of leaked passwords: keyboard runs, repeated and counted
digits, words with the usual endings, names, teams and bands. All are case-folded.
"""

from typing import Final

_WORDS = """
password passw0rd p@ssword p@ssw0rd
"""

COMMON_PASSWORDS: Final = frozenset(_WORDS.split()) | {"password123"}
