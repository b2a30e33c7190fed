"""Moments in milliseconds since the Unix epoch, as dates and as text, in UTC."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# RFC 3339, section 5.6. Python reads more: weeks, times without seconds, any character between date and time.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RFC3339 = re.compile(
    _DATE.pattern + r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)


def rfc3339(moment_ms: int) -> str:
    """A moment as RFC 3339 writes it, to the millisecond: "2026-11-22T20:53:45.123Z"."""
    # Split as integers: a float of seconds does not hold every millisecond.
    seconds, milliseconds = divmod(moment_ms, 1000)
    return f"{_whole_second(seconds)}.{milliseconds:03d}Z"


# Moments that are written come in runs: a log's lines are of one second, a page's stakes often of one day.
@lru_cache(maxsize=1024)
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def read_rfc3339(text: str) -> datetime:
    """The moment that a text says, in UTC. Raises ValueError unless it has an offset and a year UTC has.

    A leap second is refused, like any other second past the 59th.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("A moment is written like 2027-01-31T09:30:00Z.")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("The moment is before the year 1 or after 9999.") from None


def read_date(text: str) -> date:
    """The day that a text says (RFC 3339's `full-date`). Raises ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError("A date is written like 2027-01-31.")
    return date.fromisoformat(text)


def utc_date(moment_ms: int) -> date:
    """The day a moment falls on."""
    return date.fromordinal(_EPOCH_ORDINAL + moment_ms // DAY_MS)


def midnight_ms(day: date) -> int:
    """The moment a day begins."""
    return (day.toordinal() - _EPOCH_ORDINAL) * DAY_MS
