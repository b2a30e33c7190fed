"""Plans: what is on sale, what was, and what an operator puts on sale and takes off it."""

from dataclasses import dataclass, replace
from typing import Final

from stakehold.database import balances, plans, settlement
from stakehold.database.port import Connection, RunAgainError
from stakehold.domain.errors import ConflictError, NotFoundError, ValidationError
from stakehold.domain.plan_terms import check_terms
from stakehold.domain.plans import Offer, Plan
from stakehold.domain.ports import Deadline
from stakehold.services.context import Services

CATALOGUE_TTL_S = 60.0
VERSIONS_MAX: Final = 100

PAST_SALE_MS_MAX: Final = 60_000
"""How long ago a sale may have begun that is published now: for the time between writing and publishing."""


async def list_plans(services: Services, deadline: Deadline) -> list[Offer]:
    """The plans on sale, shortest first; up to a minute old. No stake is made by what is read here."""

    async def work(connection: Connection) -> list[Offer]:
        return await _offers(connection, await plans.list_on_sale(connection))

    catalogue = services.catalogue
    if catalogue.offers is None or services.clock.monotonic_s() >= catalogue.fresh_until_s:
        catalogue.offers = await services.read(work, deadline)
        catalogue.fresh_until_s = services.clock.monotonic_s() + CATALOGUE_TTL_S
    return catalogue.offers


async def _offers(connection: Connection, found: list[Plan]) -> list[Offer]:
    """Plans with what is left of their capacities."""
    limited = [plan.id for plan in found if plan.capacity_minor is not None]
    staked = await settlement.read_usage(connection, limited, lock=False) if limited else {}
    return [Offer(plan, _available_minor(plan, staked.get(plan.id, 0))) for plan in found]


def _available_minor(plan: Plan, staked_minor: int) -> int | None:
    # A version may have less room than was staked under those before it.
    return None if plan.capacity_minor is None else max(0, plan.capacity_minor - staked_minor)


async def asset_of(services: Services, plan_id: str, deadline: Deadline) -> tuple[str, int] | None:
    """The asset of a plan and its scale; None when there is no such plan.

    Neither ever changes, so that each plan is asked for once in a process.
    """
    known = services.catalogue.assets
    if plan_id not in known:
        found = await services.read(lambda connection: plans.latest_version(connection, plan_id), deadline)
        if found is None:
            return None
        known[plan_id] = (found.asset, found.scale)
    return known[plan_id]


async def scale_of(services: Services, asset: str, deadline: Deadline) -> int:
    """How many decimal places an asset of the ledger has. It never changes, so it is asked for once."""
    known = services.catalogue.scales
    if asset not in known:
        scale = await services.read(lambda connection: balances.find_scale(connection, asset), deadline)
        assert scale is not None
        known[asset] = scale
    return known[asset]


async def get_plan(services: Services, plan_id: str, deadline: Deadline) -> Offer:
    """The version of a plan that is on sale, else its latest. Raises NotFoundError."""

    async def work(connection: Connection) -> list[Offer]:
        plan = await plans.find_plan(connection, plan_id)
        return await _offers(connection, [plan] if plan else [])

    found = await services.read(work, deadline)
    if not found:
        raise NotFoundError("There is no such plan.")
    return found[0]


async def list_versions(
    services: Services, plan_id: str, before: int, deadline: Deadline
) -> tuple[list[Plan], bool]:
    """At most VERSIONS_MAX versions of a plan before one, newest first, and whether there are older ones.

    Raises NotFoundError where there is no such plan.
    """
    found = await services.read(
        lambda connection: plans.list_versions(connection, plan_id, before, VERSIONS_MAX + 1), deadline
    )
    if not found and await asset_of(services, plan_id, deadline) is None:
        raise NotFoundError("There is no such plan.")
    return found[:VERSIONS_MAX], len(found) > VERSIONS_MAX


@dataclass(frozen=True, slots=True)
class Published:
    """A version, and whether it is new: to publish the terms of the latest again changes nothing."""

    plan: Plan
    is_new: bool


async def publish(services: Services, terms: Plan, *, from_now: bool, deadline: Deadline) -> Published:
    """Put a version with these terms on sale: the next one, whatever the version in `terms`.

    With `from_now` the sale begins when it is published. An asset is added with its first plan. Raises
    ValidationError that says all that is wrong with the terms.
    """

    async def work(connection: Connection) -> Published:
        async with connection.transaction():
            return await _publish(connection, terms, from_now)

    return await services.run(work, deadline)


async def _publish(connection: Connection, terms: Plan, from_now: bool) -> Published:
    now_ms = await plans.now_ms(connection)
    latest = await plans.latest_version(connection, terms.id)
    if latest is not None and _are_terms_of(latest, terms, now_ms if from_now else None):
        return Published(latest, is_new=False)
    plan = replace(
        terms,
        version=1 if latest is None else latest.version + 1,
        on_sale_from_ms=now_ms if from_now else terms.on_sale_from_ms,
    )
    _check(plan, latest, now_ms)
    await _check_room(connection, plan.id)
    scale = await plans.add_asset(connection, plan.asset, plan.scale)
    if scale != plan.scale:
        raise _refused(f"{plan.asset} has {scale} decimal places, which never changes.")
    if not await plans.insert_version(connection, plan):
        raise RunAgainError(ConflictError("Another version of the plan was published meanwhile."))
    if plan.capacity_minor is not None:
        await plans.open_usage(connection, plan.id)
    return Published(plan, is_new=True)


def _are_terms_of(latest: Plan, terms: Plan, now_ms: int | None) -> bool:
    """Whether `latest` has these terms; given `now_ms`, any beginning before that is as good as another."""
    terms = replace(terms, version=latest.version)
    if now_ms is not None and latest.on_sale_from_ms <= now_ms:
        terms = replace(terms, on_sale_from_ms=latest.on_sale_from_ms)
    return terms == latest


def _check(plan: Plan, latest: Plan | None, now_ms: int) -> None:
    try:
        check_terms(plan)
    except ValueError as error:
        raise _refused(str(error)) from None
    if plan.on_sale_from_ms < now_ms - PAST_SALE_MS_MAX:
        raise _refused("A sale does not begin in the past.")
    # Usage and renewals go by the plan's name: its versions are comparable.
    if latest is not None and (latest.asset, latest.period_months) != (plan.asset, plan.period_months):
        raise _refused(
            f"{plan.id} is a plan of {latest.asset} for {latest.period_months} months: "
            "another asset or period is another plan."
        )


async def _check_room(connection: Connection, plan_id: str) -> None:
    """Raise ValidationError if another plan on sale would be one that the catalogue cannot list.

    Those count whose sale is still to come, too. Serializable isolation keeps two from the last place.
    """
    on_sale = await plans.list_not_ended(connection)
    if plan_id not in on_sale and len(on_sale) >= plans.ON_SALE_MAX:
        raise _refused(f"There are {plans.ON_SALE_MAX} plans on sale or to come: close one before another.")


def _refused(detail: str) -> ValidationError:
    return ValidationError(detail)


async def close_plan(services: Services, plan_id: str, deadline: Deadline) -> list[int]:
    """Take a plan off sale, future versions included; the versions that this closed.

    Stakes made before keep their terms. Raises NotFoundError.
    """
    closed = await services.run(lambda connection: plans.close(connection, plan_id), deadline)
    if not closed and await asset_of(services, plan_id, deadline) is None:
        raise NotFoundError("There is no such plan.")
    return closed
