"""Limits without Redis' word: the local share, and the platform's limiter where there is one."""

from stakehold.domain.ports import Counters
from stakehold.domain.time_limit import TimeLimit
from stakehold.gate.passage import LimitedError
from stakehold.limits.fallback import Decision, LocalLog, PlatformLimiter, platform_period_s
from stakehold.limits.headers import LimitState
from stakehold.limits.policies import Policy

PLATFORM_TIMEOUT_S = 0.1
"""For all policies of a request together. The platform answers from its own machine's memory."""


class AloneLimits:
    """Decides where Redis is away, or its logs may lack charges."""

    def __init__(self, local: LocalLog, platform: PlatformLimiter | None, counters: Counters) -> None:
        self._local = local
        self._platform = platform
        self._counters = counters

    async def admit(self, subject: str, policies: tuple[Policy, ...], request_id: str) -> Decision:
        """Charge this process's own share, and ask the platform as well. Raises LimitedError.

        What is refused is not charged to the share. The platform cannot take a charge back: there a request
        that another policy refuses counts, and one during whose trip Redis goes away counts twice.
        """
        decision = self._local.admit(subject, policies, request_id)
        if decision.violated:
            self._counters.count("limits_local_denials")
            raise LimitedError(decision.limits, decision.violated)
        if self._platform is not None:
            refusal = await self._refusal(self._platform, subject, policies)
            if refusal is not None:
                self._local.take_back(subject, decision.charged, request_id)
                self._counters.count("limits_platform_denials")
                raise LimitedError(_with(refusal, decision.limits), (refusal,))
        self._counters.count("limits_local_admissions")
        return decision

    async def _refusal(
        self, platform: PlatformLimiter, subject: str, policies: tuple[Policy, ...]
    ) -> LimitState | None:
        """The first limit that the platform refuses. Where it says nothing in time, the share has decided."""
        try:
            with TimeLimit(PLATFORM_TIMEOUT_S):
                for policy in policies:
                    period_s = platform_period_s(policy)
                    if period_s is not None and not await self._admits(platform, subject, policy):
                        return LimitState(policy, 0, period_s)
        except TimeoutError:
            self._counters.count("limits_platform_failures")
        return None

    async def _admits(self, platform: PlatformLimiter, subject: str, policy: Policy) -> bool:
        try:
            return await platform.admit(subject, policy)
        except TimeoutError:
            raise
        except Exception:
            # Whatever a platform may raise: it is asked on top of our own share.
            self._counters.count("limits_platform_failures")
            return True


def _with(refusal: LimitState, states: tuple[LimitState, ...]) -> tuple[LimitState, ...]:
    return tuple(refusal if state.policy is refusal.policy else state for state in states)
