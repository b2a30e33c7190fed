"""What people and operators do with accounts and sessions, and what must come of it."""

import base64
import json
from typing import Any, Literal

from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services.accounts import set_user_status
from tests.stateful.machine.conduct import Answer, Conduct
from tests.stateful.machine.faults import CALM, KILLS, Faults
from tests.stateful.machine.model import ACCESS_TTL_S, Access, Session, User, promise, rfc3339
from tests.stateful.machine.model import made_at_ms as _made_at_ms

REVOKED = "a revoked or expired token is never accepted, and a good one never refused"
OPERATOR_TIME_S = 8.0


async def sign_up(conduct: Conduct, name: str, password: str, *, at: int, faults: Faults = CALM) -> None:
    """Choose a name and a password."""
    taken = conduct.model.named(name)
    body = {"username": name, "password": password}
    answer = await conduct.ask("POST", "/api/users", at=at, faults=faults, json=body)
    if answer.failed:
        row = (await conduct.rows()).get(name)
        if answer.is_unknown and taken is None and row is not None:
            conduct.model.users.append(User(row.id, name, password, row.password_hash))
        return
    if taken is not None:
        answer.must_be(409, "username_taken", "a name has one user")
        return
    answer.must_be(201, "", "who signs up is a user")
    row = (await conduct.rows())[name]
    user = User(answer.body["id"], name, password, row.password_hash)
    _check_profile(user, answer)
    conduct.model.users.append(user)


def _check_profile(user: User, answer: Answer) -> None:
    owed = {"id": user.id, "username": user.name, "createdAt": rfc3339(_made_at_ms(user.id))}
    promise(answer.body == owed, "users see themselves", f"{answer.body} in place of {owed}")


async def sign_in(
    conduct: Conduct, name: str, password: str, *, at: int, faults: Faults = CALM
) -> Access | None:
    """Start a session; None when that is refused, or fails."""
    user = conduct.model.named(name)
    body = {"username": name.upper(), "password": password}
    answer = await conduct.ask("POST", "/api/auth", at=at, faults=faults, json=body)
    if answer.failed:
        return None
    if user is None or not user.enabled or user.password != password:
        answer.must_be(401, "invalid_credentials", "nobody signs in with a wrong password, or disabled")
        return None
    answer.must_be(200, "", "the right password signs in")
    return _take_tokens(user, answer)


def _take_tokens(user: User, answer: Answer, session: Session | None = None) -> Access:
    """Keep the tokens of an answer, in a session that stands already or begins with them."""
    claims, body = _claims(answer.body["token"]), answer.body
    earliest_s, latest_s = answer.start_ms // 1000, answer.end_ms // 1000
    issued_s = claims["exp"] - ACCESS_TTL_S
    promise(
        body["expiresIn"] == ACCESS_TTL_S and claims["sub"] == user.id and earliest_s <= issued_s <= latest_s,
        "an access token is its user's, for 15 minutes",
        (claims, answer),
    )
    if session is None:
        session = Session(claims["sid"], user, body["refreshToken"])
        user.sessions.append(session)
    else:
        promise(claims["sid"] == session.id, "a refresh goes on with its session", (claims, session))
        session.exchange(body["refreshToken"])
    access = Access(body["token"], session, claims["exp"] * 1000)
    user.accesses.append(access)
    return access


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def refresh(conduct: Conduct, session: Session, token: str, *, at: int, faults: Faults = CALM) -> None:
    """Present a refresh token of a session, whichever it is."""
    taken, reused = session.takes(token, conduct.now_ms), session.is_reuse(token, conduct.now_ms)
    answer = await conduct.ask(
        "POST", "/api/auth/refresh", at=at, faults=faults, json={"refreshToken": token}
    )
    if answer.failed:
        if answer.is_unknown:
            row = (await conduct.rows())[session.user.name].sessions[session.id]
            if taken and row.refresh_hash != RefreshToken.decode(token).hash():
                session.exchange(None)
            session.ended = session.ended or (reused and row.ended)
    elif taken:
        answer.must_be(200, "", "a refresh token is exchanged once")
        _take_tokens(session.user, answer, session)
    else:
        answer.must_be(401, "invalid_refresh_token", "a refresh token is exchanged once")
        session.ended = session.ended or reused


async def present(conduct: Conduct, access: Access, *, at: int, faults: Faults = CALM) -> None:
    """Ask who is signed in, with any token."""
    refusal = access.refusal(conduct.now_ms)
    answer = await conduct.ask("GET", "/api/me", at=at, faults=faults, access=access)
    if answer.failed:
        return
    answer.must_be(*((401, refusal) if refusal else (200, "")), REVOKED)
    if not refusal:
        _check_profile(access.session.user, answer)


async def sign_out(
    conduct: Conduct, access: Access, *, everywhere: bool, at: int, faults: Faults = CALM
) -> None:
    """End the token's session, or all of its user's."""
    user, refusal = access.session.user, access.refusal(conduct.now_ms)
    ending = user.sessions if everywhere else [access.session]
    answer = await conduct.ask(
        "POST", "/api/auth/logout", at=at, faults=faults, access=access, json={"all": everywhere}
    )
    if answer.failed:
        row = (await conduct.rows())[user.name]
        if refusal or not answer.is_unknown or not row.sessions[access.session.id].ended:
            return
    elif refusal:
        answer.must_be(401, refusal, REVOKED)
        return
    else:
        answer.must_be(204, "", "who is signed in can sign out")
    for session in ending:
        session.ended = True


async def change_password(
    conduct: Conduct, access: Access, current: str, new: str, *, at: int, faults: Faults = CALM
) -> None:
    """Change the password, knowing the current one or not."""
    user, refusal = access.session.user, access.refusal(conduct.now_ms)
    body = {"currentPassword": current, "newPassword": new}
    answer = await conduct.ask("POST", "/api/me/password", at=at, faults=faults, access=access, json=body)
    row = (await conduct.rows())[user.name]
    if not answer.failed and refusal:
        answer.must_be(401, refusal, REVOKED)
    elif not answer.failed and current != user.password:
        answer.must_be(403, "wrong_password", "a password is changed by who knows it")
    elif not answer.failed:
        answer.must_be(200, "", "a password is changed by who knows it")
    changes = answer.status == 200 or (answer.is_unknown and not refusal and current == user.password)
    if not changes or row.password_hash == user.password_hash:
        return
    user.password, user.password_hash = new, row.password_hash
    user.end_sessions()
    if answer.status == 200:
        _take_tokens(user, answer)


async def set_enabled(conduct: Conduct, user: User, enabled: bool, *, at: int, faults: Faults = CALM) -> None:
    """Enable or disable a user, as an operator does: again, when it failed."""
    process = conduct.processes[at]
    services = process.container.services
    status: Literal["active", "disabled"] = "active" if enabled else "disabled"
    statements = tuple(fault for fault in faults.statements if fault not in KILLS)
    process.fate.meet(Faults(statements, faults.late, faults.trips))
    try:
        await set_user_status(services, user.name, status, Deadline.after(services.clock, OPERATOR_TIME_S))
    except StakeholdError:
        process.fate.rest()
        await set_user_status(services, user.name, status, Deadline.after(services.clock, OPERATOR_TIME_S))
    process.fate.rest()
    await conduct.settle()
    user.enabled = enabled
    if not enabled:
        user.end_sessions()


async def signed_in(conduct: Conduct, user: User) -> Access:
    """A good token of an enabled user: one there is, or a new one."""
    for access in reversed(user.accesses):
        if access.refusal(conduct.now_ms) is None:
            return access
    new = await sign_in(conduct, user.name, user.password, at=0)
    assert new is not None
    return new
