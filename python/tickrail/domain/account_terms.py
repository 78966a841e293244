"""``AccountTerms``: what strategies are given to trade with, and in which currency it is counted."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["EQUITY_EVERY_NS", "AccountTerms", "Currency", "EquityEvery", "Rates", "rate_source"]

DAY_NS: Final = 86_400_000_000_000
#: A minute: fine enough for a drawdown, and half a million looks a year.
EQUITY_EVERY_NS: Final = 60_000_000_000
RATE: Final = re.compile(r"(1/)?([^\s./][^\s/]*\.[^\s./]+)")


def rate_source(rate: float | str) -> float | tuple[str, bool]:
    """A rate as it is, or the instrument whose price it is, and whether one over that.

    >>> rate_source("1/USDJPY.SIM")
    ('USDJPY.SIM', True)

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(rate, str):
        if rate > 0.0:
            return float(rate)
        raise ValueError(f"a rate is {rate}; expected a number above zero")
    found = RATE.fullmatch(rate)
    if found is None:
        raise ValueError(f"a rate is '{rate}'; expected a number, an instrument as EURUSD.SIM, or 1/USDJPY.SIM")
    return found[2], found[1] is not None


def _rates(rates: dict[str, float | str]) -> dict[str, float | str]:
    for rate in rates.values():
        rate_source(rate)
    return rates


def _part_of_a_day(ns: int) -> int:
    if DAY_NS % ns:
        raise ValueError(f"expected a whole part of a day, as 60_000_000_000, and not {ns}")
    return ns


Currency = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}$")]
Rates = Annotated[dict[str, float | str], AfterValidator(_rates)]
EquityEvery = Annotated[int, Field(ge=1, le=DAY_NS), AfterValidator(_part_of_a_day)]


class AccountTerms(BaseModel):
    """What strategies are given, each of them, and how it is counted.

    >>> AccountTerms(capital=10_000.0, currency="USD", rates={"EUR": "EURUSD.SIM", "JPY": "1/USDJPY.SIM"}).leverage
    1.0

    Attributes:
        capital: Of each strategy, in ``currency``; or by the name of the strategy.
        leverage: How many times its worth a strategy may be exposed to, as ``portfolio.buying_power`` counts.
        currency: In which amounts are added; ``None``: that of the instruments, where they have one in common.
        rates: What one unit of another currency is worth in it: a number, the price of an instrument
            (``"EURUSD.SIM"``), or one over that (``"1/USDJPY.SIM"``).
        equity_every_ns: How often it is looked at what strategies are worth, for peaks and drawdowns, beside each fill;
            a whole part of a day.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )

    capital: float | dict[str, float] = 0.0
    leverage: Annotated[float, Field(gt=0.0)] = 1.0
    currency: Currency | None = None
    rates: Rates = Field(default_factory=dict)
    equity_every_ns: EquityEvery = EQUITY_EVERY_NS

    def capital_of(self, strategy: str) -> float:
        """The capital of one strategy."""
        return self.capital.get(strategy, 0.0) if isinstance(self.capital, dict) else self.capital

    def settings(self) -> dict[str, Any]:
        """What decides the result, as plain values; nothing where nothing was said."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return {"account": said} if said else {}
