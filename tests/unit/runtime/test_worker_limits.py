"""The platform's rate limiting: a binding for each policy, by its name."""

from types import SimpleNamespace
from typing import Any

import pytest

from stakehold.gate import Policies
from stakehold.runtime.worker_limits import BindingLimiter


class Binding:
    """A rate-limit binding that lets in so many in all."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.keys: list[str] = []

    async def limit(self, options: dict[str, str]) -> Any:
        self.keys.append(options["key"])
        return {"success": len(self.keys) <= self.room}


async def test_a_policy_asks_its_own_binding() -> None:
    """`LIMIT_STAKE_CREATE` is that of `stake-create`, asked by subject; a policy without one lets in."""
    policies = Policies()
    binding = Binding(1)
    limiter = BindingLimiter(SimpleNamespace(LIMIT_STAKE_CREATE=binding), policies.all())
    assert await limiter.admit("u:one", policies.get("stake-create"))
    assert not await limiter.admit("u:two", policies.get("stake-create"))
    assert all([await limiter.admit("u:one", policies.get("auth")) for _ in range(3)])
    assert binding.keys == ["u:one", "u:two"]


async def test_what_a_binding_raises_goes_on() -> None:
    """The gate counts it as no answer (gate/alone.py)."""

    class Broken:
        async def limit(self, options: dict[str, str]) -> Any:
            raise RuntimeError("the rate limiter failed")

    policies = Policies()
    limiter = BindingLimiter(SimpleNamespace(LIMIT_AUTH=Broken()), policies.all())
    with pytest.raises(RuntimeError):
        await limiter.admit("a:192.0.2.1", policies.get("auth"))
