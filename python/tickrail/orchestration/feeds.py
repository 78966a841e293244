"""Feeds of a live run, and the publishers that bring records into them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, TypedDict
from weakref import WeakKeyDictionary, WeakSet

from tickrail._native import FeedCore, FeedEvent, InstrumentId, PublisherCore
from tickrail.errors import FeedError, PublishError, WouldDeadlock, WrongThread

if TYPE_CHECKING:  # loaded where something is asyncio: most runs are not
    import asyncio

__all__ = [
    "Backwards",
    "DeliverySettings",
    "Feed",
    "FeedFailures",
    "FeedSettings",
    "Numbering",
    "Policy",
    "Publisher",
    "RatePolicy",
    "Receipt",
    "Trades",
    "feed_settings",
    "refuse_own_loop",
    "taken_out",
]

Policy: TypeAlias = Literal["block", "reject", "drop_newest", "drop_oldest", "conflate"]
Trades: TypeAlias = Literal["keep", "sum", "drop"]
Backwards: TypeAlias = Literal["pass", "reject", "reorder"]
RatePolicy: TypeAlias = Literal["reject", "wait"]
Receipt: TypeAlias = Literal["now", "given"]
Numbering: TypeAlias = Literal["ignored", "by_instrument", "by_publisher"]


class DeliverySettings(TypedDict, total=False):
    """How a feed delivers; see ``TickDispatcher.live_feed``."""

    policy: Policy
    capacity: int
    timeout_s: float
    trades: Trades
    backwards: Backwards
    reorder_ns: int
    numbering: Numbering
    stale_after_ns: int
    rate_limit: int
    rate_policy: RatePolicy
    high_watermark: int
    low_watermark: int
    receipt: Receipt


class FeedSettings(DeliverySettings, total=False):
    """What a feed can be opened with."""

    on_event: Callable[[FeedEvent], object] | None
    instruments: Sequence[InstrumentId | str]


class Feed:
    """A feed of a live run; opened by ``LiveRun.feed`` or ``Runtime.feed``.

    Thread safety: any thread.
    """

    def __init__(self, core: FeedCore, failures: FeedFailures) -> None:
        self._core, self._failures = core, failures

    def fail(self, error: BaseException) -> None:
        """Say that the source is gone for good, which no reconnection mends: the run is stopped in order, as a failure.

        Its status is ``failed`` and its ``stop_reason`` names this feed and the first ``error``; the others' records
        arrive, orders and positions end by their rules. Nothing can be published into this feed any more.
        """
        self._failures.note(self.name, error)
        self.close()

    def publisher(self) -> Publisher:
        """Open a publisher: a stream of records with a ring of its own, for one thread or one event loop.

        Raises:
            FeedClosed: The feed is closed, or the run is over.
            FeedError: The run has as many publishers as it takes.
        """
        return Publisher(self._core)

    @property
    def instruments(self) -> tuple[str, ...]:
        """Ids of the run's instruments, in the order of its table: arrays that are published count through them."""
        return tuple(self._core.instruments)

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def policy(self) -> str:
        """What happens to a record for which there is no slot."""
        return self._core.policy

    @property
    def capacity(self) -> int:
        """Slots of each publisher's ring."""
        return self._core.capacity

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be published any more."""
        return self._core.is_closed

    def close(self) -> None:
        """Take no more records; what was published still arrives. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        return f"Feed({self.name!r}, policy={self.policy!r}, capacity={self.capacity})"


class FeedFailures:
    """The first feed of a run whose source is gone for good.

    Args:
        request_stop: Stops the run.

    Thread safety: any thread.
    """

    def __init__(self, request_stop: Callable[[], object]) -> None:
        self._request_stop = request_stop
        self._first: list[tuple[str, BaseException]] = []

    def note(self, feed: str, error: BaseException) -> None:
        """The source of ``feed`` is gone."""
        self._first.append((feed, error))  # of several the first counts, whichever thread it came from
        self._request_stop()

    @property
    def cause(self) -> FeedError | None:
        """What has stopped the run."""
        if not self._first:
            return None
        feed, error = self._first[0]
        said = FeedError(f"feed '{feed}' has failed: {type(error).__name__}: {error}")
        said.__cause__ = error
        return said


class Publisher(PublisherCore):
    """Brings records into a feed; ``with feed.publisher() as publisher`` closes it at the end.

    Belongs to the first thread that publishes, until ``release`` or until that thread ends; elsewhere calls raise
    ``WrongThread``. In a coroutine the asynchronous twins wait without keeping the event loop from anything else.

    Records keep their order: while an asynchronous call waits, and after ``offer`` was ``False`` until ``drained``,
    calls that would overtake it raise ``PublishError``.
    """

    def __init__(self, feed: FeedCore) -> None:
        self._feed = feed
        self._turn: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def publish_async(
        self,
        data: Any,
        *,
        kind: str | None = None,
        columns: Mapping[str, str] | None = None,
        instrument: str | None = None,
        time_unit: str | None = None,
    ) -> None:
        """Publish many records; as ``publish``, for a coroutine. Several calls at once follow one another."""
        async with self._one_by_one():
            if not self._stage(data, kind=kind, columns=columns, instrument=instrument, time_unit=time_unit):
                await self._bring()

    async def publish_quote_async(
        self,
        instrument: InstrumentId | str,
        bid: float,
        ask: float,
        bid_size: float = float("nan"),
        ask_size: float = float("nan"),
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> None:
        """Publish one quote; as ``publish_quote``, for a coroutine."""
        async with self._one_by_one():
            is_in = self._stage_quote(
                instrument, bid, ask, bid_size, ask_size, ts_event=ts_event, sequence=sequence, flags=flags
            )
            if not is_in:
                await self._bring()

    async def publish_trade_async(
        self,
        instrument: InstrumentId | str,
        price: float,
        size: float = float("nan"),
        side: str = "NONE",
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> None:
        """Publish one trade; as ``publish_trade``, for a coroutine."""
        async with self._one_by_one():
            is_in = self._stage_trade(instrument, price, size, side, ts_event=ts_event, sequence=sequence, flags=flags)
            if not is_in:
                await self._bring()

    def offer(self, data: Any) -> bool:
        """Publish many records without waiting; whether all are in. If not, await ``drained`` before the next call.

        Raises:
            PublishError: Those of the call before are not in yet; nothing of ``data`` was taken or counted.
        """
        return self._stage(data)

    async def drained(self) -> None:
        """Wait, without keeping the event loop, until what was offered is in.

        Raises:
            RingFull: The feed's policy is ``reject``, and there is no slot.
            PublishTimeout: Under ``block`` no slot became free in time.
            FeedClosed: The feed or the publisher is closed, or the run is over.
        """
        if not self._offer():
            await self._bring()

    def _one_by_one(self) -> asyncio.Lock:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._turn is None or self._loop is not loop:  # whoever waited in a loop of before has gone with it
            self._turn, self._loop = asyncio.Lock(), loop
            _of_loop.setdefault(loop, WeakSet()).add(self)
        return self._turn

    async def _bring(self) -> None:
        """Wait for slots, and bring what is staged; a wait that does not come to its end gives up what is not in."""
        begun = time.monotonic()
        end = begun + self._patience_s()
        try:
            while not self._offer():
                turn_s = self._turn_s()
                if self.is_closed or time.monotonic() >= end or (turn_s is not None and turn_s < 0):
                    self._give_up()  # raises
                if turn_s is None:
                    await self._free(end)
                else:
                    await self._turn_comes(min(turn_s, end - time.monotonic()))
        except PublishError:
            raise
        except BaseException as error:  # cancelled, or its coroutine closed
            try:
                self._give_up()
            except PublishError as given_up:
                error.add_note(given_up.message)
            except WrongThread:  # collected on another thread: the publisher's end counts them
                pass
            raise
        finally:
            with suppress(WrongThread):
                self._waited(time.monotonic() - begun)

    async def _turn_comes(self, seconds: float) -> None:
        """Wait until the feed's rate lets a record through, for a while."""
        import asyncio

        await asyncio.sleep(max(0.0, min(seconds, LONGEST_S)))

    async def _free(self, end: float) -> None:
        """Wait until there may be slots, for a while."""
        import asyncio

        loop = asyncio.get_running_loop()
        free = loop.create_future()
        descriptor = self._arm()
        loop.add_reader(descriptor, _settle, free)
        try:
            # Between the last look and the arming slots may have become free.
            if not self._offer():
                await asyncio.wait([free], timeout=max(0.0, min(end - time.monotonic(), LONGEST_S)))
        finally:
            loop.remove_reader(descriptor)
            free.cancel()
            with suppress(WrongThread):
                self._clear()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"Publisher(feed={self._feed.name!r}, policy={self._feed.policy!r}, {state})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Publisher]] = WeakKeyDictionary()
"""Publishers that coroutines of an event loop use; each set is touched by the thread of its loop alone."""


def refuse_own_loop() -> None:
    """Refuse to keep the event loop that runs on this thread from coroutines that publish: who waits for them hangs.

    Raises:
        WouldDeadlock: It has open publishers.
    """
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is not None and any(not one.is_closed for one in _of_loop.get(loop, ())):
        raise WouldDeadlock(
            "a live run would keep this thread's event loop from the coroutines that publish into its feeds",
            hint="await runtime.run_async(), or asyncio.to_thread(run.run)",
        )


def taken_out(
    name: str, settings: FeedSettings
) -> tuple[list[InstrumentId | str], Callable[[FeedEvent], object] | None]:
    """What a feed is about and who is told of it, taken out of ``settings``: the rest is how it delivers.

    Raises:
        ValueError: One of them, or ``name``, is none.
    """
    instruments, on_event = settings.pop("instruments", ()), settings.pop("on_event", None)
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"a feed's name is {name!r}: expected printable text")
    if isinstance(instruments, str):
        raise ValueError(f"instruments is {instruments!r}: expected a sequence of them, such as [{instruments!r}]")
    if on_event is not None and not callable(on_event):
        raise ValueError(f"on_event is {on_event!r}: expected something to call with each FeedEvent")
    return list(instruments), on_event


def feed_settings(
    *,
    policy: Policy = "block",
    capacity: int = 8_192,
    timeout_s: float = 5.0,
    trades: Trades = "keep",
    backwards: Backwards = "pass",
    reorder_ns: int = 0,
    numbering: Numbering = "ignored",
    stale_after_ns: int = 0,
    rate_limit: int = 0,
    rate_policy: RatePolicy = "reject",
    high_watermark: int = 0,
    low_watermark: int = 0,
    receipt: Receipt = "now",
) -> dict[str, Any]:
    """What the native feed is opened with.

    Raises:
        ValueError: A number is none or out of its range, a word is none, or ``reorder`` has no window.
    """
    said = dict(locals())
    for name, most in MOST.items():
        value = said[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{name} is {value!r}: expected a whole number, 0 to {most}")
    for name in WORDS:
        if not isinstance(said[name], str):
            raise ValueError(f"{name} is {said[name]!r}: expected a word")
    if backwards == "reorder" and reorder_ns == 0:
        raise ValueError("backwards is 'reorder', which wants a window: reorder_ns, above 0")
    return said


#: The largest that each number may be; the core has narrower bounds of its own for some.
MOST: Final = {
    "capacity": 1 << 40,
    "reorder_ns": (1 << 63) - 1,
    "stale_after_ns": (1 << 63) - 1,
    "rate_limit": (1 << 32) - 1,
    "high_watermark": 1 << 40,
    "low_watermark": 1 << 40,
}
WORDS: Final = ("policy", "trades", "backwards", "numbering", "rate_policy", "receipt")

#: Longest wait without a look at whether the feed was closed.
LONGEST_S: Final = 0.1


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
