"""The bodies of leaving a stake, and of what it does at maturity."""

from typing import Annotated

from msgspec import Meta

from stakehold.http.schemas.base import STAKE_ID_EXAMPLE, Amount, Body, Moment, Reply, StakeId
from stakehold.http.schemas.stakes import MaturityInstruction, Status
from stakehold.security.quotes import MAX_QUOTE_CHARACTERS

QuoteId = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_QUOTE_CHARACTERS, description="Of a quote for leaving this stake."),
]


class NoFields(Body):
    """Nothing: what the path says is all there is to say."""


class ExitQuote(Reply):
    """What leaving pays, to the unit, when it is confirmed with `quoteId` before `expiresAt`."""

    quote_id: Annotated[str, Meta(description="Confirms this outcome.")]
    expires_at: Moment
    stake_id: StakeId
    principal: Annotated[Amount, Meta(description="All of it comes back.")]
    reward: Annotated[Amount, Meta(description="What is paid beside the principal.")]
    forfeited: Annotated[Amount, Meta(description="What has accrued and is not paid.")]
    returned: Annotated[Amount, Meta(description="`principal` and `reward`.")]
    releases_at: Annotated[Moment, Meta(description="When it is paid, if it is left now.")]


class Unstake(Body):
    """Leave with what was quoted."""

    quote_id: QuoteId


class StakeLeft(Reply):
    """What leaving came to."""

    stake_id: StakeId
    status: Status
    principal: Amount
    reward: Amount
    forfeited: Amount
    returned: Amount
    releases_at: Annotated[
        Moment | None, Meta(description="When it is paid; null where it was paid at once.")
    ]


class ChangeStake(Body):
    """What becomes of a stake at maturity."""

    maturity_instruction: MaturityInstruction


EXAMPLES = (
    NoFields(),
    ExitQuote(
        quote_id="shq_eyJleHBpcmVzX2F0X21zIjoxNzk1NDM2MTAwMDAwfQ.c2lnbmF0dXJl",
        expires_at="2026-12-22T10:15:00.000Z",
        stake_id=STAKE_ID_EXAMPLE,
        principal="1000",
        reward="0",
        forfeited="9.86301369",
        returned="1000",
        releases_at="2026-12-22T10:14:00.000Z",
    ),
    Unstake(quote_id="shq_eyJleHBpcmVzX2F0X21zIjoxNzk1NDM2MTAwMDAwfQ.c2lnbmF0dXJl"),
    StakeLeft(
        stake_id=STAKE_ID_EXAMPLE,
        status="closed_early",
        principal="1000",
        reward="0",
        forfeited="9.86301369",
        returned="1000",
        releases_at=None,
    ),
    ChangeStake(maturity_instruction="renew_principal"),
)
