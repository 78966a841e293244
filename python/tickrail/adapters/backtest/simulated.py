"""Venue ``simulated``: orders fill from the ticks that follow them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tickrail._native import InstrumentId
from tickrail.domain.near import did_you_mean
from tickrail.domain.venue_terms import VenueTerms
from tickrail.errors import WiringError

__all__ = ["SimulatedVenue"]


class SimulatedVenue:
    """Orders match from the next input tick of their instrument on; the native loop does it, on these terms.

    Market, limit, stop and stop-limit orders, with time in force and amendments; docs/reference/simulated-venue.md says
    what each does.

    Args:
        name: Id of the venue, the last part of its instruments' ids.
        terms: As of ``VenueTerms``.

    Raises:
        WiringError: These are no terms, each of them said.
    """

    def __init__(self, *, name: str, **terms: Any) -> None:
        self.name = name
        try:
            self.terms = VenueTerms(**terms)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            said = [_said(str(one["loc"][0]), one["type"], one["msg"]) for one in found]
            raise WiringError(f"adapter 'simulated' {'; '.join(said)}", problems=said) from None

    @property
    def capabilities(self) -> frozenset[str]:
        """What the native loop does."""
        return frozenset(
            {"market", "limit", "stop", "amend", "cancel", "status", "good_till_time", "post_only", "reduce_only"}
        )

    def fee_rate(self, instrument: InstrumentId) -> float:  # noqa: ARG002  (the port knows venues that distinguish)
        """The same for each instrument; where makers and takers pay different fees, that of takers."""
        return self.terms.fee_rate if self.terms.taker_fee_rate is None else self.terms.taker_fee_rate


def _said(name: str, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"takes no '{name}'{did_you_mean(name, VenueTerms.model_fields)}"
    return f"cannot take {name}: {message}"
