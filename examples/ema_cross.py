"""The example strategy: run by ``make run`` through ``config/backtest``, and here on its own.

Run it: ``python examples/ema_cross.py``.
"""

import tickrail
from tickrail import Strategy, Tick


class EmaCross(Strategy):
    """Long while the fast average of the mid price is above the slow one, else flat."""

    fast: int = 20
    slow: int = 100
    quantity: float = 1.0

    def on_start(self) -> None:
        """Weights of the newest price, from the lengths of the averages."""
        self.a, self.b = 2 / (self.fast + 1), 2 / (self.slow + 1)
        self.x = self.y = 0.0
        self.wanted = 0.0

    def on_quote(self, tick: Tick) -> None:
        """Follow both averages; say what is wanted only when it changes."""
        mid = tick.mid
        self.x = self.x + self.a * (mid - self.x) if self.x else mid
        self.y = self.y + self.b * (mid - self.y) if self.y else mid
        wanted = self.quantity if self.x > self.y else 0.0
        if wanted != self.wanted:
            self.wanted = wanted
            self.target(tick.instrument, wanted)


if __name__ == "__main__":
    result = tickrail.backtest(EmaCross(fast=15), tickrail.data.generate_ticks(100_000, seed=7))
    print(result.summary())
