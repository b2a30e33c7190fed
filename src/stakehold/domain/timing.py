"""How long anything may take. The numbers depend on each other, so they stand together."""

REQUEST_DEADLINE_S = 8.0
"""From a request's head to its answer."""

STATEMENT_TIMEOUT_S = 3.0
"""The database ends a statement after this; none starts with less time left."""

FENCE_TTL_S = 15.0
"""A fence outlives the longest write: more than the deadline and the statement timeout together."""

REDIS_TIMEOUT_S = 1.0
"""One trip to Redis, retries included."""

QUOTE_TTL_MS = 60_000
"""How long what was quoted is kept to."""

STREAM_PIECE_S = 8.0
"""To make the next piece of a streamed answer, and to take one; the first has the request's deadline."""

STREAM_S = 60.0
"""From the head of a request to the last piece of its streamed answer."""

assert FENCE_TTL_S > REQUEST_DEADLINE_S + STATEMENT_TIMEOUT_S
