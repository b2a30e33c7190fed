"""What a plan's terms come to, read from the documentation, in exact rationals. Pure."""

from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

PPM = 1_000_000


@dataclass(frozen=True)
class Terms:
    """One version of a plan, in minor units of its asset."""

    plan: str
    version: int
    asset: str
    scale: int
    months: int
    bands: tuple[tuple[int, int], ...]
    day_count: str
    minimum: int
    maximum: int | None
    step: int
    cap: int | None
    capacity: int | None
    from_ms: int
    until_ms: int | None
    policy: str
    policy_ppm: int
    hold_days: int
    cooldown_s: int
    grace_s: int

    def sells_at(self, at_ms: int) -> bool:
        """Whether a stake can be made under it then."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)

    def refuses(self, amount: int) -> str | None:
        """Why it takes no such amount."""
        if amount < self.minimum:
            return "below_minimum"
        if self.maximum is not None and amount > self.maximum:
            return "above_maximum"
        return "off_step" if amount % self.step else None

    def exact(self, amount: int, first: date, end: date) -> Fraction:
        """What an amount earns on the days of [first, end), not rounded."""
        tops = [start for start, _ in self.bands[1:]] + [amount]
        yearly = sum(
            (
                Fraction(max(0, min(amount, top) - start) * ppm, PPM)
                for (start, ppm), top in zip(self.bands, tops, strict=True)
            ),
            Fraction(0),
        )
        return yearly * self._years(first, end)

    def _years(self, first: date, end: date) -> Fraction:
        if self.day_count == "ACT/365F":
            return Fraction(max(0, (end - first).days), 365)
        days = [first + timedelta(number) for number in range((end - first).days)]
        leap = sum(isleap(day.year) for day in days)
        return Fraction(len(days) - leap, 365) + Fraction(leap, 366)

    def accrued(self, amount: int, first: date, end: date) -> int:
        """The same, as it is told and paid: rounded down once."""
        exact = self.exact(amount, first, end)
        return exact.numerator // exact.denominator

    def leaving(self, amount: int, first: date, day: date) -> tuple[int, int]:
        """Reward and forfeited of who leaves on `day`."""
        accrued = self.accrued(amount, first, day)
        if self.policy == "forfeit_part":
            forfeited = accrued * self.policy_ppm // PPM
        elif self.policy == "reduced_rate":
            flat = Fraction(amount * self.policy_ppm, PPM) * self._years(first, day)
            forfeited = accrued - min(accrued, flat.numerator // flat.denominator)
        else:
            forfeited = accrued
        return accrued - forfeited, forfeited


def months_after(day: date, months: int) -> date:
    """The same day of the month, or its last."""
    year, month = day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def day_of(at_ms: int) -> date:
    """The day (UTC) of a moment."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).date()


def midnight_ms(day: date) -> int:
    """The moment a day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def decimal(minor: int, scale: int) -> str:
    """An amount as the API writes it."""
    sign, digits = "-" if minor < 0 else "", str(abs(minor)).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    return sign + whole + (f".{fraction}" if fraction else "")


def minor_of(told: Any, scale: int) -> int:
    """The minor units of an amount the API told; it must be exact, and written in the one way."""
    assert isinstance(told, str), told
    exact = Fraction(told) * 10**scale
    assert exact.denominator == 1, told
    assert decimal(exact.numerator, scale) == told, told
    return exact.numerator
