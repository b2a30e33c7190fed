"""The operations on balances, the ledger and statements, and what operators do to them."""

from stakehold.domain.accounts import ADMIN
from stakehold.http.handlers import ledger, operators
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.ledger import (
    Balances,
    BalancesAt,
    LedgerVerification,
    ListTransfers,
    Statement,
    StatementQuery,
    TransferPage,
    VerifyAfter,
)
from stakehold.http.schemas.operators import Adjust, Adjusted

_ADJUSTED = ("Idempotency-Replayed",)
_PROBLEMS = (
    "not_found", "unknown_asset", "insufficient_funds", "idempotency_key_reused", "idempotency_in_flight"
)  # fmt: skip

OPERATIONS = (
    Operation(
        id="getBalances",
        method="GET",
        path="/api/balances",
        summary="What is available, and what is staked",
        tag="ledger",
        handler=ledger.read_balances,
        parse=ledger.parse_as_of,
        policy="ledger-read",
        signed_in=True,
        query=BalancesAt,
        outcomes=(Outcome(200, "The balances.", Balances),),
    ),
    Operation(
        id="listTransfers",
        method="GET",
        path="/api/ledger",
        summary="List the transfers, newest first",
        tag="ledger",
        handler=ledger.list_transfers,
        policy="ledger-read",
        signed_in=True,
        query=ListTransfers,
        outcomes=(Outcome(200, "The transfers.", TransferPage),),
    ),
    Operation(
        id="verifyLedger",
        method="GET",
        path="/api/ledger/verification",
        summary="Compute the hashes of the ledger again",
        tag="ledger",
        handler=ledger.verify,
        policy="ledger-read",
        signed_in=True,
        query=VerifyAfter,
        outcomes=(Outcome(200, "What came of it.", LedgerVerification),),
    ),
    Operation(
        id="getStatement",
        method="GET",
        path="/api/statement",
        summary="A statement that reconciles, as JSON or CSV",
        tag="ledger",
        handler=ledger.read_statement,
        parse=ledger.parse_span,
        policy="statement",
        signed_in=True,
        query=StatementQuery,
        outcomes=(Outcome(200, "The statement.", Statement),),
    ),
    Operation(
        id="deposit",
        method="POST",
        path="/api/admin/deposits",
        summary="Put an amount at a user's disposal",
        tag="operators",
        handler=operators.deposit,
        parse=operators.parse_key,
        policy="admin",
        signed_in=True,
        scope=ADMIN,
        body=Adjust,
        idempotent=True,
        outcomes=(Outcome(201, "Deposited.", Adjusted, _ADJUSTED),),
        problems=_PROBLEMS,
    ),
    Operation(
        id="withdraw",
        method="POST",
        path="/api/admin/withdrawals",
        summary="Take an amount from a user's available balance",
        tag="operators",
        handler=operators.withdraw,
        parse=operators.parse_key,
        policy="admin",
        signed_in=True,
        scope=ADMIN,
        body=Adjust,
        idempotent=True,
        outcomes=(Outcome(201, "Withdrawn.", Adjusted, _ADJUSTED),),
        problems=_PROBLEMS,
    ),
)
