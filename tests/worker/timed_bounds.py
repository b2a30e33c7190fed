"""What timed_entry.py has in place of the Worker's bounds, and when places are free again."""

IN_FLIGHT_MAX = 2
"""Requests to Upstash at once: the place of one that was killed is free after its timeout and 5 s."""

IN_FLIGHT_LIFE_S = 6.0
CLAIM_LIFE_S = 2.0
"""Of a request that looks whether Redis has returned."""
