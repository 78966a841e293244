"""The live feeds of a runtime: adapters that publish, and feeds that the program publishes into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tickrail.domain.instruments import merge_tables
from tickrail.errors import FeedError, WiringError
from tickrail.orchestration.feeds import Feed, FeedSettings
from tickrail.orchestration.replayed_feed import ReplayedFeed
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.market_data import LiveFeedPort

__all__ = ["LiveFeeds"]


class LiveFeeds:
    """What a configuration's live feeds are, from the bootstrap to the end of the run.

    Args:
        adapters: By the name of their feed, in the order of the tables.
        said: What the tables say of how the feeds are opened, by name; goes before what an adapter says.
    """

    def __init__(
        self,
        adapters: Mapping[str, LiveFeedPort] | None = None,
        said: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.adapters: dict[str, LiveFeedPort] = dict(adapters or {})
        self.said = dict(said or {})
        self.opened: dict[str, Feed] = {}

    def __bool__(self) -> bool:
        return bool(self.adapters)

    def table(self) -> dict[str, dict[str, Any]]:
        """Rows of the instruments that they bring, by id.

        Raises:
            DataError: Two of them say different things of one instrument.
        """
        return merge_tables((name, _rows(adapter)) for name, adapter in self.adapters.items())

    def open(self, name: str, dispatcher: TickDispatcher) -> None:
        """Open the feed of that name as its adapter wants it.

        Raises:
            WiringError: It cannot be opened so.
        """
        adapter = self.adapters[name]
        settings = {"instruments": tuple(adapter.instruments), **adapter.settings, **self.said.get(name, {})}
        try:
            self.opened[name] = dispatcher.live_feed(name, **settings)
        except (TypeError, ValueError) as error:
            raise WiringError(str(error)) from error

    def start(self, dispatcher: TickDispatcher) -> None:
        """Let the adapters publish: the run begins. Where all of them end by themselves, it ends with them."""
        for name, adapter in self.adapters.items():
            adapter.start(self.opened[name])
        if self.opened and all(_is_finite(self.adapters.get(name)) for name in self.opened):
            dispatcher.seal()

    def feed(self, dispatcher: TickDispatcher, name: str, settings: FeedSettings) -> Feed:
        """The feed of that name: one of the configuration, or a new one.

        Raises:
            FeedError: A feed of the configuration was asked for with settings of its own, or the run is a backtest.
        """
        if name not in self.opened:
            self.opened[name] = dispatcher.live_feed(name, **settings)
        elif settings:
            raise FeedError(
                f"the feed '{name}' is open already", hint="ask for it without settings, or say them in its table"
            )
        return self.opened[name]


def _is_finite(adapter: LiveFeedPort | None) -> bool:
    return isinstance(adapter, ReplayedFeed) or bool(getattr(adapter, "is_finite", False))


def _rows(adapter: LiveFeedPort) -> Iterable[Mapping[str, Any]]:
    if isinstance(adapter, ReplayedFeed):
        return adapter.instrument_table
    return [{"id": str(instrument)} for instrument in adapter.instruments]
