"""What the table of a feed says of its delivery, against what its adapter is and says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from tickrail.config.models import FeedConfig, RuntimeConfig
from tickrail.ports.market_data import LiveFeedPort

__all__ = ["Finding", "delivery_problems", "sim_clock_problems"]

#: Slots of a publisher's ring where nobody says otherwise; as in ``TickDispatcher.live_feed``.
CAPACITY: Final = 8_192


class Finding(NamedTuple):
    """What is wrong with a key of the table, and what was expected."""

    key: str
    message: str
    expected: str | None = None


def delivery_problems(feed: FeedConfig, adapter_settings: Mapping[str, Any]) -> Iterator[Finding]:
    """What does not fit together of a live feed.

    Args:
        feed: Its table.
        adapter_settings: How its adapter would have it opened.
    """
    said = feed.delivery()
    for key in said:
        if key in feed.options:
            yield Finding(key, f"is said in options.{key} too", "it once, here")
    settings = {**adapter_settings, **said}
    names = ("capacity", "high_watermark", "low_watermark")
    capacity, high, low = (settings.get(name, default) for name, default in zip(names, (CAPACITY, 0, 0), strict=True))
    if not all(isinstance(one, int) for one in (capacity, high, low)):
        return  # an adapter says what is no number: opening the feed will tell
    if "capacity" in said and capacity & (capacity - 1):
        yield Finding("capacity", f"{capacity} is no power of two", f"{1 << capacity.bit_length()}, or half of that")
        return
    if "high_watermark" in said and high > capacity:
        yield Finding("high_watermark", f"{high} records never wait in a ring of {capacity}", f"at most {capacity}")
    if said.keys() & {"high_watermark", "low_watermark"} and (high or low) and low >= high:
        key = "low_watermark" if "low_watermark" in said else "high_watermark"
        yield Finding(key, f"low_watermark {low} is not below high_watermark {high}", "low below high")


def sim_clock_problems(
    config: RuntimeConfig, live: Mapping[str, LiveFeedPort]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Why live feeds cannot bring the clock of the run: the place, what is wrong, and what was expected."""
    if len(live) > 1:
        yield (
            ("runtime", "clock"),
            f"is 'sim', while {len(live)} feeds are live",
            "one of them: its times are the clock",
        )
    for name, adapter in live.items():
        if adapter.settings.get("receipt") != "given":
            message = "does not bring the times at which its records were received, while runtime.clock is 'sim'"
            yield (
                ("feeds", name, "adapter"),
                message,
                "an adapter of recordings, such as 'binance' with receipts = true",
            )
    for key, wanted in (("order_by", "ts_init"), ("digest", "full")):
        if getattr(config.runtime, key) != wanted:
            yield ("runtime", key), f"is '{getattr(config.runtime, key)}', while runtime.clock is 'sim'", f"'{wanted}'"
