"""What became of every record: the accounts of a run at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

__all__ = ["Accounts", "FeedAccount", "StrategyAccount", "Traded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAccount:
    """The exact account of a feed, all of its publishers together.

    ``offered + made = rejected + published``, and ``published = taken + dropped_newest + dropped_oldest + conflated +
    pending``.

    Attributes:
        name: The feed.
        publishers: Publishers that are open.
        offered: Records that publishers brought.
        rejected: Those that did not get in: ``invalid``, ``duplicates``, ``refused`` and ``rate_limited`` together.
        invalid: Those that broke a rule, by the rule.
        duplicates: Those that came again, by the source's number.
        refused: Those for which there was no slot, and whose publisher was told.
        rate_limited: Those above the feed's rate.
        published: Records that got in, or that the feed made itself.
        made: Records that the feed made itself: GAP and STALE.
        taken: Records that the loop took.
        dropped_newest: Records that went, as there was no slot.
        dropped_oldest: Records that gave way to later ones.
        conflated: Records that a later one of their instrument replaced.
        pending: Records that wait.
        high_water: Most records that ever waited when the loop looked.
        backwards: Accepted records whose time ran backwards.
        crossed: Accepted crossed quotes.
        gaps: Jumps in the source's numbers, and reconnections.
        stale: How often it was silent for too long.
        abandoned: Publishers that were in a call when the feed was closed, and did not come out of it.
        waits: How often publishers waited for a slot.
        waited_ns: How long, ns.
    """

    name: str
    publishers: int
    offered: int
    rejected: int
    invalid: Mapping[str, int]
    duplicates: int
    refused: int
    rate_limited: int
    published: int
    made: int
    taken: int
    dropped_newest: int
    dropped_oldest: int
    conflated: int
    pending: int
    high_water: int
    backwards: int
    crossed: int
    gaps: int
    stale: int
    abandoned: int
    waits: int
    waited_ns: int

    @property
    def balanced(self) -> bool:
        """Whether both equations hold."""
        lost = self.dropped_newest + self.dropped_oldest + self.conflated
        return (
            self.offered + self.made == self.rejected + self.published
            and self.published == self.taken + lost + self.pending
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyAccount:
    """The exact account of a strategy, over all feeds or for one of them.

    ``published = delivered + filtered + skipped + dropped_newest + dropped_oldest + conflated + pending``, and
    ``skipped = paused + failed + stopped + max_lag``.

    Attributes:
        state: Where the strategy stands.
        published: Records of the feeds; in a backtest, the inputs so far.
        delivered: Those that its handler received.
        filtered: Those that it did not subscribe to.
        skipped: Those that it would have received otherwise: the sum of the next four.
        paused: Those that came while it was paused.
        failed: Those that came when it had failed, or were collected for it when it did.
        stopped: Those that came when it had stopped.
        max_lag: Those that its rule for lag skipped.
        dropped_newest: Those that went in their feed's ring, as there was no slot.
        dropped_oldest: Those that gave way to later ones in their feed's ring.
        conflated: Those that a later one replaced, in their feed's ring or by the strategy's rule for lag.
        pending: Those that wait: in their feed's ring, for the next batch, or for the lag to end.
    """

    state: str
    published: int = 0
    delivered: int = 0
    filtered: int = 0
    skipped: int = 0
    paused: int = 0
    failed: int = 0
    stopped: int = 0
    max_lag: int = 0
    dropped_newest: int = 0
    dropped_oldest: int = 0
    conflated: int = 0
    pending: int = 0

    @property
    def balanced(self) -> bool:
        """Whether both equations hold."""
        lost = self.dropped_newest + self.dropped_oldest + self.conflated
        known = self.delivered + self.filtered + self.skipped + lost + self.pending
        return self.published == known and self.skipped == self.paused + self.failed + self.stopped + self.max_lag

    def to_dict(self) -> dict[str, int]:
        """The numbers by their names."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "state"}


class Traded(NamedTuple):
    """What a strategy has ordered, and what came of it.

    Attributes:
        orders: Orders that it ever made.
        open_orders: Those that are not done.
        pnl: Realised and not, less fees, in the run's currency; ``None``: it has none, or a price is missing.
    """

    orders: int = 0
    open_orders: int = 0
    pnl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The accounts of all feeds and strategies at one moment, the end of a step.

    Attributes:
        position: Loop position of that step.
        now_ns: Its clock, ns UTC.
        inputs: Ticks that the loop had taken.
        feeds: By name; empty in a backtest, whose files offer and publish what is taken.
        strategies: By name, over all feeds.
        by_feed: By the name of the feed and that of the strategy.
        traded: By name, what each strategy has ordered and what came of it.
    """

    position: int = 0
    now_ns: int = 0
    inputs: int = 0
    feeds: Mapping[str, FeedAccount] = field(default_factory=dict)
    strategies: Mapping[str, StrategyAccount] = field(default_factory=dict)
    by_feed: Mapping[str, Mapping[str, StrategyAccount]] = field(default_factory=dict)
    traded: Mapping[str, Traded] = field(default_factory=dict)

    @classmethod
    def of(cls, taken: Mapping[str, Any], strategies: Sequence[str]) -> Self:
        """From what the native loop says; ``strategies`` are their names, in order of registration."""
        feeds = {row["name"]: FeedAccount(**row) for row in taken["feeds"]}
        return cls(
            position=taken["position"],
            now_ns=taken["now_ns"],
            inputs=taken["inputs"],
            feeds=feeds,
            strategies=_named(taken["strategies"], strategies),
            by_feed={feed: _named(rows, strategies) for feed, rows in zip(feeds, taken["by_feed"], strict=True)},
            traded={name: Traded(*row) for name, row in zip(strategies, taken["traded"], strict=False)},
        )

    @property
    def balanced(self) -> bool:
        """Whether every account adds up, as it always does: said so that a test or an alarm can hold us to it."""
        strategies = [account for rows in (self.strategies, *self.by_feed.values()) for account in rows.values()]
        return all(feed.balanced for feed in self.feeds.values()) and all(one.balanced for one in strategies)


def _named(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, StrategyAccount]:
    # Before the run has begun there are names and no rows yet.
    return {name: StrategyAccount(**row) for name, row in zip(names, rows, strict=False)}
