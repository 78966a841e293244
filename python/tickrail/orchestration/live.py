"""``open_live``: runs over feeds that are published into, without configuration files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from tickrail._native import FeedEvent, InstrumentId, Recorder, TickArray
from tickrail.domain.account_terms import AccountTerms
from tickrail.domain.lanes import Lane
from tickrail.domain.venue_terms import InstrumentTerms, VenueTerms
from tickrail.errors import IllegalTransition
from tickrail.orchestration.backtest import (
    PULL,
    Instruments,
    PullRun,
    PullStrategy,
    Strategies,
    config_digest,
    named_strategies,
    run_settings,
    run_to_result,
)
from tickrail.orchestration.commanded import PATIENCE_S
from tickrail.orchestration.feeds import Backwards, Feed, Numbering, Policy, RatePolicy, Receipt, Trades
from tickrail.orchestration.lane_check import check_names
from tickrail.orchestration.replay import PacedReplay, Speed
from tickrail.orchestration.tick_dispatcher import DigestMode, Progress, TickDispatcher, WhenLagging
from tickrail.orchestration.trading import Limits, Trading
from tickrail.ports.execution import AsyncExecutionPort, ExecutionPort

if TYPE_CHECKING:
    from tickrail.report.accounts import Accounts
    from tickrail.report.result import Result
    from tickrail.report.stats import RuntimeStats

__all__ = ["LiveRun", "Wait", "open_live", "switch_interval"]

Wait: TypeAlias = Literal["spin_then_park", "park", "yield", "spin", "spin_held"]

#: Records that the loop takes from one publisher at once.
SLICE_TICKS: Final = 256
#: Ticks between two that are measured: it costs below half a nanosecond a tick then.
SAMPLE_EVERY: Final = 256
#: How soon a thread that wants the GIL asks for it, in a live run: with the interpreter's 5 ms a loop that wakes up
#: waits 5.1 ms for it while one other thread computes, with this 0.15 ms.
SWITCH_INTERVAL_S: Final = 5e-5
LONGEST_SWITCH_INTERVAL_S: Final = 1.0
#: Slots of the ring from which a recording is taken.
RECORDING_SLOTS: Final = 65_536
#: Most records of a recording: 4 GiB.
RECORDING_MOST: Final = 1 << 26


def open_live(
    strategies: Strategies,
    instruments: Iterable[InstrumentId | str | Mapping[str, Any]],
    *,
    subscribed: Instruments = None,
    fee_rate: float = 0.0,
    venue: VenueTerms | Mapping[str, VenueTerms] | None = None,
    terms: Mapping[str, InstrumentTerms] | None = None,
    account: AccountTerms | None = None,
    limits: Limits = None,
    execution: Mapping[str, ExecutionPort | AsyncExecutionPort] | None = None,
    run_id: str | None = None,
    seed: int = 0,
    digest: DigestMode = "events",
    wait: Wait = "spin_then_park",
    slice_ticks: int = SLICE_TICKS,
    max_ticks: int = 4_096,
    window_ns: int = 0,
    max_lag_records: int = 0,
    max_lag_ns: int = 0,
    when_lagging: WhenLagging = "skip_to_latest",
    lanes: Mapping[str, Lane] | None = None,
    switch_interval_s: float | None = SWITCH_INTERVAL_S,
    always_fresh: bool = False,
    sample_every: int = SAMPLE_EVERY,
) -> LiveRun:
    """Open a run over feeds that threads, coroutines and sockets publish into.

    Args:
        strategies: One, a list (named by their classes), or a dict by name; ticks reach them in this order.
        instruments: The run's table: ids, or mappings with ``id`` and what else is known.
        subscribed: What the strategies receive; ``None`` is everything.
        fee_rate: Fee of the simulated venue as a fraction of the notional.
        venue: How the simulated venue behaves, or a dict by venue; has its own fees.
        terms: What orders of an instrument are held to, by instrument.
        account: Capital, leverage, and the currency in which amounts are added.
        limits: What orders may not go beyond, or several of them by name; refused orders are REJECTED with the reason.
        execution: Venues outside of the process, by name: adapters that orders of their instruments go to.
        run_id: Enters the names that orders have there; ``None`` makes one of the time.
        seed: Enters the run digest.
        digest: ``events`` covers the order taken, ``full`` every record.
        wait: How the loop waits for records. ``spin_then_park`` looks for 20 us and then sleeps (waking it takes
            15-30 us), but stays awake where records come 10,000 times a second and more; ``spin`` and ``yield`` never
            sleep and want a processor of their own; ``spin_held`` looks for 50 us with the GIL held, for feeds that
            are native threads. With one processor all sleep at once.
        slice_ticks: Most records that are taken from one publisher before the next has its turn.
        max_ticks: Most ticks of a batch, for classes with ``on_batch``; it also ends when nothing more has arrived.
        window_ns: Time span of a batch, aligned to the epoch; 0 is none.
        max_lag_records: Most records that may wait in a publisher's ring, else ``when_lagging`` holds; 0 is no limit.
        max_lag_ns: Longest time that the next record may have waited; 0 is no limit.
        when_lagging: What becomes of a strategy's records beyond that: ``skip_to_latest``, ``conflate``, or it fails
            (``fail``).
        lanes: Which compiled strategies, by name, have their handlers called on a thread of their own.
        switch_interval_s: ``sys.setswitchinterval`` while the run goes on; ``None`` leaves it as it is.
        always_fresh: Hand out a new object for each tick, kept or not; never changes a result.
        sample_every: Measure on each so-manyth tick, rounded up to a power of two; 0 measures nothing.

    Returns:
        A run with no feed yet: ``run.feed(...)`` opens one, ``run.run()`` runs until all have ended or it is stopped.
    """
    if switch_interval_s is not None and not 0.0 < switch_interval_s <= LONGEST_SWITCH_INTERVAL_S:
        message = (
            f"switch_interval_s is {switch_interval_s!r}: expected seconds, above 0 to {LONGEST_SWITCH_INTERVAL_S}"
        )
        raise ValueError(message)
    named = named_strategies(strategies)
    edges = {"max_ticks": max_ticks, "window_ns": window_ns}
    settings = run_settings(named, subscribed, {"fee_rate": fee_rate, "seed": seed, **edges})
    trading = Trading(fee_rate, venue, terms, account, limits)
    rows = trading.rows({str(row["id"]): row for row in _rows(instruments)})
    settings |= trading.settings()
    check_names(lanes, named)
    dispatcher = TickDispatcher(
        rows,
        digest=digest,
        seed=seed,
        config_digest=config_digest(settings),
        slice_ticks=slice_ticks,
        always_fresh=always_fresh,
        sample_every=sample_every,
        live=wait,
        venues=trading.venues,
        account=trading.account,
        run_id=run_id,
    )
    for name, strategy in named.items():
        dispatcher.register(
            strategy,
            name,
            instruments=subscribed,
            max_ticks=max_ticks,
            window_ns=window_ns,
            max_lag_records=max_lag_records,
            max_lag_ns=max_lag_ns,
            when_lagging=when_lagging,
            lane=(lanes or {}).get(name),
        )
    trading.bind(dispatcher)
    if execution:
        dispatcher.send_away(execution)
    return LiveRun(dispatcher, settings, switch_interval_s)


def _rows(instruments: Iterable[InstrumentId | str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) if isinstance(row, Mapping) else {"id": str(row)} for row in instruments]


class LiveRun:
    """A run over live feeds; made by ``open_live``. A context manager that closes all feeds at its end.

    Thread safety: ``feed``, ``seal`` and ``request_stop`` from any thread; ``run`` on one.
    """

    def __init__(
        self, dispatcher: TickDispatcher, settings: Mapping[str, Any], switch_interval_s: float | None
    ) -> None:
        self._dispatcher = dispatcher
        self._settings = settings
        self._switch_interval_s = switch_interval_s
        self._is_pulled = False

    @property
    def instruments(self) -> tuple[str, ...]:
        """Ids of the run's instruments; arrays that are published count through them."""
        return self._dispatcher.instruments

    def feed(
        self,
        name: str,
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
        on_event: Callable[[FeedEvent], object] | None = None,
        instruments: Sequence[InstrumentId | str] = (),
    ) -> Feed:
        """Open a feed; see ``TickDispatcher.live_feed``."""
        return self._dispatcher.live_feed(
            name,
            policy=policy,
            capacity=capacity,
            timeout_s=timeout_s,
            trades=trades,
            backwards=backwards,
            reorder_ns=reorder_ns,
            numbering=numbering,
            stale_after_ns=stale_after_ns,
            rate_limit=rate_limit,
            rate_policy=rate_policy,
            high_watermark=high_watermark,
            low_watermark=low_watermark,
            receipt=receipt,
            on_event=on_event,
            instruments=instruments,
        )

    def stats(self) -> RuntimeStats:
        """How the run is doing: accounts and measured times of every strategy and feed. Any thread, at any time."""
        return self._dispatcher.stats()

    def replay(self, feed: Feed, ticks: TickArray, *, speed: Speed = 1.0) -> PacedReplay:
        """Publish recorded ticks into ``feed`` at the pace at which they came, or a multiple, on a thread of its own.

        Args:
            feed: A feed of this run.
            ticks: What is published, by the time that orders it.
            speed: 1.0 is real time, 10.0 ten times as fast, ``"max"`` as fast as the feed takes it.

        Returns:
            The replay, which has begun: ``stop()``, ``join()``, ``published``, ``lateness_s``.

        Raises:
            ParameterError: ``speed`` is none.
        """
        return PacedReplay(feed, ticks, speed=speed).start()

    def record(self, *, capacity: int = RECORDING_SLOTS, most: int = RECORDING_MOST) -> Recorder:
        """Keep what the run takes from now on; before ``run``. Its ``finish()`` gives a ``Recording``.

        Args:
            capacity: Slots of the ring between loop and recorder, a power of two; the loop waits while it is full.
            most: Most records that are kept.

        Raises:
            IllegalTransition: The run has begun, or is recorded already.
        """
        return self._dispatcher.record(capacity, most)

    def record_commands(self, sink: Callable[[bytes], object]) -> None:
        """Give ``sink`` what comes from other threads, lanes among them, as bytes; before ``run``.

        With a recording of the ticks, ``backtest(..., commands=...)`` runs it all again; see
        ``TickDispatcher.record_commands``.
        """
        self._dispatcher.record_commands(sink)

    def run(self, progress: Progress | None = None) -> Result:
        """Run until every feed has ended (after ``seal``) or somebody asks for a stop, on this thread.

        Args:
            progress: Called with ticks done and ``None``, at most 20 times a second.

        Returns:
            The result; Ctrl-C gives a partial one.

        Raises:
            RunFailed: The run could not go on; ``error.result`` is its partial result.
            IllegalTransition: It has run already.
        """
        if self._dispatcher.ended:
            raise IllegalTransition(
                "this run is over: a run runs once",
                state="ended",
                operation="run",
                hint="open_live(...) opens another; strategies are made anew for it",
            )
        with switch_interval(self._switch_interval_s):
            return run_to_result(self._dispatcher, progress, self._settings)

    def pull(self, *, instruments: Instruments = None) -> PullRun:
        """The run in the hands of a loop, in the place of ``run``: ``with run.pull() as pulled: for tick in pulled``.

        The loop waits for ticks as ``run`` does, without the GIL; it ends when every feed has (after ``seal``), by
        ``request_stop``, or by ``break``. ``pulled`` owns a strategy of its own, the last in order. Before ``record``.

        Args:
            instruments: What it receives; ``None`` is everything.

        Raises:
            IllegalTransition: The run has begun, or is recorded or pulled already.
        """
        if self._is_pulled:
            hint = "open_live(...) opens another run"
            raise IllegalTransition("a run is pulled once", state="pulled", operation="pull", hint=hint)
        strategy = PullStrategy()
        self._dispatcher.register_pull(strategy, PULL, instruments=instruments)
        self._is_pulled = True
        return LivePullRun(self, strategy)

    def accounts(self, patience_s: float = PATIENCE_S) -> Accounts:
        """The accounts of all feeds and strategies at one moment; see ``TickDispatcher.accounts``. Any thread."""
        return self._dispatcher.accounts(patience_s)

    def seal(self) -> None:
        """Open no more feeds and publishers: the run ends once those that there are have closed. Idempotent."""
        self._dispatcher.seal()

    def request_stop(self) -> None:
        """Ask the run to stop after the present step; publishers that wait are let go."""
        self._dispatcher.request_stop()

    def close(self) -> None:
        """Close all feeds: what was published still arrives, nothing else does. Idempotent."""
        self._dispatcher.close_feeds()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "over" if self._dispatcher.ended else "open"
        return f"LiveRun({', '.join(self._dispatcher.strategies)}; {len(self.instruments)} instruments, {state})"


class LivePullRun(PullRun):
    """A live run in the hands of a ``for`` loop; made by ``LiveRun.pull``."""

    def __init__(self, run: LiveRun, strategy: PullStrategy) -> None:
        super().__init__(run._dispatcher, strategy, run._settings)
        self._run = run
        self._interval = ExitStack()

    def __enter__(self) -> Self:
        super().__enter__()
        self._interval.enter_context(switch_interval(self._run._switch_interval_s))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._interval:
            self._run.close()  # whoever publishes is told that nobody takes it any more
            super().__exit__(kind, error, at)


class _SwitchInterval:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs = 0
        self.before = 0.0


_interval: Final = _SwitchInterval()


@contextmanager
def switch_interval(seconds: float | None) -> Iterator[None]:
    """Let threads ask for the GIL after ``seconds``; what was before returns with the last run that wanted one."""
    if seconds is None:
        yield
        return
    with _interval.lock:
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(seconds, before))
        if _interval.runs == 0:
            _interval.before = before
        _interval.runs += 1
    try:
        yield
    finally:
        with _interval.lock:
            _interval.runs -= 1
            if _interval.runs == 0:
                sys.setswitchinterval(_interval.before)
