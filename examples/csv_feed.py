"""A complete adapter: a feed of quotes from lines ``time,bid,ask``, and the suite that holds it to its port.

A configuration names it, with ``adapter_prefixes = ["examples"]``::

    [feeds.lines]
    adapter = "examples.csv_feed:LineFeed"
    path = "data/quotes.csv"
    options = { instrument = "EURUSD.SIM" }
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tickrail import QUOTE_DTYPE, TickArray
from tickrail.errors import DataError
from tickrail.testing.conformance import FeedSuite


class LineFeed:
    """Quotes of one instrument from a text file; times are int ns UTC and never decrease.

    Args:
        name: Id of the table in the configuration.
        path: The file.
        instrument: What is quoted.
    """

    def __init__(self, *, name: str, path: Path, instrument: str) -> None:
        self.name = name
        self.path = path
        self.instrument = instrument

    def open(self) -> TickArray:
        """Read all of it."""
        try:
            times, bids, asks = np.loadtxt(self.path, delimiter=",", dtype=np.float64, ndmin=2, unpack=True)
        except (OSError, ValueError) as error:
            raise DataError(f"feed {self.name}: {self.path} cannot be read: {error}") from error
        records = np.zeros(len(times), QUOTE_DTYPE)
        records["ts_event"] = records["ts_init"] = times.astype(np.int64)
        records["kind"], records["bid"], records["ask"] = 1, bids, asks
        return TickArray.from_records(records, [self.instrument])

    def close(self) -> None:
        """Nothing is held."""


class TestLineFeed(FeedSuite):
    """What pytest runs."""

    def make(self) -> LineFeed:
        """A feed of three lines."""
        path = Path("quotes.csv")
        path.write_text("1000,1.10,1.11\n2000,1.11,1.12\n3000,1.10,1.11\n")
        return LineFeed(name="lines", path=path, instrument="EURUSD.SIM")


if __name__ == "__main__":
    feed = TestLineFeed().make()
    print(f"{len(feed.open())} quotes")
