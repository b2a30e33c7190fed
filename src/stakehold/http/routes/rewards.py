"""The operation on rewards."""

from stakehold.http.handlers import rewards
from stakehold.http.operations import Operation, Outcome
from stakehold.http.schemas.rewards import ListRewards, RewardPage

OPERATIONS = (
    Operation(
        id="listRewards",
        method="GET",
        path="/api/rewards",
        summary="What was earned, paid and forfeited, over any range of days",
        tag="ledger",
        handler=rewards.list_rewards,
        parse=rewards.parse_query,
        policy="ledger-read",
        signed_in=True,
        query=ListRewards,
        outcomes=(Outcome(200, "The rewards.", RewardPage),),
    ),
)
