"""What the bodies and queries of the API are made of. Unknown fields are refused; names are what clients see.

Every module beside this one ends with EXAMPLES: one of each body, for the OpenAPI document.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

PAGE_LIMIT_MAX = 100
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
StakeId = Annotated[str, Meta(description="The stake's id.", extra_json_schema={"format": "uuid"})]

CURSOR = {"minLength": 22, "maxLength": 22, "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}


class Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A body we read."""


class Reply(msgspec.Struct, rename="camel"):
    """A body we send."""
