"""What the arguments of commands may be: what is none is a usage error, before any store is asked."""

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from stakehold.domain.accounts import normalise_username
from stakehold.domain.money import MAX_AMOUNT_DIGITS, parse_amount_minor
from stakehold.domain.plan_terms import NAME_RULE, SCALE_MAX, is_name
from stakehold.domain.reasons import check_reason
from stakehold.domain.timestamps import read_rfc3339
from stakehold.runtime.variables import whole_number

T = TypeVar("T")

_INT8_MAX: Final = 2**63 - 1


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The same for argparse, which does not tell what a ValueError says."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a name has {NAME_RULE}")
    return text


def _reason(text: str) -> str:
    try:
        text.encode()  # what the terminal sent need not be UTF-8
    except UnicodeEncodeError:
        raise ValueError("A reason is text in UTF-8.") from None
    check_reason(text)
    return text


def _amount(text: str) -> str:
    if not any(_is_amount(text, scale) for scale in range(SCALE_MAX + 1)):
        raise ValueError(f"this is no amount like 1000.25, above 0 and of at most {MAX_AMOUNT_DIGITS} digits")
    return text


def _is_amount(text: str, scale: int) -> bool:
    try:
        parse_amount_minor(json.dumps(text).encode(), scale)
    except ValueError:
        return False
    return True


def _identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("this is no id of an event") from None


def _moment(text: str) -> datetime:
    try:
        return read_rfc3339(text)
    except ValueError:
        raise ValueError("this is no time like 2027-01-31T09:30:00Z") from None


username: Final = _argument(normalise_username)
"""A username, in its one spelling."""

name: Final = _argument(_name)
"""The name of a plan or an asset."""

reason: Final = _argument(_reason)
"""Why an operator does what they do."""

amount: Final = _argument(_amount)
"""An amount of some asset, as text: how many decimal places it may have, the asset says."""

transfer_seq: Final = _argument(whole_number(1, _INT8_MAX))
"""A transfer's number among its user's."""

event_id: Final = _argument(_identifier)
"""The id of an event."""

moment: Final = _argument(_moment)
"""A time with its zone, in UTC."""
