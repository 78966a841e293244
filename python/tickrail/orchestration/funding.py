"""What strategies are given, in which currency it is counted, and what their orders may not go beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tickrail._native import Dispatcher
from tickrail.domain.account_terms import AccountTerms, rate_source
from tickrail.domain.near import did_you_mean
from tickrail.domain.order_limits import OrderLimits
from tickrail.errors import ParameterError

__all__ = ["Funding", "account_problems", "limit_problems"]


def account_problems(account: AccountTerms, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What of the terms does not go with the run's instruments: the key, and what is wrong."""
    if account.rates and account.currency is None:
        return [("currency", "missing: rates say what others are worth in it")]
    names = [str(row["id"]) for row in rows]
    found = []
    for row in rows if account.currency is not None else ():
        currency = str(row.get("currency") or "XXX")
        if currency != account.currency and currency not in account.rates:
            found.append(("rates", f"{row['id']} is priced in {currency}, for which there is no rate"))
    for currency, rate in account.rates.items():
        source = rate_source(rate)
        if isinstance(source, tuple) and source[0] not in names:
            said = f"the rate of {currency} is the price of '{source[0]}', which no feed has"
            found.append(("rates", f"{said}{did_you_mean(source[0], names)}"))
    return found


def limit_problems(
    limits: OrderLimits, strategies: Sequence[str], instruments: Sequence[str], *, is_added: bool
) -> list[tuple[str, str]]:
    """What of the limits does not go with the run: the key, and what is wrong."""
    found = []
    for key, known in (("strategies", strategies), ("instruments", instruments)):
        named = getattr(limits, key)
        for one in () if named == "*" else named:
            if one not in known:
                found.append((key, f"there is no '{one}' in this run{did_you_mean(one, known)}"))
    for key in ("max_daily_loss", "max_drawdown"):
        if getattr(limits, key) is not None and not is_added:
            said = "in which currency? The run's instruments have several: say currency and rates"
            found.append((key, said))
    return found


class Funding:
    """Tells the native loop.

    Args:
        native: The loop.
        rows: The run's instrument table.
        account: The terms.

    Attributes:
        capital: What each strategy was given.

    Raises:
        ParameterError: They do not go with the instruments.
    """

    def __init__(self, native: Dispatcher, rows: Sequence[Mapping[str, Any]], account: AccountTerms) -> None:
        self._native = native
        self._account = account
        self.capital: dict[str, float] = {}
        currencies = {str(row.get("currency") or "XXX") for row in rows}
        self._is_added = account.currency is not None or len(currencies) <= 1
        for key, said in account_problems(account, rows):
            raise ParameterError(f"account: {key}: {said}")
        if account.currency is not None:
            sources = [(name, rate_source(rate)) for name, rate in account.rates.items()]
            native.set_currency(account.currency, sources)

    def fund(self, number: int, name: str, capital: float | None = None, leverage: float | None = None) -> None:
        """Give a strategy what was said here, or else in the terms.

        Raises:
            ParameterError: It is in no currency, as the run has several and none was chosen.
        """
        given = self._account.capital_of(name) if capital is None else capital
        if given and not self._is_added:
            raise ParameterError(
                f"{name}: capital is {given}, in which currency?",
                strategy=name,
                hint="the run's instruments have several: say currency and rates",
            )
        self.capital[name] = given
        self._native.fund(number, given, self._account.leverage if leverage is None else leverage)

    def limit(self, name: str, limits: OrderLimits, strategies: Sequence[str], instruments: Sequence[str]) -> None:
        """Bind the orders of strategies by limits.

        Raises:
            ParameterError: They name a strategy or an instrument that is not there, or a loss in no currency.
        """
        for problem in limit_problems(limits, strategies, instruments, is_added=self._is_added):
            raise ParameterError(f"limits '{name}': {problem[1]}")
        numbers = None if limits.strategies == "*" else [strategies.index(one) for one in limits.strategies]
        ids = None if limits.instruments == "*" else list(limits.instruments)
        self._native.limit(name, list(limits.values().items()), numbers, ids)
