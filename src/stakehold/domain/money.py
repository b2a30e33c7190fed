"""Amounts of money: whole minor units inside, decimal strings outside, and never a float in between.

An asset of scale 8 has 10**8 minor units to the unit: 1.5 is held as 150000000.
"""

import re

MAX_AMOUNT_DIGITS = 38
"""Of an amount in minor units: what NUMERIC(38,0) holds."""

MAX_TOKEN_CHARACTERS = 64

# A JSON number (RFC 8259, section 6) and nothing else, with at most three digits of exponent.
_DECIMAL = re.compile(rb"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?")


def parse_amount_minor(token: bytes, scale: int) -> int:
    """The amount in minor units that a raw JSON token says exactly.

    `token` is a JSON number or a JSON string that holds one, its quotes included. Taking the token, not a
    parsed value, is what keeps 0.1 from passing through a binary float. Raises ValueError, with a message for
    the user, unless the amount is more than zero, a whole number of minor units, and of at most 38 digits.
    """
    text = token[1:-1] if len(token) >= 2 and token[:1] == token[-1:] == b'"' else token
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise ValueError(f"An amount has at most {MAX_TOKEN_CHARACTERS} characters.")
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError('An amount is a decimal number such as 1000 or "1000.25".')
    minus, whole, fraction, exponent = match.groups()
    fraction = fraction or b""
    digits = (whole + fraction).lstrip(b"0")
    if minus or not digits:
        raise ValueError("An amount is more than 0.")
    significant = digits.rstrip(b"0")
    # amount_minor = significant * 10**zeros; the size is known, and refused, before the number is built.
    zeros = int(exponent or 0) - len(fraction) + scale + len(digits) - len(significant)
    if zeros < 0:
        raise ValueError(f"An amount has at most {scale} decimal places.")
    if len(significant) + zeros > MAX_AMOUNT_DIGITS:
        raise ValueError(f"An amount has at most {MAX_AMOUNT_DIGITS - scale} digits before the point.")
    return int(significant + b"0" * zeros)


def format_amount(amount_minor: int, scale: int) -> str:
    """The one decimal string of an amount, which is not negative: no exponent, no zeros that say nothing."""
    whole, fraction = divmod(amount_minor, 10**scale)
    if fraction == 0:
        return str(whole)
    return f"{whole}.{fraction:0{scale}d}".rstrip("0")
