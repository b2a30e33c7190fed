"""What is kept of a page, and in which form.

An entry is one field of the resource's hash: `<created> <fresh until> <stale until> <etag>`, a line feed, and
the body as it goes out. The times are milliseconds of Redis' own clock.
"""

import re
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


_ETAG = re.compile(r"[\x21-\x7e]{1,100}\Z")


def encode_entry(entry: NewEntry, entered_ms: int) -> tuple[bytes, int] | None:
    """The entry as it is stored, and until when it may be served, for a reader who entered at `entered_ms`.

    None when it is not worth storing: too long, or true no more. ValueError when the entity tag would not be
    read back.
    """
    if not _ETAG.match(entry.etag):
        raise ValueError(f"{entry.etag!r} is no entity tag that can be kept.")
    stale_until_ms = entered_ms + (entry.fresh_s + entry.stale_s) * 1000
    if entry.not_after_ms is not None:
        # From wall-clock time to Redis' own: the reader entered before `now_ms`, so this ends early.
        stale_until_ms = min(stale_until_ms, entered_ms + entry.not_after_ms - entry.now_ms)
    if stale_until_ms <= entered_ms or len(entry.body) > ENTRY_BYTES_MAX:
        return None
    fresh_until_ms = min(entered_ms + entry.fresh_s * 1000, stale_until_ms)
    head = f"{entered_ms} {fresh_until_ms} {stale_until_ms} {entry.etag}\n"
    return head.encode() + entry.body, stale_until_ms


def decode_entry(stored: bytes) -> Entry:
    """The entry that the script has found, and judged by its times."""
    head, _, body = stored.partition(b"\n")
    return Entry(body, head[head.rindex(b" ") + 1 :].decode())


def body_of(stored: bytes) -> bytes:
    """The body alone of such an entry."""
    return stored[stored.index(b"\n") + 1 :]
