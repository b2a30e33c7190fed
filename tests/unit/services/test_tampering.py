"""Rows altered behind the service's back: nothing is paid by them, and verification names them.

Triggers are switched off, as only the owner of the tables can, where they would refuse it.
"""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from stakehold.database import balances
from stakehold.domain.errors import AlteredRowError, StakeholdError
from stakehold.domain.timestamps import DAY_MS, midnight_ms
from stakehold.gate import Caller
from stakehold.security.refresh_tokens import RefreshToken
from stakehold.services import exits, ledger, operators, stakes, upkeep
from stakehold.services.operators import Adjustment
from stakehold.services.orders import Order
from tests.support.database_clock import DatabaseClock
from tests.support.plans import make_plan, put_on_sale
from tests.unit.services.conftest import PASSWORD

START_MS = midnight_ms(date(2027, 3, 1))
TABLES = ("assets", "plans", "stakes", "transfers")


@pytest.fixture
async def desk(database_clock: DatabaseClock, open_desk: Any) -> Any:
    """With a plan of which there is a dearer version, taken off sale; and a user."""
    await database_clock.set(START_MS)
    desk = await open_desk()
    terms = {"id": "GLD-1M", "asset": "GLD", "scale": 2, "period_months": 1, "early_exit": "not_allowed"}
    await put_on_sale(desk.database_url, make_plan(**terms, version=1, grace_s=60))
    await put_on_sale(desk.database_url, make_plan(**terms, version=2, grace_s=60, on_sale_from_ms=2**42))
    await desk.sql("ALTER TABLE plans DISABLE TRIGGER ALL")
    await desk.sql("UPDATE plans SET rate_ppm = 900000 WHERE id = 'GLD-1M' AND version = 2")
    await desk.sql("ALTER TABLE plans ENABLE TRIGGER ALL")
    await desk.add_user("ada")
    return desk


@pytest.fixture
async def ada(desk: Any) -> Caller:
    token = RefreshToken.decode((await desk.sign_in(PASSWORD, "ada")).refresh)
    return Caller(token.user_id, str(token.session_id), 1)


async def _stake(desk: Any, caller: Caller, instruction: Any = "payout") -> UUID:
    order = Order(b"1000", plan_id="GLD-1M", maturity_instruction=instruction)
    made: UUID = (await stakes.create_stake(desk.services, caller, order, desk.deadline)).stake_id
    return made


async def _alter(desk: Any, change: str, *, triggers: bool = False) -> None:
    for table in () if triggers else TABLES:
        await desk.sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    await desk.sql(change)


async def _found(desk: Any, user_id: UUID) -> str:
    """What `stakehold ledger verify` finds of a user, or of plans; "" if nothing."""
    services, deadline = desk.services, desk.deadline
    verified = await ledger.verify(services, user_id, 0, deadline)
    assert verified.complete or verified.fault
    if verified.fault is not None:
        return f"transfer {verified.fault.seq} {verified.fault.what}"
    wrong = await ledger.verify_stakes(services, user_id, lambda: desk.deadline)
    if wrong is not None:
        return f"stake {wrong[1]}"
    return " ".join(await services.read(balances.find_wrong_scales, deadline))


async def _books(desk: Any, ada: Caller, clock: DatabaseClock) -> None:
    """A deposit, then stakes in the order of their ids: cancelled, paid out, renewed, its renewal, active."""
    asked = Adjustment("deposit", "ada", "GLD", b"50", "4711|Wire of May")
    await operators.adjust(desk.services, asked, None, None, desk.deadline)
    cancelled = await _stake(desk, ada)
    await exits.cancel(desk.services, ada, cancelled, None, desk.deadline)
    await _stake(desk, ada)
    await _stake(desk, ada, "renew_all")
    await clock.set(START_MS + 31 * DAY_MS)
    assert (await upkeep.keep_up(desk.services, None, 60)).settled == 2
    await _stake(desk, ada)


THE = "id = (SELECT s.id FROM stakes s WHERE s.state = '{}' ORDER BY s.id LIMIT 1)"
RENEWAL = "renewed_from IS NOT NULL"
NEW = "state = 'active' AND renewed_from IS NULL"
LIFE = "does not come to the beginning and end of stake:"
OTHER_ORIGIN = "stake renews another stake than it says"
OTHER_TERMS = "stake has other terms than it was made with"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE transfers SET actor = actor || '|' || at_ms, at_ms = 4711, reason = 'Wire of May'"
         " WHERE kind = 'deposit'", "transfer 1 is not what its hash was made of"),
        ("UPDATE transfers SET reason = '' WHERE reason IS NULL AND seq = 3", "transfer 3 is not what"),
        ("UPDATE ledger_heads SET at_ms = at_ms + 1", "is not the end that the head of the ledger has"),
        ("UPDATE ledger_heads SET at_ms = at_ms - 1", "is not the end that the head of the ledger has"),
        (f"UPDATE stakes SET plan_version = 2 WHERE {NEW}", OTHER_TERMS),
        (f"UPDATE stakes SET plan_version = 2 WHERE {RENEWAL}", OTHER_TERMS),
        (f"UPDATE stakes SET plan_id = 'STK-1M' WHERE {NEW}", "does not come to the principal in stake:"),
        ("UPDATE stakes SET value_date = value_date - 365, origin_date = origin_date - 365,"
         " maturity_date = maturity_date - 365, due_at = due_at - INTERVAL '365 days'"
         f" WHERE {NEW}", OTHER_TERMS),
        (f"UPDATE stakes SET created_at = created_at + INTERVAL '1 hour' WHERE {NEW}",
         "stake was made before it says"),
        (f"UPDATE stakes SET renewed_from = NULL WHERE {RENEWAL}", OTHER_ORIGIN),
        (f"UPDATE stakes SET renewed_from = id WHERE {RENEWAL}", OTHER_ORIGIN),
        (f"UPDATE stakes SET renewed_from = id WHERE {NEW}", OTHER_ORIGIN),
        (f"UPDATE stakes SET amount_minor = amount_minor + 1 WHERE {THE.format('cancelled')}", OTHER_TERMS),
        (f"UPDATE stakes SET amount_minor = amount_minor + 1 WHERE {THE.format('paid_out')}", OTHER_TERMS),
        (f"UPDATE stakes SET amount_minor = amount_minor + 1 WHERE {THE.format('renewed')}", OTHER_TERMS),
        (f"UPDATE stakes SET plan_version = 7 WHERE {THE.format('paid_out')}", LIFE),
        ("DELETE FROM plans WHERE id = 'GLD-1M'", "does not come to the principal in stake:"),
        (f"DELETE FROM stakes WHERE {THE.format('cancelled')}", LIFE),
        (f"UPDATE stakes SET state = 'paid_out' WHERE {THE.format('renewed')}", LIFE),
        (f"UPDATE stakes SET state = 'paid_out', renewed_to = NULL WHERE {THE.format('renewed')}", LIFE),
        (f"UPDATE stakes SET state = 'renewed', renewed_to = id WHERE {THE.format('paid_out')}", LIFE),
        (f"UPDATE stakes SET renewed_to = id WHERE {THE.format('renewed')}", LIFE),
        ("UPDATE assets SET scale = 3 WHERE code = 'GLD'", "GLD-1M"),
        ("UPDATE plans SET scale = 3 WHERE id = 'GLD-1M'", OTHER_TERMS),
        ("DELETE FROM assets WHERE code = 'GLD'", "does not come to the balances in asset GLD"),
    ],
)  # fmt: skip
async def test_what_was_altered_is_found(
    desk: Any, ada: Caller, database_clock: DatabaseClock, change: str, found: str
) -> None:
    """In whatever table; before it nothing is found."""
    await _books(desk, ada, database_clock)
    assert await _found(desk, ada.user_id) == ""
    await _alter(desk, change)
    assert found in await _found(desk, ada.user_id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE stakes SET value_date = value_date - 365, origin_date = origin_date - 365,"
        " maturity_date = maturity_date - 365, due_at = due_at - INTERVAL '365 days'",
        "UPDATE stakes SET plan_version = 2",
        "UPDATE stakes SET amount_minor = amount_minor + 100",
        "UPDATE stakes SET created_at = created_at + INTERVAL '1 month'",
    ],
)
async def test_nothing_is_paid_by_a_stake_that_was_altered(
    desk: Any, ada: Caller, database_clock: DatabaseClock, change: str
) -> None:
    """Settlement sets it aside, and its owner can neither take it back nor ask what leaving it pays."""
    altered = await _stake(desk, ada)
    await _alter(desk, change)
    await desk.sql("ALTER TABLE stakes ENABLE TRIGGER ALL")
    with pytest.raises(AlteredRowError, match=r"has other terms|was made before"):
        await exits.cancel(desk.services, ada, altered, None, desk.deadline)
    with pytest.raises(AlteredRowError, match=r"has other terms|was made before"):
        await exits.quote_exit(desk.services, ada, altered, desk.deadline)
    await database_clock.set(START_MS + 31 * DAY_MS)
    done = await upkeep.keep_up(desk.services, None, 60)
    assert (done.settled, done.aside) == (0, 1)
    assert await desk.sql("SELECT count(*) FROM transfers") == [(1,)]


@pytest.mark.parametrize(
    "change", ["UPDATE assets SET scale = 3 WHERE code = 'GLD'", "DELETE FROM assets WHERE code = 'GLD'"]
)
async def test_the_database_keeps_assets_as_they_are(desk: Any, change: str) -> None:
    """For who has not the owner's rights."""
    with pytest.raises(Exception, match="an asset and its scale never change"):
        await _alter(desk, change, triggers=True)


async def test_stakes_from_before_their_terms_were_written_are_paid(
    desk: Any, ada: Caller, database_clock: DatabaseClock
) -> None:
    """The transfer that made one says its amount, and nothing else is held against it."""
    made = await _stake(desk, ada)
    await desk.sql("ALTER TABLE transfers DISABLE TRIGGER ALL")
    await desk.sql("UPDATE transfers SET reason = NULL")
    await desk.sql("UPDATE stakes SET maturity_instruction = 'renew_all'")
    await database_clock.set(START_MS + 31 * DAY_MS)
    assert (await upkeep.keep_up(desk.services, None, 60)).settled == 1
    await desk.sql("UPDATE transfers SET reason = NULL")
    await database_clock.set(START_MS + 62 * DAY_MS)
    assert (await upkeep.keep_up(desk.services, None, 60)).settled == 1
    with pytest.raises(StakeholdError):
        await exits.cancel(desk.services, ada, made, None, desk.deadline)
