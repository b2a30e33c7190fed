"""Whether a token's session still stands, asked of the cached user entry first, of the database otherwise."""

from uuid import UUID

from stakehold.database import users
from stakehold.domain.accounts import UserState
from stakehold.domain.errors import AuthenticationError
from stakehold.domain.ports import Deadline
from stakehold.gate import Caller, Entered, FillTicket
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


async def _refresh_state(services: Services, user_id: UUID, ticket: FillTicket) -> None:
    state: UserState | None = await services.read(
        lambda connection: users.load_user_state(connection, user_id), services.background_deadline()
    )
    if state is not None:
        await services.gate.fill_account(ticket, state)
