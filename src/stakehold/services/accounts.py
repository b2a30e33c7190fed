"""Accounts: signing up, in and out, and what an operator does with users."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from stakehold.database import sessions, users
from stakehold.database.port import Connection
from stakehold.database.sessions import NewSession
from stakehold.database.users import Credentials
from stakehold.database.users import Profile as Profile  # what `profile` and `sign_up` return
from stakehold.domain import accounts as rules
from stakehold.domain.accounts import Scope
from stakehold.domain.errors import (
    AuthenticationError,
    ConflictError,
    DatabaseError,
    FieldError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    ValidationError,
)
from stakehold.domain.ids import new_id
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken, new_refresh_token
from stakehold.services.context import Services
from stakehold.services.sessions import store_user_entry

FAILURE_POLICY = "auth-failure"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What signing in gives: an access token, its life, and the token that gets the next one."""

    access: str
    expires_in_s: int
    refresh: str


async def sign_up(services: Services, username: str, password: str, deadline: Deadline) -> Profile:
    """Make a user who chose this name and password.

    Raises ForbiddenError (`sign_up_closed`), ValidationError, ConflictError (`username_taken`).
    """
    if not services.sign_up_open:
        raise ForbiddenError("This service takes no new users by itself.", code="sign_up_closed")
    name = _new_username(username)
    return await add_user(services, name, _new_password(password, name, "/password"), deadline)


async def add_user(services: Services, username: str, password: str, deadline: Deadline) -> Profile:
    """Make a user with a name and password that were checked already. Raises ConflictError."""
    user_id = new_id(services.clock, services.entropy)
    password_hash = await services.passwords.hash(password)
    added = await services.run(
        lambda connection: users.insert_user(connection, user_id, username, password_hash), deadline
    )
    if not added:
        raise ConflictError("Another user has this username.", code="username_taken")
    return Profile(user_id, username, "active")


async def sign_in(
    services: Services, username: str, password: str, request_id: str, deadline: Deadline
) -> Tokens:
    """Start a session.

    An unknown name costs the same work and is told the same.

    Raises AuthenticationError (`invalid_credentials`), RateLimitError.
    """
    try:
        name = rules.normalise_username(username)
    except ValueError:
        name = ""
    async with _guess(services, name, request_id, deadline):
        credentials = await services.read(
            lambda connection: users.find_credentials(connection, name), deadline
        )
        if not await _password_is_right(services, credentials, password):
            raise AuthenticationError(
                "The username and password do not go together.", code="invalid_credentials"
            )
    assert credentials is not None
    await _rehash_if_needed(services, credentials, password, deadline)
    session, tokens = await _start_session(services, credentials, deadline)
    caller = Caller(user_id=session.user_id, session_id=str(session.id), epoch=session.epoch)
    await store_user_entry(services, caller, request_id, deadline)
    return tokens


@asynccontextmanager
async def _guess(services: Services, name: str, request_id: str, deadline: Deadline) -> AsyncIterator[None]:
    """Charge a guess at the password of `name`, and give it back unless it was wrong.

    Charged before the password is looked at: so at most the quota of wrong guesses passes in any window,
    however many arrive at once. A password that could not be looked at was no guess: who tries again while
    a store is away is not locked out for it. Raises RateLimitError.
    """
    subject, policy = f"n:{name}", services.gate.policies.get(FAILURE_POLICY)
    await services.gate.charge(subject, (policy,), request_id, deadline)
    try:
        yield
    except (DatabaseError, OverloadedError):
        await services.gate.release(subject, policy, request_id)
        raise
    await services.gate.release(subject, policy, request_id)


async def _password_is_right(services: Services, credentials: Credentials | None, password: str) -> bool:
    try:
        normal = rules.normalise_password(password)
    except ValueError:
        normal = ""
    if credentials is None:
        await services.passwords.verify_unknown(normal)
        return False
    right = await services.passwords.verify(normal, credentials.password_hash)
    return right and credentials.status == "active"


async def _rehash_if_needed(
    services: Services, credentials: Credentials, password: str, deadline: Deadline
) -> None:
    """Hash again with today's parameters, now that the password is at hand."""
    if not services.passwords.needs_rehash(credentials.password_hash):
        return
    fresh = await services.passwords.hash(rules.normalise_password(password))
    await services.run(
        lambda connection: users.update_password_hash(
            connection, credentials.user_id, credentials.password_hash, fresh
        ),
        deadline,
    )


def _new_session(services: Services, user_id: UUID, epoch: int) -> tuple[NewSession, RefreshToken]:
    token = new_refresh_token(user_id, new_id(services.clock, services.entropy), services.entropy)
    session = NewSession(
        user_id=user_id,
        id=token.session_id,
        epoch=epoch,
        refresh_hash=token.hash(),
        expires_at_ms=services.clock.now_ms() + services.refresh_ttl_s * 1000,
    )
    return session, token


def _tokens(services: Services, token: RefreshToken, epoch: int, scope: Scope) -> Tokens:
    access = services.tokens.issue(token.user_id, token.session_id, epoch, scope)
    return Tokens(access, services.tokens.ttl_s, token.encode())


async def _start_session(
    services: Services, credentials: Credentials, deadline: Deadline
) -> tuple[NewSession, Tokens]:
    session, token = _new_session(services, credentials.user_id, credentials.epoch)
    started = await services.run(lambda connection: sessions.insert_session(connection, session), deadline)
    if not started:
        # Disabled, signed out everywhere or given another scope between the two statements.
        raise AuthenticationError("The username and password do not go together.", code="invalid_credentials")
    return session, _tokens(services, token, session.epoch, credentials.scope)


async def refresh(services: Services, presented: str, deadline: Deadline) -> Tokens:
    """Exchange a refresh token for the next pair. A token presented twice ends its whole family.

    Raises AuthenticationError (`invalid_refresh_token`).
    """
    old = RefreshToken.decode(presented)
    new = new_refresh_token(old.user_id, old.session_id, services.entropy)
    result = await services.run(
        lambda connection: sessions.rotate(connection, old.user_id, old.session_id, old.hash(), new.hash()),
        deadline,
    )
    if result.outcome == "rotated":
        return _tokens(services, new, result.epoch, result.scope)
    if result.outcome == "spent":
        services.counters.count("refresh_reuse")
        async with services.gate.fence((old.user_id,), "account"):
            await services.run(
                lambda connection: sessions.revoke_session(connection, old.user_id, old.session_id), deadline
            )
    raise AuthenticationError("The refresh token is not good any more.", code="invalid_refresh_token")


async def sign_out(services: Services, caller: Caller, *, everywhere: bool, deadline: Deadline) -> None:
    """End the caller's session, or all of the user's. The caller holds the fence on `account`."""
    if everywhere:
        await services.run(
            lambda connection: users.end_all_sessions(connection, caller.user_id, caller.epoch), deadline
        )
    else:
        session_id = UUID(caller.session_id)
        await services.run(
            lambda connection: sessions.revoke_session(connection, caller.user_id, session_id), deadline
        )


async def change_password(
    services: Services, caller: Caller, current: str, new: str, request_id: str, deadline: Deadline
) -> Tokens:
    """Set a new password, end every session of the user and start one. The caller holds the fence.

    Raises ForbiddenError (`wrong_password`), ValidationError, RateLimitError: guesses count as at sign-in.
    """
    credentials = await services.read(
        lambda connection: users.find_credentials_by_id(connection, caller.user_id), deadline
    )
    if credentials is None:
        raise AuthenticationError("The session has ended; sign in again.", code="session_ended")
    normal = _new_password(new, credentials.username, "/newPassword")
    async with _guess(services, credentials.username, request_id, deadline):
        if not await _password_is_right(services, credentials, current):
            raise ForbiddenError("The current password is not right.", code="wrong_password")
    fresh = await services.passwords.hash(normal)
    session, token = _new_session(services, caller.user_id, caller.epoch + 1)
    changed = await services.run(
        lambda connection: users.change_password(
            connection, caller.user_id, credentials.password_hash, fresh, session
        ),
        deadline,
    )
    if not changed:
        raise ConflictError("The password or the sessions changed meanwhile; sign in again.")
    # Had the scope changed meanwhile, so had the epoch, and the password would not have.
    return _tokens(services, token, session.epoch, credentials.scope)


async def profile(services: Services, caller: Caller, deadline: Deadline) -> Profile:
    """The caller's own record."""
    found = await services.read(lambda connection: users.load_profile(connection, caller.user_id), deadline)
    if found is None:
        raise AuthenticationError("The session has ended; sign in again.", code="session_ended")
    return found


async def set_user_status(
    services: Services, username: str, status: Literal["active", "disabled"], deadline: Deadline
) -> None:
    """Enable or disable a user; takes effect on the user's next request. Raises NotFoundError."""
    await _change_user(
        services, username, lambda connection, name: users.set_status(connection, name, status), deadline
    )


async def set_user_scope(services: Services, username: str, scope: Scope, deadline: Deadline) -> None:
    """Grant a scope, or take it with ''; a change ends the user's sessions. Raises NotFoundError."""
    await _change_user(
        services, username, lambda connection, name: users.set_scope(connection, name, scope), deadline
    )


async def _change_user(
    services: Services,
    username: str,
    change: Callable[[Connection, str], Awaitable[object]],
    deadline: Deadline,
) -> None:
    """Change a user's row by the normalised name, behind the fence of the user entry."""
    name = rules.normalise_username(username)
    credentials = await services.read(lambda connection: users.find_credentials(connection, name), deadline)
    if credentials is None:
        raise NotFoundError(f"There is no user {name!r}.")
    async with services.gate.fence((credentials.user_id,), "account"):
        await services.run(lambda connection: change(connection, name), deadline)


def checked_credentials(username: str, password: str) -> tuple[str, str]:
    """A new user's name and password in normal form. Raises ValidationError."""
    name = _new_username(username)
    return name, _new_password(password, name, "/password")


def _new_username(username: str) -> str:
    try:
        return rules.normalise_username(username)
    except ValueError as error:
        raise ValidationError(
            "The username is not valid.", fields=(FieldError("/username", "invalid_username", str(error)),)
        ) from None


def _new_password(password: str, username: str, pointer: str) -> str:
    try:
        return rules.check_new_password(password, username)
    except ValueError as error:
        raise ValidationError(
            "The password is not valid.", fields=(FieldError(pointer, "weak_password", str(error)),)
        ) from None
