"""What trading is like: the terms of venues and instruments, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from tickrail._native import InstrumentId
from tickrail.domain.account_terms import AccountTerms
from tickrail.domain.near import did_you_mean
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.venue_terms import InstrumentTerms, VenueTerms
from tickrail.errors import ParameterError
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.execution import TermedVenue, Venue

__all__ = ["Limits", "Trading", "costs_at", "terms_of"]


Limits: TypeAlias = OrderLimits | Mapping[str, OrderLimits] | None


class Trading:
    """Completes the instrument table of a run without configuration files.

    Args:
        fee_rate: Of venues without terms.
        venue: The terms of all venues, or of each by its name.
        terms: Of instruments, by id.
        account: What strategies are given.
        limits: What orders may not go beyond; one is called ``limits``.
    """

    def __init__(
        self,
        fee_rate: float,
        venue: VenueTerms | Mapping[str, VenueTerms] | None,
        terms: Mapping[str, InstrumentTerms] | None,
        account: AccountTerms | None = None,
        limits: Limits = None,
    ) -> None:
        self._fee_rate = fee_rate
        self._given = venue
        self._terms = dict(terms or {})
        self.venues: dict[str, VenueTerms] = {}
        self.account = account or AccountTerms()
        self._limits = {"limits": limits} if isinstance(limits, OrderLimits) else dict(limits or {})
        if isinstance(venue, VenueTerms) and fee_rate:
            raise ParameterError("fees stand in venue and in fee_rate", hint="say fee_rate=... within VenueTerms(...)")

    def rows(self, table: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows of the table with what trading each instrument costs and is held to.

        Raises:
            ParameterError: Terms name a venue or an instrument that the data does not have.
        """
        names = list(dict.fromkeys(InstrumentId(name).venue for name in table))
        if isinstance(self._given, VenueTerms):
            self.venues = dict.fromkeys(names, self._given)
        else:
            self.venues = dict(self._given or {})
            _refuse_unknown("venue", self.venues, names)
        _refuse_unknown("terms", self._terms, table)
        return [self._row(name, row) for name, row in table.items()]

    def _row(self, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        venue = self.venues.get(InstrumentId(name).venue)
        costs = {"fee_rate": self._fee_rate} if venue is None else venue.instrument_row()
        own = self._terms[name].row() if name in self._terms else {}
        return {**row, **costs, **own}

    def settings(self) -> dict[str, Any]:
        """What decides the result, as plain values; nothing where nothing was said."""
        said = {name: terms.model_dump(mode="json", exclude_defaults=True) for name, terms in self.venues.items()}
        rules = {name: terms.model_dump(mode="json", exclude_defaults=True) for name, terms in self._terms.items()}
        limits = {name: one.settings() for name, one in self._limits.items()}
        parts = (("venue", said), ("terms", rules), ("limits", limits))
        return {name: value for name, value in parts if value} | self.account.settings()

    def bind(self, dispatcher: TickDispatcher) -> None:
        """Set the limits, once strategies are registered.

        Raises:
            ParameterError: They, or the capital, name what is not there.
        """
        if isinstance(self.account.capital, dict):
            _refuse_unknown("capital", self.account.capital, dispatcher.strategies, "no strategy of this run")
        for name, limits in self._limits.items():
            dispatcher.limit(name, limits)


def costs_at(venue: Venue | None, instrument: InstrumentId) -> dict[str, float]:
    """What trading ``instrument`` costs at the venue of an adapter, as columns of the run's instrument table."""
    if isinstance(venue, TermedVenue):
        return venue.terms.instrument_row()
    return {"fee_rate": 0.0 if venue is None else venue.fee_rate(instrument)}


def terms_of(venues: Mapping[str, Venue]) -> dict[str, VenueTerms]:
    """The terms of those adapters that have any, by venue."""
    return {name: venue.terms for name, venue in venues.items() if isinstance(venue, TermedVenue)}


def _refuse_unknown(
    argument: str,
    given: Mapping[str, object],
    known: Mapping[str, object] | list[str],
    said: str = "which the data does not have",
) -> None:
    for name in given:
        if name not in known:
            near = did_you_mean(name, known)
            raise ParameterError(f"{argument} names '{name}', {said}{near}", hint=", ".join(known))
