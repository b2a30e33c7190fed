"""Every route that takes a body: one that it takes, and how a member of it is named when it is refused."""

from dataclasses import dataclass
from typing import Any

from stakehold.domain.accounts import ADMIN, Scope
from tests.support.service import PASSWORD

PAYEE = "resident"
"""Whose balance operators change: a name without a user would be refused before the amount is read."""

_STAKE_ID = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"


@dataclass(frozen=True)
class Route:
    """A request with a JSON body. Its schema takes `sound`, where the member `text` is text.

    `template` is the path as the OpenAPI document has it, `scope` what the sender's token needs to have.
    """

    template: str
    sound: dict[str, Any]
    text: str | None
    may_be_empty: bool = False
    method: str = "POST"
    scope: Scope = ""

    @property
    def path(self) -> str:
        """Where a stake is meant, it is one that there is not: a body is refused before it is looked for."""
        return self.template.replace("{stakeId}", _STAKE_ID)


_ADJUSTMENT = {"username": PAYEE, "asset": "STK", "amount": "1", "reason": "Wire 4711"}

ROUTES = (
    Route("/api/users", {"username": "grace", "password": PASSWORD}, "username"),
    Route("/api/auth", {"username": "grace", "password": PASSWORD}, "password"),
    Route("/api/auth/refresh", {"refreshToken": "shr_none"}, "refreshToken"),
    Route("/api/auth/logout", {"all": False}, None, may_be_empty=True),
    Route("/api/me/password", {"currentPassword": "wrong", "newPassword": "a long walk home"}, "newPassword"),
    Route("/api/stake", {"amount": "1", "period": 12, "maturityInstruction": "payout"}, "amount"),
    Route("/api/stake/quote", {"amount": "1", "plan": "STK-12M"}, "plan"),
    Route("/api/stake/{stakeId}/unstake/quote", {}, None, may_be_empty=True),
    Route("/api/stake/{stakeId}/cancel", {}, None, may_be_empty=True),
    Route("/api/stake/{stakeId}/unstake", {"quoteId": "shq_none"}, "quoteId"),
    Route("/api/stake/{stakeId}", {"maturityInstruction": "payout"}, "maturityInstruction", method="PATCH"),
    Route("/api/admin/deposits", _ADJUSTMENT, "reason", scope=ADMIN),
    Route("/api/admin/withdrawals", _ADJUSTMENT, "username", scope=ADMIN),
)
