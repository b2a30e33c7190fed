"""`stakehold plans list | publish | close`: what is on sale, from a file of terms as the API tells them."""

import argparse
import functools
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

from stakehold.commands import arguments
from stakehold.commands.actions import Actions, CarryOut
from stakehold.database import plans as table
from stakehold.domain.errors import ValidationError
from stakehold.domain.money import parse_amount_minor
from stakehold.domain.plan_terms import SCALE_MAX
from stakehold.domain.plans import Band, DayCount, Plan, format_rate, parse_rate
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import read_rfc3339, rfc3339
from stakehold.runtime.container import NativeContainer
from stakehold.services import plans

PAGE: Final = 500
FILE_BYTES_MAX: Final = 64 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Band(msgspec.Struct, forbid_unknown_fields=True):
    start: str = msgspec.field(name="from")
    rate: str


class _EarlyExit(msgspec.Struct, forbid_unknown_fields=True):
    policy: Literal["not_allowed", "forfeit_all", "forfeit_part", "reduced_rate"]
    share: str | None = None
    rate: str | None = None


class _Terms(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A file's terms, named as in the answers of GET /api/plans."""

    id: str
    asset: str
    scale: int
    period: str
    minimum_amount: str
    rate: str | None = None
    rate_bands: list[_Band] | None = None
    day_count: DayCount = "ACT/365F"
    maximum_amount: str | None = None
    step: str | None = None
    user_cap: str | None = None
    capacity: str | None = None
    on_sale_from: str | None = None
    on_sale_until: str | None = None
    early_exit: _EarlyExit = msgspec.field(default_factory=lambda: _EarlyExit("forfeit_all"))
    minimum_hold_days: int = 0
    cooldown_seconds: int = 0
    grace_period_seconds: int = 3600


def register(command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
    """Add the actions to `stakehold plans`; `carry_out` does work with the stores of the environment."""
    actions = Actions(command, carry_out)
    actions.add("list", lambda _: _list, "Show every version of every plan.")
    publish = actions.add(
        "publish",
        lambda options: functools.partial(_publish, *read_terms(_read(options.file))),
        "Put a new version of a plan on sale, with the terms of a file of JSON.",
    )
    publish.add_argument("file", type=Path, metavar="FILE")
    close = actions.add(
        "close",
        lambda options: functools.partial(_close, options.plan),
        "Take a plan off sale. Stakes that were made keep their terms.",
    )
    close.add_argument("plan", type=arguments.name, metavar="PLAN_ID")


async def _list(container: NativeContainer, deadline: Deadline) -> int:
    after = ("", 0)
    while True:
        read = functools.partial(table.list_all, after=after, limit=PAGE)
        found = await container.services.read(read, deadline)
        for plan in found:
            until = "-" if plan.on_sale_until_ms is None else rfc3339(plan.on_sale_until_ms)
            rates = ",".join(format_rate(band.rate_ppm) for band in plan.bands)
            period = f"{plan.period_months}M"
            print(
                plan.id,
                plan.version,
                plan.asset,
                period,
                rates,
                rfc3339(plan.on_sale_from_ms),
                until,
                sep="\t",
            )
        if len(found) < PAGE:
            return 0
        after = (found[-1].id, found[-1].version)


async def _publish(terms: Plan, from_now: bool, container: NativeContainer, deadline: Deadline) -> int:
    published = await plans.publish(container.services, terms, from_now=from_now, deadline=deadline)
    plan = published.plan
    what = "is on sale from" if published.is_new else "has these terms already, on sale from"
    print(f"{plan.id} version {plan.version} {what} {rfc3339(plan.on_sale_from_ms)}")
    return 0


async def _close(plan_id: str, container: NativeContainer, deadline: Deadline) -> int:
    closed = await plans.close_plan(container.services, plan_id, deadline)
    versions = ", ".join(str(version) for version in closed)
    print(f"{plan_id} is off sale: version {versions}" if closed else f"{plan_id} was off sale already")
    return 0


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValidationError(f"{file} has more than {FILE_BYTES_MAX} bytes.")
    return content


def read_terms(content: bytes) -> tuple[Plan, bool]:
    """The terms in a file's JSON, and whether the sale begins with the publication.

    Raises ValidationError. Whether the terms make sense is for the publication to say.
    """
    try:
        terms = msgspec.json.decode(content, type=_Terms)
        json.loads(content, object_pairs_hook=_once)
    except (msgspec.DecodeError, ValueError) as error:
        raise ValidationError(f"This is no plan: {error}.") from None
    if not 0 <= terms.scale <= SCALE_MAX:
        raise ValidationError(f"scale: an asset has 0 to {SCALE_MAX} decimal places.")
    return _plan(terms), terms.on_sale_from is None


def _once(pairs: list[tuple[str, object]]) -> None:
    """Raise ValueError for a member that is given twice: which of the two was meant nobody can say."""
    name, times = Counter(name for name, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if times > 1:
        raise ValueError(f"{name} is given twice")


def _plan(terms: _Terms) -> Plan:
    def amount(name: str, text: str) -> int:
        try:
            return parse_amount_minor(text.encode(), terms.scale)
        except ValueError as error:
            raise ValidationError(f"{name}: {error}") from None

    def limit(name: str, text: str | None) -> int | None:
        return None if text is None else amount(name, text)

    leaving = terms.early_exit
    return Plan(
        id=terms.id,
        version=1,
        asset=terms.asset,
        scale=terms.scale,
        period_months=_whole("period", terms.period),
        bands=_bands(terms, amount),
        day_count=terms.day_count,
        minimum_minor=amount("minimumAmount", terms.minimum_amount),
        maximum_minor=limit("maximumAmount", terms.maximum_amount),
        step_minor=limit("step", terms.step) or 1,
        user_cap_minor=limit("userCap", terms.user_cap),
        capacity_minor=limit("capacity", terms.capacity),
        on_sale_from_ms=_moment_ms("onSaleFrom", terms.on_sale_from) or 0,
        on_sale_until_ms=_moment_ms("onSaleUntil", terms.on_sale_until),
        early_exit=leaving.policy,
        early_exit_ppm=_early_exit_ppm(leaving),
        minimum_hold_days=terms.minimum_hold_days,
        cooldown_s=terms.cooldown_seconds,
        grace_s=terms.grace_period_seconds,
    )


def _bands(terms: _Terms, amount: Callable[[str, str], int]) -> tuple[Band, ...]:
    if terms.rate_bands is None:
        if terms.rate is None:
            raise ValidationError("A plan has a rate, or rateBands.")
        return (Band(0, _rate("rate", terms.rate)),)
    bands = tuple(
        Band(
            0 if band.start == "0" else amount("rateBands: from", band.start),
            _rate("rateBands: rate", band.rate),
        )
        for band in terms.rate_bands
    )
    if terms.rate is not None and [_rate("rate", terms.rate)] != [band.rate_ppm for band in bands[:1]]:
        raise ValidationError("rate: it is that of the first of the rateBands.")
    return bands


def _early_exit_ppm(leaving: _EarlyExit) -> int:
    needed = {"forfeit_part": "share", "reduced_rate": "rate"}.get(leaving.policy)
    given = {
        name: text for name, text in (("share", leaving.share), ("rate", leaving.rate)) if text is not None
    }
    if set(given) != ({needed} if needed else set()):
        belongs = f"a {needed}" if needed else "neither share nor rate"
        raise ValidationError(f"earlyExit: {leaving.policy} has {belongs}.")
    return _rate(f"earlyExit: {needed}", given[needed]) if needed else 0


def _rate(name: str, text: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise ValidationError(f"{name}: {error}") from None


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValidationError(f'{name}: {text!r} is no number of months such as "12".')
    return int(text)


def _moment_ms(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return (read_rfc3339(text) - _EPOCH) // timedelta(milliseconds=1)
    except ValueError:
        raise ValidationError(f"{name}: {text!r} is no time such as 2027-01-31T09:30:00Z.") from None
