"""The links of the OpenAPI document: what one answer gives to the next call.

Where access tokens go is said by the security scheme.
"""

from typing import Any, Final

LINKS: Final[dict[tuple[str, int], dict[str, Any]]] = {
    ("signUp", 201): {
        "signIn": {
            "operationId": "signIn",
            "description": "Sign in as the new user.",
            "requestBody": {
                "username": "$request.body#/username",
                "password": "$request.body#/password",
            },
        }
    },
    **{
        (operation, 200): {
            "refresh": {
                "operationId": "refresh",
                "description": "Exchange the refresh token, once.",
                "requestBody": {"refreshToken": "$response.body#/refreshToken"},
            }
        }
        for operation in ("signIn", "refresh", "changePassword")
    },
    ("createStake", 201): {
        "getStake": {
            "operationId": "getStake",
            "description": "Read the stake.",
            "parameters": {"stakeId": "$response.body#/stakeId"},
        },
        **{
            operation: {
                "operationId": operation,
                "description": description,
                "parameters": {"stakeId": "$response.body#/stakeId"},
            }
            for operation, description in (
                ("quoteExit", "Ask what leaving early would pay."),
                ("cancelStake", "Take it back, as long as its grace period is not over."),
            )
        },
    },
    ("quoteExit", 200): {
        "unstake": {
            "operationId": "unstake",
            "description": "Leave with what was quoted.",
            "parameters": {"stakeId": "$response.body#/stakeId"},
            "requestBody": {"quoteId": "$response.body#/quoteId"},
        }
    },
    ("listRewards", 200): {
        "listOlder": {
            "operationId": "listRewards",
            "description": "Go on where the page ends, unless `nextCursor` is null.",
            "parameters": {
                "from": "$response.body#/from",
                "to": "$response.body#/to",
                "cursor": "$response.body#/nextCursor",
            },
        }
    },
    ("quoteStake", 200): {
        "createStake": {
            "operationId": "createStake",
            "description": "Make the stake as it was quoted.",
            "requestBody": {
                "amount": "$response.body#/amount",
                "plan": "$response.body#/plan",
                "quoteId": "$response.body#/quoteId",
            },
        }
    },
    ("listPlans", 200): {
        "getPlan": {
            "operationId": "getPlan",
            "description": "Read one of the plans.",
            "parameters": {"planId": "$response.body#/items/0/id"},
        },
        "listPlanVersions": {
            "operationId": "listPlanVersions",
            "description": "Read the versions of one of the plans.",
            "parameters": {"planId": "$response.body#/items/0/id"},
        },
    },
    ("listStakes", 200): {
        "getStake": {
            "operationId": "getStake",
            "description": "Read one of the stakes.",
            "parameters": {"stakeId": "$response.body#/items/0/id"},
        },
        "listOlder": {
            "operationId": "listStakes",
            "description": "Go on where the page ends, unless `nextCursor` is null.",
            "parameters": {"cursor": "$response.body#/nextCursor"},
        },
    },
    ("getStake", 200): {
        "getStakeAgain": {
            "operationId": "getStake",
            "description": "Ask whether it has changed.",
            "parameters": {"stakeId": "$response.body#/id", "If-None-Match": "$response.header.ETag"},
        },
        "changeStake": {
            "operationId": "changeStake",
            "description": "Say what becomes of it, unless it has changed.",
            "parameters": {"stakeId": "$response.body#/id", "If-Match": "$response.header.ETag"},
        },
    },
}
