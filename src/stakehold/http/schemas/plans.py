"""The bodies of plans."""

from typing import Annotated

from msgspec import Meta

from stakehold.http.schemas.base import Amount, Asset, Period, Rate, Reply


class PlanItem(Reply):
    """A plan on sale. `rate` is a fraction a year, `period` is in months."""

    id: Annotated[str, Meta(description="The plan's name.")]
    version: Annotated[int, Meta(description="Counted from 1; the terms of a version never change.")]
    asset: Asset
    period: Period
    rate: Rate
    minimum_amount: Amount


class PlanList(Reply):
    """The plans on sale, shortest first."""

    items: Annotated[list[PlanItem], Meta(description="Shortest first.")]


EXAMPLES = (
    PlanList(
        items=[
            PlanItem(
                id="STK-12M", version=1, asset="STK", period="12", rate="0.12", minimum_amount="0.00000001"
            )
        ]
    ),
)
