"""Which limits there are: one for every route that needs one, and one for all together.

A route names its policy in http/routes/; the numbers are here, and `STAKEHOLD_LIMITS` overrides them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

QUOTA_MAX = 1_000_000_000
"""An exact log remembers every request of its window: a quota near this is a way to switch a limit off."""

WINDOW_S_MAX = 24 * 3600
DEFAULT_WINDOW_S = 60

# The names go into RateLimit headers as structured-field strings (RFC 8941), which this is a safe part of.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `quota` requests of one subject in any `window_s` seconds."""

    name: str
    quota: int
    window_s: int = DEFAULT_WINDOW_S
    key_part: str = field(init=False, repr=False, compare=False)
    """The end of the log's key."""
    arguments: tuple[int, int] = field(init=False, repr=False, compare=False)
    """What the script is told: the quota, and the window in milliseconds."""
    item: str = field(init=False, repr=False, compare=False)
    """The policy in RateLimit-Policy: `"stake-create";q=20;w=60`."""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"{self.name!r} is no policy's name: lower-case letters, digits and hyphens.")
        if not 1 <= self.quota <= QUOTA_MAX:
            raise ValueError(f"The quota of {self.name} must be from 1 to {QUOTA_MAX}.")
        if not 1 <= self.window_s <= WINDOW_S_MAX:
            raise ValueError(f"The window of {self.name} must be from 1 to {WINDOW_S_MAX} seconds.")
        object.__setattr__(self, "key_part", f"limit:{self.name}")
        object.__setattr__(self, "arguments", (self.quota, self.window_s * 1000))
        object.__setattr__(self, "item", f'"{self.name}";q={self.quota};w={self.window_s}')


DEFAULTS = (
    Policy("auth", 10),
    Policy("stake-create", 20),
    Policy("stake-read", 60),
    Policy("quote", 60),
    Policy("stake-change", 30),
    Policy("ledger-read", 60),
    Policy("statement", 10),
    Policy("admin", 60),
    Policy("global", 100),
    Policy("sign-up", 10),
    Policy("refresh", 30),
    Policy("account", 30),
    Policy("plan-read", 60),
    Policy("auth-failure", 50, 900),
)


class Policies:
    """The limits in force, by name."""

    def __init__(self, overrides: Mapping[str, tuple[int, int]] | None = None) -> None:
        """`overrides` gives (quota, window in seconds) by name; ValueError for a name that is not there."""
        self._by_name = {policy.name: policy for policy in DEFAULTS}
        for name, (quota, window_s) in (overrides or {}).items():
            if name not in self._by_name:
                raise ValueError(f"There is no limit {name!r}. There are: {', '.join(self._by_name)}.")
            self._by_name[name] = Policy(name, quota, window_s)

    def get(self, name: str) -> Policy:
        """The policy `name`; KeyError when there is none."""
        return self._by_name[name]

    def all(self) -> tuple[Policy, ...]:
        """Every policy there is."""
        return tuple(self._by_name.values())


def parse_limits(text: str) -> dict[str, tuple[int, int]]:
    """Read `auth=10,stake-create=20,auth-failure=50/900`: quota, and seconds unless it is a minute.

    Raises ValueError that names the item which is wrong.
    """
    overrides: dict[str, tuple[int, int]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        read = re.fullmatch(r"([^=\s]+)\s*=\s*([0-9]{1,10})(?:/([0-9]{1,6}))?", item, re.ASCII)
        if read is None:
            raise ValueError(f"{item!r} is not a limit: write name=quota or name=quota/seconds.")
        name = read[1]
        if name in overrides:
            raise ValueError(f"{item!r}: {name} is given twice.")
        overrides[name] = (int(read[2]), int(read[3] or DEFAULT_WINDOW_S))
        try:
            Policies({name: overrides[name]})
        except ValueError as error:
            raise ValueError(f"{item!r}: {error}") from None
    return overrides
