"""What was measured of a run, as plain values for its result."""

from __future__ import annotations

from typing import Any

from tickrail.report.stats import STRATEGY_MEASURES, RuntimeStats

__all__ = ["feeds_of", "lanes_of", "measured_of"]


def measured_of(stats: RuntimeStats) -> dict[str, Any]:
    """Times that were measured, by strategy: ``handler``, and live ``latency`` and ``lateness``."""
    rows = {
        one.name: {name: found.to_dict() for name in STRATEGY_MEASURES if (found := getattr(one, name)) is not None}
        for one in stats.strategies
    }
    return {name: row for name, row in rows.items() if row}


def feeds_of(stats: RuntimeStats) -> dict[str, Any]:
    """Of each live feed: how long its records waited for the loop, and how many at most."""
    return {
        one.name: {
            "wait": None if one.wait is None else one.wait.to_dict(),
            "high_water": one.account.high_water,
            "taken": one.account.taken,
        }
        for one in stats.feeds
    }


def lanes_of(stats: RuntimeStats) -> dict[str, Any]:
    """Of each strategy with a lane: its counts."""
    return {one.name: one.lane.to_dict() for one in stats.strategies if one.lane is not None}
