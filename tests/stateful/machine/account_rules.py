"""What people and operators do with accounts and sessions, drawn."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.stateful.machine import account_acts as accounts
from tests.stateful.machine import stake_acts as stakes
from tests.stateful.machine import strategies as draw
from tests.stateful.machine.example import Example, only_if, pick_of
from tests.stateful.machine.faults import Faults
from tests.stateful.machine.model import Asked


class AccountRules(Example):
    """Signing up, in and out, by right and wrong means."""

    @rule(name=draw.NAMES, password=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def sign_up(self, name: str, password: str, at: int, faults: Faults) -> None:
        self._do(accounts.sign_up(self.conduct, name, password, at=at, faults=faults))

    @rule(name=draw.NAMES, guess=st.none() | draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS)
    def sign_in(self, name: str, guess: str | None, at: int, faults: Faults) -> None:
        """With the right password, or any."""
        user = self.conduct.model.named(name)
        password = guess or (user.password if user else "nobody's password")
        self._do(accounts.sign_in(self.conduct, name, password, at=at, faults=faults))

    @rule(pick=draw.PICK, which=draw.PICK, again=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def refresh(self, pick: int, which: int, again: bool, at: int, faults: Faults) -> None:
        """With the current token mostly, else with one that was spent; perhaps with the same once more."""

        async def refresh() -> None:
            await self._someone(pick)
            session = pick_of(self._sessions, which)
            tokens = [token for token in (session.current,) * 4 if token] + session.spent
            if tokens:
                token = pick_of(tokens, pick)
                await accounts.refresh(self.conduct, session, token, at=at, faults=faults)
                if again:
                    await accounts.refresh(self.conduct, session, token, at=1 - at)

        self._do(refresh())

    @rule(pick=draw.PICK, asked=st.none() | draw.ASKED, at=draw.AT, faults=draw.READ_FAULTS)
    @only_if(lambda self: self._accesses)
    def use_any_token(self, pick: int, asked: Asked | None, at: int, faults: Faults) -> None:
        """To read or to write, with a token that may be good no more."""
        access = pick_of(self._accesses, pick)
        if asked is not None:
            self._do(stakes.create(self.conduct, access, asked, at=at, faults=faults))
        else:
            self._do(accounts.present(self.conduct, access, at=at, faults=faults))

    @rule(pick=draw.PICK, everywhere=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def sign_out(self, pick: int, everywhere: bool, at: int, faults: Faults) -> None:
        async def sign_out() -> None:
            access = await self._someone(pick)
            await accounts.present(self.conduct, access, at=1 - at)
            await accounts.sign_out(self.conduct, access, everywhere=everywhere, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(sign_out())

    @rule(
        pick=draw.PICK, guess=st.none() | draw.PASSWORDS, new=draw.PASSWORDS, at=draw.AT, faults=draw.FAULTS
    )
    def change_password(self, pick: int, guess: str | None, new: str, at: int, faults: Faults) -> None:
        async def change() -> None:
            access = await self._someone(pick)
            current = guess or access.session.user.password
            await accounts.change_password(self.conduct, access, current, new, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(change())

    @rule(pick=draw.PICK, enabled=st.booleans(), at=draw.AT, faults=draw.FAULTS)
    def enable_or_disable(self, pick: int, enabled: bool, at: int, faults: Faults) -> None:
        async def change() -> None:
            access = await self._someone(pick)
            await accounts.present(self.conduct, access, at=at)
            user = access.session.user if not enabled else pick_of(self._users, pick)
            await accounts.set_enabled(self.conduct, user, enabled, at=at, faults=faults)
            await accounts.present(self.conduct, access, at=1 - at)

        self._do(change())
