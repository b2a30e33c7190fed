"""Yearly returns in percent, for display only: to four places, rounded half to even, and exact to the last.

Nothing is paid by what stands here.
"""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from math import gcd

from stakehold.domain.accrual import yearly_weight
from stakehold.domain.plans import Plan

_YEAR_DAYS = 365
_PLACES = 4
_LAST_PLACE = Decimal((0, (1,), -_PLACES))
_NEGLIGIBLE = Decimal((0, (1,), -_PLACES - 1))
_PLACES_OF_ONE = 10 ** (_PLACES + 2)
"""A return of 1, which is 100 %, in units of the last place."""


def apr_percent(plan: Plan, amount_minor: int) -> str:
    """The simple yearly return on an amount of at least one minor unit, in percent: "12.0000".

    On several bands it is the average of their rates, weighted by what lies in them.
    """
    # A ppm is the last place of a percentage with four; `round` is half to even, and exact on fractions.
    whole, fraction = divmod(round(Fraction(yearly_weight(plan, amount_minor), amount_minor)), 10**_PLACES)
    return f"{whole}.{fraction:0{_PLACES}d}"


def apy_percent(amount_minor: int, reward_minor: int, days: int) -> str:
    """The annual percentage yield of `reward_minor` on `amount_minor` after `days`, in percent: "12.0000".

    It is 100 * ((1 + reward / amount)^(365 / days) - 1), as in US Regulation DD (12 CFR 1030), Appendix A,
    part I. All it needs is an amount of at least 1, a reward of at least 0 and at least one day.
    """
    precision = 50
    while True:
        context = Context(prec=precision, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
        growth = _growth(context, amount_minor, reward_minor, days)
        percent = context.multiply(context.subtract(growth, Decimal(1)), Decimal(100))
        # Each step is off by a unit in its last digit at most. Raising to a power makes that the exponent, at
        # most 365, times one and the logarithm of the base: far less than the ten million units allowed for.
        error = context.scaleb(growth, 10 - precision)
        if error < _NEGLIGIBLE:
            break
        precision *= 2
    # So close, the two are rounded to one value or to neighbours.
    low = context.quantize(context.subtract(percent, error), _LAST_PLACE)
    high = context.quantize(context.add(percent, error), _LAST_PLACE)
    if low != high:
        units = int(context.scaleb(low, _PLACES))
        if _is_rounded_down(units, amount_minor, reward_minor, days):
            return format(low.copy_abs(), "f")
    return format(high, "f")


def _growth(context: Context, amount_minor: int, reward_minor: int, days: int) -> Decimal:
    base = context.divide(Decimal(amount_minor + reward_minor), Decimal(amount_minor))
    return context.power(base, context.divide(Decimal(_YEAR_DAYS), Decimal(days)))


def _is_rounded_down(units: int, amount_minor: int, reward_minor: int, days: int) -> bool:
    """Whether a yield close to `units` and a half of the last place becomes `units`, not one more.

    Both sides of `yield <=> middle` are raised to a power that makes them whole numbers, so that the middle
    itself, which no precision tells from what is beside it, is recognised.
    """
    middle, whole = 2 * (_PLACES_OF_ONE + units) + 1, 2 * _PLACES_OF_ONE
    common = gcd(_YEAR_DAYS, days)
    power, root = _YEAR_DAYS // common, days // common
    growth = (amount_minor + reward_minor) ** power * whole**root
    boundary = amount_minor**power * middle**root
    return growth < boundary or (growth == boundary and units % 2 == 0)
