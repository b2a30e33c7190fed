"""Whether a token's session still stands, asked of the cached user entry first, of the database otherwise."""

import contextlib
from uuid import UUID

from stakehold.database import users
from stakehold.domain.accounts import UserState
from stakehold.domain.errors import AuthenticationError, StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller, Entered, Entering, FillTicket
from stakehold.services.context import Services


async def require_session(services: Services, caller: Caller, entered: Entered, deadline: Deadline) -> None:
    """Raise AuthenticationError unless the caller's session stands.

    The gate has already refused what the cached entry refuses. Without an entry (expired, evicted, fenced, or
    Redis away) the database decides, and the entry is stored behind the answer where that is allowed.
    """
    account = entered.account
    if account is not None and account.state is not None:
        if account.refresh and account.fill is not None:
            services.background.start(
                _refresh_state(services, caller.user_id, account.fill), "refresh the user entry"
            )
        return
    state = await services.read(
        lambda connection: users.load_user_state(connection, caller.user_id), deadline
    )
    if state is None or state.refuses(caller.epoch, caller.session_id):
        raise AuthenticationError("The session has ended; sign in again.", code="session_ended")
    if account is not None and account.fill is not None:
        services.background.start(services.gate.fill_account(account.fill, state), "store the user entry")


async def store_user_entry(services: Services, caller: Caller, request_id: str, deadline: Deadline) -> None:
    """Store the user entry of someone who has just signed in, so that the first request finds it.

    Nothing depends on it: where it can't be stored, that request asks the database.
    """
    entering = Entering(request_id=request_id, limits=(), subject=f"u:{caller.user_id}", caller=caller)
    with contextlib.suppress(StakeholdError):
        account = (await services.gate.enter(entering, deadline)).account
        if account is None or account.state is not None or account.fill is None:
            return
        state = await services.read(
            lambda connection: users.load_user_state(connection, caller.user_id), deadline
        )
        if state is not None:
            await services.gate.fill_account(account.fill, state)


async def _refresh_state(services: Services, user_id: UUID, ticket: FillTicket) -> None:
    state: UserState | None = await services.read(
        lambda connection: users.load_user_state(connection, user_id), services.background_deadline()
    )
    if state is not None:
        await services.gate.fill_account(ticket, state)
