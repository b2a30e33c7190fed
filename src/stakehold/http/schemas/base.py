"""What the bodies and queries of the API are made of. Unknown fields are refused; names are what clients see.

Every module beside this one ends with EXAMPLES: one of each body, for the OpenAPI document.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PAGE_LIMIT_MAX = 100
PLAN_ID_PATTERN = "^[A-Z0-9._-]{1,32}$"
USER_ID_EXAMPLE = "01a20505-e0af-7c44-9f0a-2f3b6c1d8e90"
STAKE_ID_EXAMPLE = "01a20509-4c23-7d0b-8a55-c0ffee5eed01"

Moment = Annotated[
    str, Meta(description="RFC 3339, in UTC, to the millisecond.", extra_json_schema={"format": "date-time"})
]
Amount = Annotated[
    str,
    Meta(
        description="A decimal in canonical form: no exponent, no trailing zeros.",
        pattern=r"^(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$",
    ),
]
Period = Annotated[str, Meta(description="A number of months.", pattern="^[1-9][0-9]*$")]
Rate = Annotated[
    str, Meta(description="A fraction a year: 0.12 is 12 %.", pattern=r"^(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")
]
Asset = Annotated[str, Meta(description="What the amount is counted in.")]
Day = Annotated[str, Meta(description="A day, in UTC.", extra_json_schema={"format": "date"})]
PlanId = Annotated[str, Meta(description="The plan's name.", pattern=PLAN_ID_PATTERN)]
Version = Annotated[int, Meta(ge=1, description="Counted from 1; the terms of a version never change.")]
Scale = Annotated[int, Meta(ge=0, le=18, description="How many decimal places the asset has.")]
DayCount = Annotated[
    Literal["ACT/365F", "ACT/ACT"],
    Meta(description="How days become years: 365 a year, or each in a year of its own length."),
]
WholeNumber = Annotated[
    str, Meta(description="In digits, since it may be larger than a double holds.", pattern="^[0-9]+$")
]
StakeId = Annotated[str, Meta(description="The stake's id.", extra_json_schema={"format": "uuid"})]

CURSOR = {"minLength": 22, "maxLength": 22, "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}


class Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A body we read."""


class Reply(msgspec.Struct, rename="camel"):
    """A body we send."""


class RateBand(Reply):
    """The rate on what of an amount lies above `from`, and below the next band."""

    from_amount: Amount = msgspec.field(name="from")
    rate: Rate


class Trace(Reply):
    """What an amount earns on the days from `from` until before `to`, and all that it takes to compute it.

    `yearlyWeight` is, over the bands, the minor units in each times its rate in millionths, summed. With
    ACT/365F `numerator` is that times `days`, and `denominator` 10^6 * 365. With ACT/ACT it is that times
    (`daysInCommonYears` * 366 + `daysInLeapYears` * 365), and 10^6 * 365 * 366. `accruedMinor` is their
    quotient, rounded down once.
    """

    day_count: DayCount
    from_day: Day = msgspec.field(name="from")
    to_day: Day = msgspec.field(name="to")
    days: Annotated[int, Meta(description="From the one until before the other.")]
    days_in_common_years: Annotated[int, Meta(description="Those in years of 365 days.")]
    days_in_leap_years: Annotated[int, Meta(description="Those in years of 366 days.")]
    scale: Scale
    amount_minor: Annotated[WholeNumber, Meta(description="The amount in the asset's smallest unit.")]
    rate_bands: Annotated[list[RateBand], Meta(description="Marginal: each rate is on its own part.")]
    yearly_weight: WholeNumber
    numerator: WholeNumber
    denominator: WholeNumber
    accrued_minor: WholeNumber


TRACE_EXAMPLE = Trace(
    day_count="ACT/365F",
    from_day="2026-11-22",
    to_day="2027-11-22",
    days=365,
    days_in_common_years=365,
    days_in_leap_years=0,
    scale=8,
    amount_minor="100000000000",
    rate_bands=[RateBand(from_amount="0", rate="0.12")],
    yearly_weight="12000000000000000",
    numerator="4380000000000000000",
    denominator="365000000",
    accrued_minor="12000000000",
)
