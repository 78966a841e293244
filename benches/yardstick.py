"""The yardstick: what plain Python pays to call a handler, in the same process and the same rounds as the case."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

ROUNDS = 11  # odd, so that the median is one of the rounds


@dataclass(frozen=True)
class Work:
    """Something to time and the number of items it goes through."""

    run: Callable[[], object]
    items: int


@dataclass(frozen=True)
class Comparison:
    """Nanoseconds per item of a case and its yardstick, and the ratios of the rounds."""

    case_ns: float
    yardstick_ns: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios; not the ratio of the medians, which noise moves more."""
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The middle half of the ratios: how far to trust the median."""
        if len(self.ratios) < 3:
            return min(self.ratios), max(self.ratios)
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


def loop(handlers: Sequence[Callable[[Any], object]], prebuilt: Iterable[Any]) -> Callable[[], None]:
    """The yardstick itself; with several handlers each tick goes to each, in turn."""
    if len(handlers) == 1:
        return _single(handlers[0], prebuilt)

    def each() -> None:
        for t in prebuilt:
            for handler in handlers:
                handler(t)

    return each


def _single(handler: Callable[[Any], object], prebuilt: Iterable[Any]) -> Callable[[], None]:
    def one() -> None:
        for t in prebuilt:
            handler(t)

    return one


def nanoseconds_per_item(work: Work) -> float:
    start = time.perf_counter_ns()
    work.run()
    return (time.perf_counter_ns() - start) / work.items


def interleave(case: Work, yardstick: Work, *, rounds: int = ROUNDS) -> Comparison:
    """Time both in turn, the first of a round changing from round to round, after one round that does not count."""
    cases: list[float] = []
    yardsticks: list[float] = []
    gc.collect()
    gc.disable()
    try:
        for number in range(-1, rounds):
            pair = [(cases, case), (yardsticks, yardstick)]
            for figures, work in pair if number % 2 else reversed(pair):
                figure = nanoseconds_per_item(work)
                if number >= 0:
                    figures.append(figure)
    finally:
        gc.enable()
    ratios = tuple(mine / theirs for mine, theirs in zip(cases, yardsticks, strict=True))
    return Comparison(statistics.median(cases), statistics.median(yardsticks), ratios)
