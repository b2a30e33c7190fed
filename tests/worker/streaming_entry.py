"""Goes into a bundle in the place of its entry: the Worker with the operations of support/streaming.py."""

import streaming

streaming.add_operations()

from stakehold.runtime.worker import Default as Default  # noqa: E402 - the application is made at its import
