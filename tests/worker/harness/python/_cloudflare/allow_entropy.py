"""Random bytes that a package may draw at import since nothing secret comes of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from _harness import allowEntropy


@contextmanager
def allow_bad_entropy_calls(calls: int) -> Iterator[None]:
    """Let this many draws pass inside."""
    allowEntropy(calls)
    try:
        yield
    finally:
        allowEntropy(0)
