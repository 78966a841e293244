"""Ticks to handlers and the merge of feeds: nanoseconds per tick, and the ratio to the yardstick."""

from benches.delivery import CASES, case

ROUNDS = 5


class Delivery:
    """Each case interleaved with its yardstick in one process."""

    params = [case.name for case in CASES]  # noqa: RUF012 - asv reads a list
    param_names = ("case",)
    timeout = 300

    def setup(self, name: str) -> None:
        self.comparison = case(name).compare(rounds=ROUNDS, ticks=1_000_000)

    def track_ratio(self, name: str) -> float:
        return self.comparison.ratio

    def track_ns_per_tick(self, name: str) -> float:
        return self.comparison.case_ns


Delivery.track_ratio.unit = "yardsticks"  # type: ignore[attr-defined]
Delivery.track_ns_per_tick.unit = "ns"  # type: ignore[attr-defined]
