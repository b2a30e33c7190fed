"""How long anything may take. The numbers depend on each other, so they stand together."""

REQUEST_DEADLINE_S = 8.0
"""From a request's head to its answer."""

STATEMENT_TIMEOUT_S = 3.0
"""The database ends a statement after this; none starts with less time left."""

FENCE_TTL_S = 15.0
"""A fence outlives the longest write: more than the deadline and the statement timeout together."""

REDIS_TIMEOUT_S = 1.0
"""One trip to Redis, retries included."""

assert FENCE_TTL_S > REQUEST_DEADLINE_S + STATEMENT_TIMEOUT_S
