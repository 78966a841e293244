"""Recorded ticks published into a live run at the pace at which they came, or a multiple of it."""

from __future__ import annotations

import math
import os
import threading
from typing import Final, Literal, TypeAlias

from tickrail._native import TickArray
from tickrail.domain.threads import begin
from tickrail.errors import FeedClosed, FeedError, ParameterError, PublishError, TickrailError
from tickrail.orchestration.feeds import Feed, Publisher

__all__ = ["PacedReplay", "Speed"]

Speed: TypeAlias = "float | Literal['max']"
"""1.0 is real time, 10.0 ten times as fast, ``"max"`` as fast as the loop takes it."""

#: Longest time without a look at whether to stop.
SLICE_S: Final = 0.05
NS: Final = 1_000_000_000


class PacedReplay:
    """A thread that publishes ``ticks`` into ``feed``: each when its time has come, counted from the first one's.

    Times are counted from the beginning, so that no lateness adds up. Sleeps end some 50 us late, so waits of less than
    60 us are looked out, where there is more than one processor. Where the loop is slower than the replay, the feed's
    policy says what happens; under ``block`` ticks come later, and the replay catches up once it can.

    Args:
        feed: A feed of a live run with the instruments of ``ticks``.
        ticks: What is published, in its order, by the time that orders it.
        speed: A multiple of real time, or ``"max"``.

    Raises:
        ParameterError: ``speed`` is none.
    """

    def __init__(self, feed: Feed, ticks: TickArray, *, speed: Speed = 1.0) -> None:
        if speed != "max" and not (
            isinstance(speed, int | float) and not isinstance(speed, bool) and math.isfinite(speed) and speed > 0
        ):
            raise ParameterError(f"speed is {speed!r}; expected a number above zero, or 'max'")
        self.published = 0
        self.error: TickrailError | None = None
        self._feed = feed
        self._publisher: Publisher | None = None
        self._ticks = ticks
        self._speed = speed
        self._stop = threading.Event()
        self._latest_s = 0.0
        # once, and here: the thread may be given a processor of its own later
        self._looks = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) > 1
        self._thread = threading.Thread(target=self._serve, name=f"tickrail-replay-{feed.name}", daemon=True)

    @property
    def lateness_s(self) -> float:
        """How far the replay was behind its pace at most, seconds of real time."""
        return self._latest_s

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def start(self) -> PacedReplay:
        """Begin; the first tick is published at once.

        The publisher is opened here, not by the thread: whoever seals the run after this does not shut it out.
        """
        try:
            self._publisher = self._feed.publisher()
        except FeedClosed:
            pass  # the run is over: the thread has nothing to do
        except FeedError as error:
            self.error = error
        begin(self._thread)
        return self

    def stop(self) -> None:
        """Publish no more, from now on. Any thread, idempotent."""
        self._stop.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; whether it came in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        if self._publisher is None:
            return
        try:
            with self._publisher as publisher:
                self._play(publisher)
        except FeedClosed:
            pass  # the run is over, which is how most replays end that are longer than it
        except (FeedError, PublishError) as error:
            self.error = error

    def _play(self, publisher: Publisher) -> None:
        """In slices, natively and without the GIL; between them is the place to stop."""
        speed = math.inf if self._speed == "max" else float(self._speed)
        position, began_ns, late_ns = 0, 0, 0
        while position < len(self._ticks) and not self._stop.is_set():
            position, began_ns, late_ns = publisher._play(self._ticks, position, began_ns, speed, SLICE_S, self._looks)
            self.published = position
            self._latest_s = max(self._latest_s, late_ns / NS)
