"""Venue ``simulated``: orders fill from the ticks that follow them."""

from __future__ import annotations

from tickrail._native import InstrumentId

__all__ = ["SimulatedVenue"]


class SimulatedVenue:
    """Orders match from the next input tick of their instrument on; the native loop does it, on these terms.

    Market, limit, stop and stop-limit orders, with time in force and amendments; docs/reference/simulated-venue.md says
    what each does.

    Args:
        name: Id of the venue, the last part of its instruments' ids.
        fee_rate: Fee as a fraction of the notional.
    """

    def __init__(self, *, name: str, fee_rate: float = 0.0) -> None:
        self.name = name
        self._fee_rate = fee_rate

    @property
    def capabilities(self) -> frozenset[str]:
        """What the native loop does."""
        return frozenset(
            {"market", "limit", "stop", "amend", "cancel", "status", "good_till_time", "post_only", "reduce_only"}
        )

    def fee_rate(self, instrument: InstrumentId) -> float:  # noqa: ARG002  (the port knows venues that distinguish)
        """The same for each instrument."""
        return self._fee_rate
