"""What is kept of a page, and in which form.

An entry is one field of the resource's hash: `<created> <fresh until> <stale until> <etag>`, a line feed, and
the body as it goes out. The times are milliseconds of Redis' own clock.
"""

from dataclasses import dataclass

ENTRIES_MAX = 32
"""Entries a resource keeps; one more drops them all."""

ENTRY_BYTES_MAX = 256 * 1024
"""A longer body is not kept."""


@dataclass(slots=True)
class Entry:
    """A kept page: the bytes to send, and their entity tag."""

    body: bytes
    etag: str


@dataclass(slots=True)
class NewEntry:
    """A page to keep, fresh for `fresh_s` seconds from when its reader entered, then stale for `stale_s`.

    `now_ms` is the wall-clock time the page was made for, `not_after_ms` the one at which it stops being true
    (the next maturity on it): it is not served from then on.
    """

    body: bytes
    etag: str
    fresh_s: int
    stale_s: int
    now_ms: int
    not_after_ms: int | None = None


@dataclass(slots=True)
class FillTicket:
    """The right to store one entry, as long as nobody has written since its reader entered."""

    tag: str
    resource: str
    name: str
    generation: bytes
    entered_ms: int
    """When the reader entered, by Redis' clock: before it asked the database."""

    @property
    def flight_key(self) -> tuple[str, str, bytes]:
        """Readers with equal keys may share one reading of the database (cache/flights.py)."""
        return (self.tag, self.name, self.generation)
