"""A client of the real Valkey, as the gate's tests have it."""

from tests.unit.gate.conftest import redis as redis
