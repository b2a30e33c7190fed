"""Every route that takes a body: one that it takes, and how a member of it is named when it is refused."""

from dataclasses import dataclass
from typing import Any

from tests.support.service import PASSWORD


@dataclass(frozen=True)
class Route:
    """A POST with a JSON body. Its schema takes `sound`, where the member `text` is text."""

    path: str
    sound: dict[str, Any]
    text: str | None
    may_be_empty: bool = False


ROUTES = (
    Route("/api/users", {"username": "grace", "password": PASSWORD}, "username"),
    Route("/api/auth", {"username": "grace", "password": PASSWORD}, "password"),
    Route("/api/auth/refresh", {"refreshToken": "shr_none"}, "refreshToken"),
    Route("/api/auth/logout", {"all": False}, None, may_be_empty=True),
    Route("/api/me/password", {"currentPassword": "wrong", "newPassword": "a long walk home"}, "newPassword"),
    Route("/api/stake", {"amount": "1", "period": 12}, "amount"),
)
