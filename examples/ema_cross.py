"""A moving-average cross on the mid price: the example of the README and of ``config/base``.

Run it by itself, or by ``tickrail run --env backtest``.
"""

from tickrail import Strategy, Tick


class EmaCross(Strategy):
    """Long while the fast average of the mid price is above the slow one, else flat."""

    fast: int = 20
    slow: int = 100
    quantity: float = 1.0

    def on_start(self) -> None:
        """Begin without a price."""
        self.a, self.b = 2 / (self.fast + 1), 2 / (self.slow + 1)
        self.x = self.y = 0.0

    def on_quote(self, tick: Tick) -> None:
        """Follow the mid price with both averages, and hold what they say."""
        mid = tick.mid
        self.x = self.x + self.a * (mid - self.x) if self.x else mid
        self.y = self.y + self.b * (mid - self.y) if self.y else mid
        self.target(tick.instrument, self.quantity if self.x > self.y else 0.0)


if __name__ == "__main__":
    import tickrail
    from tickrail.data.generator import generate_ticks

    print(tickrail.backtest(EmaCross(), generate_ticks(200_000, seed=7), fee_rate=0.00002).summary())
