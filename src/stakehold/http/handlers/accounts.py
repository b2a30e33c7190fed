"""Accounts over HTTP."""

from stakehold.domain.timestamps import rfc3339
from stakehold.http.call import NO_STORE, Answer, Call, json_answer
from stakehold.http.schemas.accounts import (
    ChangePassword,
    Refresh,
    SignIn,
    SignOut,
    SignUp,
    TokenAnswer,
    User,
)
from stakehold.services import accounts


def _token_answer(tokens: accounts.Tokens) -> Answer:
    content = TokenAnswer(token=tokens.access, expires_in=tokens.expires_in_s, refresh_token=tokens.refresh)
    return json_answer(200, content, NO_STORE)


def _user(user: accounts.Profile) -> User:
    return User(id=str(user.id), username=user.username, created_at=rfc3339(user.created_at_ms))


async def sign_up(call: Call) -> Answer:
    """POST /api/users"""
    body = call.body_as(SignUp)
    user = await accounts.sign_up(call.container.services, body.username, body.password, call.deadline)
    return json_answer(201, _user(user), NO_STORE, (b"location", b"/api/me"))


async def sign_in(call: Call) -> Answer:
    """POST /api/auth"""
    body = call.body_as(SignIn)
    return _token_answer(
        await accounts.sign_in(
            call.container.services, body.username, body.password, call.charge_id, call.deadline
        )
    )


async def refresh(call: Call) -> Answer:
    """POST /api/auth/refresh"""
    body = call.body_as(Refresh)
    return _token_answer(await accounts.refresh(call.container.services, body.refresh_token, call.deadline))


async def sign_out(call: Call) -> Answer:
    """POST /api/auth/logout"""
    body = call.body_as(SignOut)
    await accounts.sign_out(
        call.container.services, call.signed_in(), everywhere=body.all, deadline=call.deadline
    )
    return Answer(204, b"", [NO_STORE])


async def change_password(call: Call) -> Answer:
    """POST /api/me/password"""
    body = call.body_as(ChangePassword)
    return _token_answer(
        await accounts.change_password(
            call.container.services,
            call.signed_in(),
            body.current_password,
            body.new_password,
            call.charge_id,
            call.deadline,
        )
    )


async def me(call: Call) -> Answer:
    """GET /api/me"""
    user = await accounts.profile(call.container.services, call.signed_in(), call.deadline)
    return json_answer(200, _user(user), NO_STORE)
