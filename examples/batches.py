"""Ticks by the batch, for numpy: one strategy looks at columns, and another trades on its own beside it.

Run it: ``python examples/batches.py``.
"""

import numpy as np

import tickrail
from tickrail import Strategy, Tick, TickBatch


class SpreadStatistics(Strategy):
    """The mean spread, in bounded memory whatever the length of the data."""

    def on_start(self) -> None:
        """Two sums say it all."""
        self.count = 0
        self.total = 0.0

    def on_batch(self, batch: TickBatch) -> None:
        """One call of numpy for some thousand ticks."""
        quotes = batch.quotes
        self.count += len(quotes)
        self.total += float(np.sum(quotes["ask"] - quotes["bid"]))


class BuyOnce(Strategy):
    """Buys at the first quote and holds."""

    def on_start(self) -> None:
        """Nothing bought yet."""
        self.bought = False

    def on_quote(self, tick: Tick) -> None:
        """Take part from the start."""
        if not self.bought:
            self.bought = True
            self.buy(tick.instrument, 1.0)


if __name__ == "__main__":
    statistics = SpreadStatistics()
    result = tickrail.backtest([statistics, BuyOnce()], tickrail.data.generate_ticks(100_000, seed=7))
    print(f"mean spread over {statistics.count:,} quotes: {statistics.total / statistics.count:.6f}")
    print(result.summary())
