"""Recorded ticks published into a live run at the pace at which they came, or a multiple of it."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import numpy as np

from tickrail._native import TickArray
from tickrail.errors import FeedClosed, FeedError, ParameterError, PublishError, RingFull, TickrailError
from tickrail.orchestration.feeds import Feed, Publisher

__all__ = ["PacedReplay", "Speed"]

Speed: TypeAlias = "float | Literal['max']"
"""1.0 is real time, 10.0 ten times as fast, ``"max"`` as fast as the loop takes it."""

#: Most ticks that are published at once: a stop waits for no more than that.
MOST_AT_ONCE: Final = 1_024
NS: Final = 1_000_000_000


class PacedReplay:
    """A thread that publishes ``ticks`` into ``feed``: each when its time has come, counted from the first one's.

    Times are counted from the beginning, so that no lateness adds up. Where the loop is slower than the replay, the
    feed's policy says what happens; under ``block`` ticks come later, and the replay catches up once it can.

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
        self._thread.start()
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
                for first, end in self._due():
                    self._publish(publisher, first, end)
        except FeedClosed:
            pass  # the run is over, which is how most replays end that are longer than it
        except (FeedError, PublishError) as error:
            self.error = error

    def _publish(self, publisher: Publisher, first: int, end: int) -> None:
        with suppress(RingFull):  # the policy is to reject: the feed's account says how many
            publisher.publish(self._ticks[first:end])
        self.published = end

    def _due(self) -> _Stretches:
        keys = self._ticks.numpy()[self._ticks.order_by]
        return _Stretches(self, keys)


class _Stretches:
    """Ranges of ticks, each when its time has come."""

    def __init__(self, replay: PacedReplay, keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self._replay = replay
        self._keys = keys
        self._next = 0
        self._began = time.monotonic()

    def __iter__(self) -> _Stretches:
        return self

    def __next__(self) -> tuple[int, int]:
        replay, first = self._replay, self._next
        if first == len(self._keys) or replay._stop.is_set():
            raise StopIteration
        end = len(self._keys) if replay._speed == "max" else self._wait_for(first, float(replay._speed))
        if end == first:
            raise StopIteration
        self._next = min(end, first + MOST_AT_ONCE)
        return first, self._next

    def _wait_for(self, first: int, speed: float) -> int:
        """The end of what is due, once something is; ``first`` after a stop."""
        while True:
            elapsed_s = time.monotonic() - self._began
            behind_s = elapsed_s - (int(self._keys[first]) - int(self._keys[0])) / NS / speed
            if behind_s >= 0:
                self._replay._latest_s = max(self._replay._latest_s, behind_s)
                due = int(self._keys[0]) + int(elapsed_s * speed * NS)
                return max(first + 1, int(np.searchsorted(self._keys, due, side="right")))
            if self._replay._stop.wait(-behind_s):
                return first
