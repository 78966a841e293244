"""What a configuration names and the installation or the disk lacks: adapters, files, venues. All of it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from tickrail.config.loader import LoadedConfig
from tickrail.config.origins import format_path, near_miss
from tickrail.errors import Problem

__all__ = ["presence_problems"]

#: Files of a folder that are looked through for the one that was meant: a folder of data may hold very many.
MOST_NEIGHBOURS: Final = 1_000


def presence_problems(
    loaded: LoadedConfig,
    *,
    feed_adapters: Collection[str],
    venue_adapters: Collection[str],
    enforced: Collection[str] = (),
) -> list[Problem]:
    """Whatever is named and is not there.

    Args:
        loaded: The configuration.
        feed_adapters: Names of the adapters that feeds can have.
        venue_adapters: Names of the adapters that venues can have.
        enforced: Keys of limits that this runtime enforces.
    """
    return [
        *_nothing_to_run(loaded),
        *_feeds(loaded, feed_adapters),
        *_venues(loaded, venue_adapters),
        *_routes(loaded),
        *_limits(loaded, enforced),
    ]


def _nothing_to_run(loaded: LoadedConfig) -> Iterator[Problem]:
    place = f"{loaded.shown_root / loaded.env}"
    if not loaded.config.feeds:
        yield Problem("feeds", place, "there is no feed", "a table [feeds.ID]")
    if not any(strategy.enabled for strategy in loaded.config.strategies.values()):
        yield Problem("strategies", place, "there is no strategy that is enabled", "a table [strategies.ID]")


def _feeds(loaded: LoadedConfig, adapters: Collection[str]) -> Iterator[Problem]:
    for name, feed in loaded.config.feeds.items():
        if feed.adapter not in adapters and ":" not in feed.adapter:
            yield _unknown_adapter(loaded, ("feeds", name, "adapter"), feed.adapter, adapters)
        elif feed.adapter == "ticks" and feed.path is None:
            yield loaded.problem(format_path(("feeds", name, "path")), "missing", expected="the path of a tick file")
        elif feed.path is not None and not feed.path.is_file():
            wrong = "is no file" if feed.path.exists() else "no such file"
            path = format_path(("feeds", name, "path"))
            yield loaded.problem(path, f"{wrong}: {feed.path}", near_miss=_neighbour(feed.path))
        if feed.start is not None and feed.end is not None and feed.start >= feed.end:
            yield loaded.problem(format_path(("feeds", name, "end")), "not after the start", expected="a later time")


def _neighbour(path: Path) -> str | None:
    """The file that was probably meant: one of the same folder."""
    try:
        names = sorted(other.name for other in islice(path.parent.iterdir(), MOST_NEIGHBOURS) if other.is_file())
    except OSError:
        return None
    return near_miss(path.name, names)


def _venues(loaded: LoadedConfig, adapters: Collection[str]) -> Iterator[Problem]:
    for name, venue in loaded.config.venues.items():
        if venue.adapter not in adapters and ":" not in venue.adapter:
            yield _unknown_adapter(loaded, ("venues", name, "adapter"), venue.adapter, adapters)


def _routes(loaded: LoadedConfig) -> Iterator[Problem]:
    """Instruments of strategies whose venue has no table."""
    venues = loaded.config.venues
    for name, strategy in loaded.config.strategies.items():
        named = () if strategy.instruments == "*" or not strategy.enabled else strategy.instruments
        for venue in dict.fromkeys(instrument.rpartition(".")[2] for instrument in named):
            if venue not in venues:
                path, meant = format_path(("strategies", name, "instruments")), near_miss(venue, venues)
                yield loaded.problem(path, f"no venue '{venue}'", expected=f"a table [venues.{venue}]", near_miss=meant)


def _limits(loaded: LoadedConfig, enforced: Collection[str]) -> Iterator[Problem]:
    """Limits on nobody, and limits that nothing enforces: one that is only written down would be believed."""
    for name, limit in loaded.config.limits.items():
        for strategy in () if limit.strategies == "*" else limit.strategies:
            if strategy not in loaded.config.strategies:
                path = format_path(("limits", name, "strategies"))
                meant = near_miss(strategy, loaded.config.strategies)
                yield loaded.problem(
                    path, f"no strategy '{strategy}'", expected="an id of [strategies]", near_miss=meant
                )
        for key in sorted(limit.model_fields_set - {"strategies", "instruments"}):
            if key not in enforced and getattr(limit, key) is not None:
                path = format_path(("limits", name, key))
                yield loaded.problem(path, "nothing in this installation enforces it", expected="no such limit")


def _unknown_adapter(loaded: LoadedConfig, path: tuple[str, ...], adapter: str, known: Collection[str]) -> Problem:
    expected = "one of " + ", ".join(sorted(known))
    return loaded.problem(
        format_path(path),
        f"no adapter '{adapter}' in this installation",
        expected=expected,
        near_miss=near_miss(adapter, known),
    )
