"""The platform's rate limiting: bindings by policy, `LIMIT_STAKE_CREATE` for `stake-create`."""

from collections.abc import Iterable
from typing import Any

from stakehold.gate import Policy


class BindingLimiter:
    """Asks the binding of a policy; implements `PlatformLimiter`."""

    def __init__(self, env: Any, policies: Iterable[Policy]) -> None:
        bindings = ((policy.name, getattr(env, _binding_name(policy), None)) for policy in policies)
        self._bindings = {name: binding for name, binding in bindings if binding is not None}

    async def admit(self, subject: str, policy: Policy) -> bool:
        """Charge `subject`; True where the policy has no binding."""
        binding = self._bindings.get(policy.name)
        if binding is None:
            return True
        answer = await binding.limit({"key": subject})
        return bool(answer["success"])


def _binding_name(policy: Policy) -> str:
    return f"LIMIT_{policy.name.upper().replace('-', '_')}"
