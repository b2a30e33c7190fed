"""The operations on stakes."""

from stakehold.http.handlers import stakes
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.stakes import (
    CreateStake,
    ListStakes,
    StakeCreated,
    StakeItem,
    StakePage,
)

OPERATIONS = (
    Operation(
        id="createStake",
        method="POST",
        path="/api/stake",
        summary="Lock an amount for a period",
        tag="stakes",
        handler=stakes.create_stake,
        parse=stakes.parse_new_stake,
        policy="stake-create",
        signed_in=True,
        body=CreateStake,
        fences=("stakes",),
        idempotent=True,
        outcomes=(Outcome(201, "The stake was made.", StakeCreated, ("Location", "Idempotency-Replayed")),),
        problems=("unknown_period", "idempotency_key_reused", "idempotency_in_flight"),
    ),
    Operation(
        id="listStakes",
        method="GET",
        path="/api/stake",
        summary="List the stakes, newest first",
        tag="stakes",
        load=stakes.list_stakes,
        page=stakes.listing_name,
        parse=stakes.parse_listing,
        policy="stake-read",
        signed_in=True,
        query=ListStakes,
        outcomes=(
            Outcome(200, "The stakes.", StakePage, ("ETag",)),
            Outcome(304, "Unchanged since the ETag in If-None-Match.", None, ("ETag",)),
        ),
    ),
    Operation(
        id="getStake",
        method="GET",
        path="/api/stake/{stakeId}",
        summary="One stake",
        tag="stakes",
        load=stakes.get_stake,
        page=stakes.stake_name,
        parse=stakes.parse_stake_id,
        policy="stake-read",
        signed_in=True,
        outcomes=(
            Outcome(200, "The stake.", StakeItem, ("ETag",)),
            Outcome(304, "Unchanged since the ETag in If-None-Match.", None, ("ETag",)),
        ),
        problems=("not_found",),
    ),
)
