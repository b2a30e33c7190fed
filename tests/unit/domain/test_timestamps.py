"""Moments are written and cut into days exactly, to the millisecond."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakehold.domain.timestamps import midnight_ms, read_date, read_rfc3339, rfc3339, utc_date

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS_MS = st.integers(0, 253_402_300_799_999)


@pytest.mark.parametrize(
    ("moment_ms", "text"),
    [
        (1_795_380_825_123, "2026-11-22T20:53:45.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_written_to_the_millisecond(moment_ms: int, text: str) -> None:
    """RFC 3339, always with three decimals and Z."""
    assert rfc3339(moment_ms) == text


@given(MOMENTS_MS)
def test_what_is_written_is_the_moment(moment_ms: int) -> None:
    """Read back, it is the same moment; and every text has the same 24 characters' shape."""
    text = rfc3339(moment_ms)
    assert (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1) == moment_ms
    assert len(text) == 24


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22t20:53:45.123z", datetime(2026, 11, 22, 20, 53, 45, 123_000, UTC)),
        ("2026-11-22T20:53:45+14:00", datetime(2026, 11, 22, 6, 53, 45, 0, UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_with_its_offset(text: str, moment: datetime) -> None:
    """It comes in UTC, and letters are taken in either case."""
    assert read_rfc3339(text) == moment
    assert read_rfc3339(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-11-22T20:53:45", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
        "2026-11-22", "2026-11-22T20Z", "2026-11-22T20:53Z", "2026-11-22T2053Z", "2026-11-22T205345Z",
        "20261122T205345Z", "2026-W47-7T20:53:45Z", "2026-11-22 20:53:45Z", "2026-11-22x20:53:45Z",
        "2026-11-22T20:53:45.Z", "2026-11-22T20:53:45,1Z", "2026-11-22T20:53:45+01",
        "2026-11-22T20:53:45+0100", "2026-11-22T20:53:45+01:00:00", "2026-11-22T20:53:45+24:00",
        "2026-11-22T20:53:45+05:60", "2026-11-22T20:53:45-05:99",
        "2026-11-22T20:53:60Z", "2026-11-22T24:00:00Z", "2026-02-29T00:00:00Z",
        "٢٠26-11-22T20:53:45Z", "2026-11-22T20:53:45Z\n", " 2026-11-22T20:53:45Z",
    ],
)  # fmt: skip
def test_what_is_no_moment_of_utc_is_refused(text: str) -> None:
    """Neither one without an offset, nor one whose year in UTC has another number of digits, or none."""
    with pytest.raises(ValueError, match=r"written|isoformat|moment|must be|day|offset"):
        read_rfc3339(text)


@pytest.mark.parametrize("text", ["2026-W47-7", "20261122  ", "2026-11-2٢", "2026-02-29", "2026-1-01", ""])
def test_what_is_no_date_is_refused(text: str) -> None:
    """Nor any other form of a day."""
    assert read_date("2026-11-22") == date(2026, 11, 22)
    with pytest.raises(ValueError, match=r"written|isoformat|moment|must be|day|offset"):
        read_date(text)


@given(MOMENTS_MS)
def test_a_moment_falls_on_the_day_it_is_written_with(moment_ms: int) -> None:
    """The date is that of the text, and the day began at most 24 hours before."""
    day = utc_date(moment_ms)
    assert day.isoformat() == rfc3339(moment_ms)[:10]
    assert 0 <= moment_ms - midnight_ms(day) < 86_400_000


def test_the_last_millisecond_of_a_day_is_of_that_day() -> None:
    """23:59:59.999 is today, the next millisecond tomorrow."""
    midnight = midnight_ms(date(2027, 2, 1))
    assert utc_date(midnight - 1) == date(2027, 1, 31)
    assert utc_date(midnight) == date(2027, 2, 1)
