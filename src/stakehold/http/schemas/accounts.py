"""The bodies of users, sessions and tokens."""

from typing import Annotated

from msgspec import Meta

from stakehold.domain.accounts import (
    NEW_PASSWORD_CHARACTERS_MAX,
    NEW_PASSWORD_CHARACTERS_MIN,
    USERNAME_CHARACTERS_MAX,
    USERNAME_CHARACTERS_MIN,
)
from stakehold.http.schemas.base import USER_ID_EXAMPLE, Body, Moment, Reply

Username = Annotated[str, Meta(min_length=1, max_length=256, description="Without regard to case.")]
Password = Annotated[str, Meta(min_length=1, max_length=1024, description="The password in force.")]
# What a JSON schema can say of these two; domain/accounts.py says the rest.
NewUsername = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Letters and digits of any script and . _ - + @, beginning with a letter or digit.",
        extra_json_schema={"minLength": USERNAME_CHARACTERS_MIN, "maxLength": USERNAME_CHARACTERS_MAX},
    ),
]
NewPassword = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description="Not a common password, nor the username.",
        extra_json_schema={
            "minLength": NEW_PASSWORD_CHARACTERS_MIN,
            "maxLength": NEW_PASSWORD_CHARACTERS_MAX,
        },
    ),
]
RefreshToken = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=512,
        description="Gets the next tokens, once.",
    ),
]


class SignUp(Body):
    """A new user. The password has 8 to 128 characters and is not a common one."""

    username: NewUsername
    password: NewPassword


class SignIn(Body):
    """Credentials."""

    username: Username
    password: Password


class Refresh(Body):
    """The refresh token that the last answer gave; each can be used once."""

    refresh_token: RefreshToken


class SignOut(Body):
    """`all` ends every session of the user, not this one alone."""

    all: Annotated[bool, Meta(description="End every session of the user.")] = False


class ChangePassword(Body):
    """Every session of the user ends; the answer starts a new one."""

    current_password: Password
    new_password: NewPassword


class User(Reply):
    """A user, as the user sees it."""

    id: Annotated[str, Meta(description="The user's id.", extra_json_schema={"format": "uuid"})]
    username: Annotated[str, Meta(description="In normal form.")]
    created_at: Moment


class TokenAnswer(Reply):
    """An access token (JWT, HS256), its life in seconds, and the token that gets the next one."""

    token: Annotated[str, Meta(description="Sent as `Authorization: Bearer <token>`.")]
    expires_in: Annotated[int, Meta(description="How long the token is good, in seconds.")]
    refresh_token: RefreshToken


_PASSPHRASE = "a long walk on a cold day"  # noqa: S105
_JWT = (
    "eyJhbGciOiJIUzI1NiIsImtpZCI6InR6SjAwX21jRWZKaCIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJzdGFrZWhvb"
    "GQiLCJhdWQiOiJzdGFrZWhvbGQiLCJzdWIiOiIwMWEyMDUwNS1lMGFmLTdjNDQtOWYwYS0yZjNiNmMxZDhlOTAiLCJ"
    "pYXQiOjE3OTUzODA4MjAsIm5iZiI6MTc5NTM4MDgyMCwiZXhwIjoxNzk1MzgxNzIwLCJqdGkiOiJGdEtNLVBNRWpMc"
    "zRUaFNjLXY4MGJRIiwic2lkIjoiMDFhMjA1MDktMzgyMC03YTExLThiMGMtOWQxZTJmM2E0YjVjIiwiZXBvY2giOjF"
    "9.FQNdhDKW0OSf7_1V-odl_SjtWCVjnjRlVnUJ72IaEjs"
)
_REFRESH = "shr_AaIFBeCvfESfCi87bB2OkAGiBQk4IHoRiwydHi86S1xQ2FjgmF7Mf2BBiq8MxatYf0LCVwqIQJWp6Mys0PZUXA"

EXAMPLES = (
    SignUp(username="testuser2", password=_PASSPHRASE),
    SignIn(username="testuser", password="password123"),  # noqa: S106
    Refresh(refresh_token=_REFRESH),
    SignOut(all=False),
    ChangePassword(current_password="password123", new_password=_PASSPHRASE),  # noqa: S106
    User(id=USER_ID_EXAMPLE, username="testuser", created_at="2026-11-22T20:50:01.007Z"),
    TokenAnswer(token=_JWT, expires_in=900, refresh_token=_REFRESH),
)
