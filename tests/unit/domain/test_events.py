"""What events say, and when they are said again."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest

from stakehold.domain import events
from stakehold.domain.events import RETRY_DELAYS_S, Event, EventType, retry_delay_s
from stakehold.domain.plans import Band, Plan
from stakehold.domain.stakes import Stake
from tests.support.fakes import SeededEntropy

EVENT_ID, STAKE_ID, USER_ID, OTHER_ID = (UUID(int=number) for number in (1, 2, 3, 4))
AT_MS = 1_801_388_745_123

STAKE = Stake(
    id=STAKE_ID,
    user_id=USER_ID,
    amount_minor=123_450_000_000,
    plan=Plan(
        id="STK-12M", version=3, asset="STK", scale=8, period_months=12, bands=(Band(0, 120_000),),
        day_count="ACT/365F", minimum_minor=1, maximum_minor=None, step_minor=1, user_cap_minor=None,
        capacity_minor=None, early_exit="forfeit_all", early_exit_ppm=0, minimum_hold_days=0, cooldown_s=0,
        grace_s=0, on_sale_from_ms=0, on_sale_until_ms=None,
    ),
    state="active",
    created_at_ms=AT_MS,
    value_date=date(2027, 1, 31),
    maturity_date=date(2028, 1, 31),
    origin_date=date(2027, 1, 31),
    origin_months=12,
    maturity_instruction="payout",
    due_at_ms=None,
)  # fmt: skip
OF_STAKE = {
    "stakeId": str(STAKE_ID), "userId": str(USER_ID), "asset": "STK", "amount": "1234.5", "plan": "STK-12M",
    "planVersion": 3, "valueDate": "2027-01-31", "maturityDate": "2028-01-31",
}  # fmt: skip

BALANCE: dict[str, Any] = {"asset": "STK", "scale": 8, "amount_minor": 1, "seq": 7}
OF_BALANCE = {"userId": str(USER_ID), "asset": "STK", "amount": "0.00000001", "seq": 7}
EXITED = {"reward": "0.00000005", "returned": "1234.50000005"}

EVENTS: list[tuple[Event, dict[str, object]]] = [
    (
        events.stake_matured(EVENT_ID, AT_MS, STAKE, 5),
        OF_STAKE | {"reward": "0.00000005", "payout": "1234.50000005"},
    ),
    (
        events.stake_renewed(EVENT_ID, AT_MS, STAKE, 5, "renew_all", OTHER_ID),
        OF_STAKE | {"reward": "0.00000005", "maturityInstruction": "renew_all", "renewedTo": str(OTHER_ID)},
    ),
    (
        events.stake_unstaking(EVENT_ID, AT_MS, STAKE, 5, 10**8, AT_MS + 1),
        OF_STAKE | EXITED | {"forfeited": "1", "releasesAt": "2027-01-31T09:45:45.124Z"},
    ),
    (
        events.stake_closed_early(EVENT_ID, AT_MS, STAKE, 5, 0),
        OF_STAKE | EXITED | {"forfeited": "0"},
    ),
    (events.stake_cancelled(EVENT_ID, AT_MS, STAKE), OF_STAKE),
    (events.balance_changed("balance.deposited", EVENT_ID, AT_MS, USER_ID, **BALANCE), OF_BALANCE),
    (events.balance_changed("balance.withdrawn", EVENT_ID, AT_MS, USER_ID, **BALANCE), OF_BALANCE),
    (
        events.balance_changed("balance.reversed", EVENT_ID, AT_MS, USER_ID, **BALANCE, reverses=6),
        OF_BALANCE | {"reverses": 6},
    ),
]


@pytest.mark.parametrize(("event", "data"), EVENTS, ids=[event.type for event, _ in EVENTS])
def test_a_payload_says_type_time_and_data(event: Event, data: dict[str, object]) -> None:
    """Amounts are decimal strings, times RFC 3339, names in camelCase; whose it is stands beside."""
    assert (event.user_id, event.id) == (USER_ID, EVENT_ID)
    assert json.loads(event.payload) == {
        "type": event.type,
        "timestamp": "2027-01-31T09:45:45.123Z",
        "data": data,
    }


def test_every_type_is_made() -> None:
    """Each type has its builder, but for the one that the statement which makes a stake writes itself."""
    assert ["stake.created", *(event.type for event, _ in EVENTS)] == list(get_args(EventType))


def test_delays_grow_and_end_after_three_days(entropy: SeededEntropy) -> None:
    """Nine delays as the specification has them, each up to a fifth longer; after the tenth attempt none."""
    delays = [retry_delay_s(attempts, None, entropy) for attempts in range(1, 11)]
    assert delays[-1] is None
    for delay_s, planned_s in zip(delays, RETRY_DELAYS_S, strict=False):
        assert delay_s is not None
        assert planned_s <= delay_s <= planned_s * 1.2
    assert 3 * 86400 < sum(RETRY_DELAYS_S) < 4 * 86400


def test_what_failed_together_does_not_come_again_together(entropy: SeededEntropy) -> None:
    """The same attempt of many events is spread over time."""
    assert len({retry_delay_s(2, None, entropy) for _ in range(100)}) > 90


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"), [(600, 600, 600), (1, 5, 6), (10**9, 86400, 86400)]
)
def test_a_receiver_may_ask_for_time_up_to_a_day(
    entropy: SeededEntropy, asked_s: float, least_s: float, most_s: float
) -> None:
    """`Retry-After` lengthens a delay, never shortens it."""
    delay_s = retry_delay_s(1, asked_s, entropy)
    assert delay_s is not None
    assert least_s <= delay_s <= most_s


def test_no_receiver_is_asked_for_ever(entropy: SeededEntropy) -> None:
    """After the last attempt `Retry-After` brings no further one."""
    assert retry_delay_s(10, 600, entropy) is None


def test_the_page_for_receivers_has_every_type_and_field() -> None:
    """docs/webhooks.md: a line for each type, in order, that names exactly the fields of its data."""
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    lines = [row for row in rows if row[0].strip("`") in get_args(EventType)]
    stake = next(line for line in page.splitlines() if line.startswith("*stake* is"))
    of_stake = re.findall("`([a-zA-Z]+)`", stake.partition(". ")[0])
    documented = [
        (
            row[0].strip("`"),
            [*(of_stake if "*stake*" in row[2] else []), *re.findall("`([a-zA-Z]+)`", row[2])],
        )
        for row in lines
    ]
    told: list[tuple[str, dict[str, object]]] = [(event.type, data) for event, data in EVENTS]
    assert documented == [(name, list(data)) for name, data in [("stake.created", OF_STAKE), *told]]
