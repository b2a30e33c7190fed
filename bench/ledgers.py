"""Stakes put straight into a database, with the transfers, balances and heads that they were made with."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from uuid import UUID

import asyncpg

from stakehold.domain.calendar import add_months
from stakehold.domain.ids import new_id
from stakehold.domain.ledger import CUSTODY, Head, Movement, append, stake_account
from stakehold.domain.stakes import MaturityInstruction
from stakehold.domain.timestamps import midnight_ms
from stakehold.runtime.outside import SystemClock, SystemEntropy

ASSET = "STK"


@dataclass(frozen=True, slots=True)
class Made:
    """A stake in version 1 of a plan of ASSET, that was made in the first moment of a day."""

    user_id: UUID
    amount_minor: int
    plan_id: str
    value_date: date
    months: int
    instruction: MaturityInstruction = "payout"


class _Rows:
    """What is written of stakes, table by table."""

    def __init__(self) -> None:
        self.stakes: list[tuple[object, ...]] = []
        self.transfers: list[tuple[object, ...]] = []
        self.heads: defaultdict[UUID, Head] = defaultdict(Head)
        self.staked: defaultdict[UUID, int] = defaultdict(int)

    def add(self, made: Made, identifier: UUID) -> None:
        """Add a stake, and the transfer that it was made with."""
        made_at = datetime.combine(made.value_date, time(), UTC)
        maturity = add_months(made.value_date, made.months)
        self.stakes.append(
            (
                made.user_id, identifier, made.amount_minor, made.plan_id, 1, made_at, made.value_date,
                maturity, made.value_date, made.months, made.instruction,
                datetime.combine(maturity, time(), UTC),
            )
        )  # fmt: skip
        movement = Movement(
            "stake", CUSTODY, stake_account(identifier), ASSET, made.amount_minor, stake_id=identifier
        )
        transfer = append(
            self.heads[made.user_id], made.user_id, identifier, movement, "user", midnight_ms(made.value_date)
        )
        self.heads[made.user_id] = Head(transfer.seq, transfer.at_ms, transfer.hash)
        self.staked[made.user_id] += made.amount_minor
        self.transfers.append(
            (
                made.user_id, transfer.seq, identifier, "stake", CUSTODY, movement.credit_account, ASSET,
                made.amount_minor, identifier, "user", transfer.at_ms, transfer.hash,
            )
        )  # fmt: skip

    async def write(self, connection: asyncpg.Connection) -> None:
        """Write them all."""
        await connection.copy_records_to_table(
            "stakes",
            records=self.stakes,
            columns=(
                "user_id", "id", "amount_minor", "plan_id", "plan_version", "created_at", "value_date",
                "maturity_date", "origin_date", "origin_months", "maturity_instruction", "due_at",
            ),
        )  # fmt: skip
        await connection.copy_records_to_table(
            "transfers",
            records=self.transfers,
            columns=(
                "user_id", "seq", "id", "kind", "debit_account", "credit_account", "asset", "amount_minor",
                "stake_id", "actor", "at_ms", "hash",
            ),
        )  # fmt: skip
        await connection.copy_records_to_table(
            "ledger_heads",
            records=[(user, head.seq, head.at_ms, head.hash) for user, head in self.heads.items()],
            columns=("user_id", "seq", "at_ms", "hash"),
        )
        await connection.copy_records_to_table(
            "balances",
            records=[(user, ASSET, 0, minor) for user, minor in self.staked.items()],
            columns=("user_id", "asset", "available_minor", "staked_minor"),
        )


async def write_stakes(database_url: str, stakes: Iterable[Made]) -> None:
    """Write them, for users who have none yet."""
    clock, entropy = SystemClock(), SystemEntropy()
    rows = _Rows()
    for made in stakes:
        rows.add(made, new_id(clock, entropy))
    connection = await asyncpg.connect(database_url)
    try:
        await rows.write(connection)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
