"""Moments as queries name them."""

from datetime import UTC, datetime

from stakehold.domain.errors import FieldError, ValidationError
from stakehold.domain.timestamps import midnight_ms, read_date, read_rfc3339

_DATE_CHARACTERS = 10


def read_moment_ms(text: str, pointer: str) -> int:
    """A date, which is its first moment in UTC, or RFC 3339, in milliseconds since the Unix epoch.

    Raises ValidationError that names `pointer`.
    """
    try:
        if len(text) == _DATE_CHARACTERS:
            return midnight_ms(read_date(text))
        since = read_rfc3339(text) - datetime(1970, 1, 1, tzinfo=UTC)
    except ValueError:
        raise ValidationError(
            "The query is not valid.",
            fields=(FieldError(pointer, "invalid_moment", "A date, or RFC 3339 with its offset."),),
        ) from None
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
