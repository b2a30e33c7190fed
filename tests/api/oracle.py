"""What the documentation says of a request beyond what a JSON schema can: whether it may be refused, and why.

Written from docs/api.md alone, without the service's code, so that the two can disagree.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_SCALE = 8
_DIGITS_BEFORE_POINT = 30
PERIODS = (1, 3, 6, 12)
PLANS = tuple(f"STK-{period}M" for period in PERIODS)


def amount_is_taken(token: str) -> bool:
    """Whether a JSON number, or the content of a JSON string, is an amount that can be locked."""
    if len(token) > 64 or not _NUMBER.fullmatch(token):
        return False
    amount = Fraction(token)
    return 0 < amount < 10**_DIGITS_BEFORE_POINT and (amount * 10**_SCALE).denominator == 1


def username_is_taken(raw: str) -> bool:
    """Whether a username may be chosen."""
    name = _fold(raw)
    if not (3 <= len(raw) <= 64 and 3 <= len(name) <= 64):
        return False
    kinds = [unicodedata.category(character) for character in name]
    begins = kinds[0][0] == "L" or kinds[0] == "Nd"
    return begins and all(
        kind[0] == "L" or kind in ("Nd", "Mn", "Mc") or character in "._-+@"
        for kind, character in zip(kinds, name, strict=True)
    )


def password_length_is_taken(raw: str) -> bool:
    """Whether a new password has 8 to 128 characters, as sent and in normal form."""
    return 8 <= len(raw) <= 128 and 8 <= len(unicodedata.normalize("NFKC", raw)) <= 128


def may_refuse(operation: str, body: Any, query: Mapping[str, Any], code: str, field: str) -> bool:
    """Whether `operation` may refuse this body or query, valid by its schema, with `code` for `field`."""
    match operation, field:
        case "listStakes", "?cursor":
            return "page" in query and "cursor" in query
        case "createStake", "/period" | "/plan" | "/amount" if code == "quote_mismatch":
            return "quoteId" in body
        case "createStake" | "quoteStake", "/period":
            # To a schema 12.0 is a whole number, too.
            return isinstance(body["period"], float) or (
                code == "unknown_period" and body["period"] not in PERIODS
            )
        case "createStake" | "quoteStake", "/plan":
            return code == "unknown_plan" and body["plan"] not in PLANS
        case "createStake" | "quoteStake", "/amount":
            return not amount_is_taken(_token(body["amount"]))
        case "createStake", "/quoteId":
            return code == "invalid_quote"
        case "unstake", "/quoteId":
            return code in ("invalid_quote", "quote_mismatch")
        case "listRewards", "?to":
            return code == "validation_error" and _ends_before_it_begins(query)
        case "verifyLedger", "?after":
            return code == "validation_error"
        case "getBalances", "?asOf":
            return not _is_moment(query["asOf"])
        case "getStatement", "?from":
            return not _is_moment(query["from"])
        case "getStatement", "?to":
            # Which of two moments with offsets is the earlier, this does not say.
            return True
        case "deposit" | "withdraw", "/asset":
            return code == "unknown_asset" and body["asset"] != "STK"
        case "deposit" | "withdraw", "/reason":
            # A line break at the very end is one that `$` in a pattern may look over.
            return code == "invalid_reason" and body["reason"].endswith("\n")
        case "deposit" | "withdraw", "/amount":
            return code == "insufficient_funds" or not amount_is_taken(_token(body["amount"]))
        case "createStake" | "unstake" | "deposit" | "withdraw", "Idempotency-Key":
            return code == "idempotency_key_reused"
        case "signUp", "/username":
            return _shows_nothing(body["username"]) or not username_is_taken(body["username"])
        case "signUp", "/password":
            return _may_be_weak(body["password"]) or _fold(body["password"]) == _fold(body["username"])
        case "changePassword", "/newPassword":
            return _may_be_weak(body["newPassword"])
    return False


def must_refuse(operation: str, body: Any, query: Mapping[str, Any]) -> bool:
    """Whether `operation` has to refuse this body or query, though it is valid by its schema."""
    match operation:
        case "listStakes":
            return "page" in query and "cursor" in query
        case "listRewards":
            return _ends_before_it_begins(query)
        case "createStake" | "quoteStake":
            if "plan" in body:
                known = body["plan"] in PLANS
            else:
                known = body["period"] in PERIODS and isinstance(body["period"], int)
            return not known or not amount_is_taken(_token(body["amount"]))
        case "signUp":
            return not (username_is_taken(body["username"]) and password_length_is_taken(body["password"]))
        case "changePassword":
            return not password_length_is_taken(body["newPassword"])
    return False


def _is_moment(text: str) -> bool:
    """Whether a text of the schema's form is a date, or a moment with its offset, that there is."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return len(text) == len("2027-01-31") or moment.tzinfo is not None


def _ends_before_it_begins(query: Mapping[str, Any]) -> bool:
    # Dates of four-digit years are in order as text.
    return "from" in query and "to" in query and query["to"] < query["from"]


def _token(amount: object) -> str:
    # As json.dumps writes it, which is what was sent.
    return amount if isinstance(amount, str) else repr(amount)


def _may_be_weak(password: str) -> bool:
    """Whether a new password may be refused: for its length, as too common, or for a character not known."""
    folded = _fold(password)
    common = len(folded) <= 20 and folded.isascii()
    unknown = any(unicodedata.category(character) == "Cn" for character in folded)
    return common or unknown or not password_length_is_taken(password)


def _shows_nothing(text: str) -> bool:
    """Whether there is a letter or mark that is not seen (Default_Ignorable_Code_Point)."""
    hidden = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    return any(
        one in hidden or "\ufe00" <= one <= "\ufe0f" or "\U000e0100" <= one <= "\U000e01ef"
        for one in _fold(text)
    )


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
