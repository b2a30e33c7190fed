"""The route table: every operation of the API, with its rate limit, its fences and what it answers.

The quotas of the policies named here are set in limits/policies.py.
"""

from stakehold.http.operations import Operation
from stakehold.http.routes import accounts, exits, ledger, plans, rewards, service, stakes

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *stakes.OPERATIONS,
    *exits.OPERATIONS,
    *ledger.OPERATIONS,
    *rewards.OPERATIONS,
    *plans.OPERATIONS,
    *service.OPERATIONS,
)
