"""``backtest`` and ``open_run``: runs from a script or a notebook, without configuration files."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias, TypedDict

from tickrail._native import InstrumentId, MarketData, OrderUpdate, Recording, SpawnResult, Tick, TickArray, TimerEvent
from tickrail.domain.account_terms import AccountTerms
from tickrail.domain.instruments import merge_tables
from tickrail.domain.lanes import Lane
from tickrail.domain.time import TimeLike
from tickrail.domain.venue_terms import InstrumentTerms, VenueTerms
from tickrail.errors import DataError, IllegalTransition, ParameterError
from tickrail.orchestration.feeds import refuse_own_loop
from tickrail.orchestration.lane_check import check_names
from tickrail.orchestration.sources import Data, named_arrays, order_key
from tickrail.orchestration.supervisor import said
from tickrail.orchestration.tick_dispatcher import DigestMode, Progress, TickDispatcher
from tickrail.orchestration.trading import Limits, Trading
from tickrail.strategy.stable_text import stable_text
from tickrail.strategy.strategy import Strategy, parameters_of

if TYPE_CHECKING:
    from tickrail.report.result import Result, Status
    from tickrail.report.stats import RuntimeStats

__all__ = [
    "Instruments",
    "PullRun",
    "PullStrategy",
    "Strategies",
    "backtest",
    "config_digest",
    "named_strategies",
    "open_run",
    "run_settings",
    "run_to_result",
]

Strategies: TypeAlias = Strategy | Sequence[Strategy] | Mapping[str, Strategy]
Instruments: TypeAlias = Sequence[InstrumentId | str] | None
PULL: Final = "pull"


class Batches(TypedDict):
    """Where the batches of ``on_batch`` end."""

    max_ticks: int
    window_ns: int


#: Order updates and timers that wait for whoever pulls; older ones go first, for a loop that never looks at them.
KEPT_EVENTS: Final = 65_536
#: As the native side has it, which checks it for each strategy.
MAX_BATCH_TICKS: Final = 1 << 24


def backtest(
    strategies: Strategies,
    data: Data,
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    instruments: Instruments = None,
    fee_rate: float = 0.0,
    venue: VenueTerms | Mapping[str, VenueTerms] | None = None,
    terms: Mapping[str, InstrumentTerms] | None = None,
    account: AccountTerms | None = None,
    limits: Limits = None,
    seed: int = 0,
    digest: DigestMode = "events",
    slice_ticks: int = 4_096,
    max_ticks: int = 4_096,
    window_ns: int = 0,
    always_fresh: bool = False,
    lanes: Mapping[str, Lane] | None = None,
    commands: bytes | None = None,
    execution: Sequence[str] = (),
    progress: Progress | None = None,
) -> Result:
    """Run strategies over recorded ticks, on this thread, and return what came of it.

    Args:
        strategies: One, a list (named by their classes), or a dict by name; ticks reach them in this order.
        data: A path, a ``TickArray``, any Arrow object, a list of these (merged by time), a dict by instrument, or the
            ``Recording`` of a live run, which is run again by its own order and clock.
        start: First time that is delivered: ISO text, date, datetime or int ns; UTC where no zone is given.
        end: First time that is delivered no more.
        instruments: What the strategies receive; ``None`` is everything.
        fee_rate: Fee as a fraction of the notional: 0.00002 is 0.2 basis points.
        venue: How the simulated venue behaves (fill model, latency, fees, ...), or a dict by venue; has its own fees.
        terms: What orders of an instrument are held to (grid, lot, multiplier), by instrument.
        account: Capital, leverage, and the currency in which amounts are added.
        limits: What orders may not go beyond, or several of them by name; refused orders are REJECTED with the reason.
        seed: Of whatever draws numbers; enters the run digest.
        digest: ``events`` costs nothing per tick; ``full`` hashes every input.
        slice_ticks: Ticks that a source hands the loop at once; never changes a result.
        max_ticks: Most ticks of a batch, for classes with ``on_batch``.
        window_ns: Time span of a batch, aligned to the epoch; 0 is none.
        always_fresh: Hand out a new object for each tick, kept or not; never changes a result.
        lanes: Those of the live run of a ``Recording``; a backtest has none, and its result says so.
        commands: What came from other threads in the live run of a ``Recording``, from ``LiveRun.record_commands``:
            commands of its bus and requests of operators too.
        execution: Names of the venues outside of the process in that run: nothing is sent again.
        progress: Called with ticks done and ticks in all, at most 20 times a second.

    Returns:
        The result; a strategy that raised shows in ``result.errors``, and Ctrl-C gives the partial result.

    Raises:
        DataError: The data cannot be used.
        ParameterError: A strategy cannot be used.
        NoHandler: ``commands`` has one of your own: run it by a ``TickDispatcher``, with its handler registered.
        RunFailed: The run could not go on; ``error.result`` is its partial result.
    """
    named = named_strategies(strategies)
    numbers = {"fee_rate": fee_rate, "seed": seed, "max_ticks": max_ticks, "window_ns": window_ns}
    settings = run_settings(named, instruments, numbers)
    trading, handling = Trading(fee_rate, venue, terms, account, limits), _Handling(digest, slice_ticks, always_fresh)
    check_names(lanes, named)
    if commands is not None and not isinstance(data, Recording):
        raise DataError("commands are run again with the recording of their run; expected it as the data")
    if isinstance(data, Recording):
        dispatcher = _replay(data, settings, trading, handling, (start, end))
    else:
        dispatcher = _dispatcher(named_arrays(data, start=start, end=end), settings, trading, handling)
    edges: Batches = {"max_ticks": max_ticks, "window_ns": window_ns}
    for name, strategy in named.items():
        dispatcher.register(strategy, name, instruments=instruments, lane=(lanes or {}).get(name), **edges)
    trading.bind(dispatcher)
    if execution:
        dispatcher.send_nothing(execution)
    if commands is not None:
        dispatcher.replay_commands(commands)
    return run_to_result(dispatcher, progress, settings)


def open_run(
    data: Data,
    *,
    strategies: Strategies = (),
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    instruments: Instruments = None,
    fee_rate: float = 0.0,
    venue: VenueTerms | Mapping[str, VenueTerms] | None = None,
    terms: Mapping[str, InstrumentTerms] | None = None,
    account: AccountTerms | None = None,
    limits: Limits = None,
    seed: int = 0,
    digest: DigestMode = "events",
    slice_ticks: int = 4_096,
    max_ticks: int = 4_096,
    window_ns: int = 0,
    always_fresh: bool = False,
) -> PullRun:
    """Open a run that is pulled.

    ``with open_run(data) as run:`` and then ``for tick in run: run.buy(tick.instrument, 1.0)``.

    ``run`` owns a strategy of its own, the last in order; ``strategies`` run before it. ``break`` stops the run,
    ``run.result`` is there after the block, whatever ended it. Arguments as for ``backtest``.
    """
    named = named_strategies(strategies)
    if PULL in named:
        raise ParameterError(f"a strategy has the name '{PULL}', which is that of the run itself", strategy=PULL)
    numbers = {"fee_rate": fee_rate, "seed": seed, "max_ticks": max_ticks, "window_ns": window_ns}
    settings = run_settings(named, instruments, numbers)
    arrays = named_arrays(data, start=start, end=end)
    trading = Trading(fee_rate, venue, terms, account, limits)
    dispatcher = _dispatcher(arrays, settings, trading, _Handling(digest, slice_ticks, always_fresh))
    for name, strategy in named.items():
        dispatcher.register(strategy, name, instruments=instruments, max_ticks=max_ticks, window_ns=window_ns)
    strategy = PullStrategy()
    dispatcher.register_pull(strategy, PULL, instruments=instruments)
    trading.bind(dispatcher)
    return PullRun(dispatcher, strategy, settings)


class PullStrategy(Strategy):
    """The strategy that a pulled run acts through; keeps the updates of its orders until they are looked at."""

    def on_start(self) -> None:
        """Begin with nothing seen."""
        self.updates: deque[OrderUpdate] = deque(maxlen=KEPT_EVENTS)
        self.fired: deque[TimerEvent] = deque(maxlen=KEPT_EVENTS)
        self.events: deque[SpawnResult] = deque(maxlen=KEPT_EVENTS)

    def on_order_update(self, update: OrderUpdate) -> None:
        """Keep it for ``PullRun.take_updates``."""
        self.updates.append(update)

    def on_timer(self, event: TimerEvent) -> None:
        """Keep it for ``PullRun.take_timers``."""
        self.fired.append(event)

    def on_event(self, event: SpawnResult) -> None:
        """Keep it for ``PullRun.take_events``."""
        self.events.append(event)


class PullRun:
    """A run in the hands of a ``for`` loop; made by ``open_run``.

    Besides what is listed here it has the calls of a strategy (docs/reference/strategy.md). They are those of its own
    strategy, without a call in between.
    """

    def __init__(self, dispatcher: TickDispatcher, strategy: PullStrategy, settings: Mapping[str, Any]) -> None:
        self._dispatcher = dispatcher
        self._strategy = strategy
        self._settings = settings
        self._started = 0.0
        self._result: Result | None = None
        self.buy = strategy.buy
        self.sell = strategy.sell
        self.target = strategy.target
        self.amend = strategy.amend
        self.cancel = strategy.cancel
        self.close = strategy.close
        self.portfolio = strategy.portfolio
        self.position = strategy.position
        self.round_price = strategy.round_price
        self.round_quantity = strategy.round_quantity
        self.schedule_at = strategy.schedule_at
        self.schedule_after = strategy.schedule_after
        self.schedule_every = strategy.schedule_every
        self.cancel_timer = strategy.cancel_timer
        self.timers = strategy.timers
        self.spawn = strategy.spawn
        self.subscribe = strategy.subscribe
        self.unsubscribe = strategy.unsubscribe

    @property
    def instruments(self) -> tuple[str, ...]:
        """Ids of the run's instruments."""
        return self._dispatcher.instruments

    @property
    def now_ns(self) -> int:
        """The clock, int ns UTC."""
        return self._strategy.now_ns

    @property
    def market_data(self) -> MarketData:
        """The market as it is known now; it knows what came since this was first asked for."""
        return self._strategy.market_data

    @property
    def name(self) -> str:
        """The name of the run's own strategy."""
        return self._strategy.name

    @property
    def result(self) -> Result:
        """What the run leaves behind, once its block was left.

        Raises:
            IllegalTransition: The block was not left yet.
        """
        if self._result is None:
            state = "entered" if self._started else "open"
            what = "goes on" if self._started else "has not begun"
            raise IllegalTransition(
                f"the run {what}, and has no result yet",
                state=state,
                operation="result",
                hint="run.result is there after the 'with' block",
            )
        return self._result

    def take_updates(self) -> list[OrderUpdate]:
        """Updates of this run's orders since the last call, at most the last 65,536."""
        taken = list(self._strategy.updates)
        self._strategy.updates.clear()
        return taken

    def take_timers(self) -> list[TimerEvent]:
        """Timers without a callable that fired since the last call, at most the last 65,536."""
        taken = list(self._strategy.fired)
        self._strategy.fired.clear()
        return taken

    def take_events(self) -> list[SpawnResult]:
        """Results of coroutines without a callback that came since the last call, at most the last 65,536."""
        taken = list(self._strategy.events)
        self._strategy.events.clear()
        return taken

    def __iter__(self) -> Iterator[Tick]:
        self._check_started()
        return self._dispatcher.pulls()

    def until(self, until: TimeLike) -> Iterator[Tick]:
        """The ticks up to ``until``, and no further: ``for tick in run.until("2024-01-31T10:00"): ...``.

        Timers of that time have fired when they are taken, and the clock stands there.
        """
        self._check_started()
        return self._dispatcher.until(until)

    def stats(self) -> RuntimeStats:
        """Accounts and measured times so far."""
        return self._dispatcher.stats()

    def _check_started(self) -> None:
        if not self._started:
            raise IllegalTransition(
                "a run is pulled within its block",
                state="open",
                operation="pull",
                allowed=("enter",),
                hint="with tickrail.open_run(...) as run: for tick in run: ...",
            )

    def __enter__(self) -> Self:
        if self._started:
            raise IllegalTransition(
                "a run is entered once", state="entered", operation="enter", hint="open another one"
            )
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        elapsed_s = time.perf_counter() - self._started
        self._dispatcher.finish()
        self._result = self._dispatcher.result(
            status=_status_after(error), elapsed_s=elapsed_s, configuration=self._settings, cause=error
        )


def run_to_result(
    dispatcher: TickDispatcher,
    progress: Progress | None,
    configuration: Mapping[str, Any] | None = None,
    *,
    started: Callable[[], object] | None = None,
) -> Result:
    """Run to the end; the partial result of a run that failed goes with the error."""
    from tickrail.errors import RunFailed

    if dispatcher._is_live:
        refuse_own_loop()

    try:
        dispatcher.run(progress, started=started)
        said()
    except RunFailed as error:
        error.result = dispatcher.result(status="failed", configuration=configuration)
        raise
    return dispatcher.result(configuration=configuration)


def _status_after(error: BaseException | None) -> Status | None:
    if error is None:
        return None
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def named_strategies(strategies: Strategies) -> dict[str, Strategy]:
    """Strategies by name; a list is named by their classes.

    Raises:
        ParameterError: Something is no strategy.
    """
    if isinstance(strategies, Strategy):
        return {type(strategies).__name__: strategies}
    if isinstance(strategies, type) or not isinstance(strategies, Sequence | Mapping):
        shown = f"the class {strategies.__name__}" if isinstance(strategies, type) else repr(strategies)
        raise ParameterError(
            f"{shown} is no strategy",
            hint="hand over an object, as EmaCross(fast=20), a list of them, or a dict by name",
        )
    if isinstance(strategies, Mapping):
        return dict(strategies)
    named: dict[str, Strategy] = {}
    for strategy in strategies:
        base = type(strategy).__name__
        taken = sum(name == base or name.startswith(f"{base}-") for name in named)
        named[base if not taken else f"{base}-{taken + 1}"] = strategy
    return named


def run_settings(
    named: Mapping[str, Strategy], instruments: Instruments, numbers: Mapping[str, float]
) -> dict[str, Any]:
    """What decides the result, as plain values."""
    if isinstance(instruments, str | InstrumentId):
        raise ParameterError(f"instruments is {str(instruments)!r}; expected a list: instruments=['{instruments}']")
    if instruments is not None and not isinstance(instruments, Sequence):
        raise ParameterError(
            f"instruments is a {type(instruments).__name__}; expected a list of ids, which all strategies receive",
            hint="what orders of an instrument are held to is terms={'EURUSD.SIM': InstrumentTerms(...)}",
        )
    fee_rate = numbers["fee_rate"]
    if not (math.isfinite(fee_rate) and 0.0 <= fee_rate < 1.0):
        raise ParameterError(f"fee_rate is {fee_rate!r}; expected a fraction of the notional, at least 0 and below 1")
    strategies = {name: {"class": type(one).__qualname__, "parameters": _shown(one)} for name, one in named.items()}
    ids = None if instruments is None else [str(one) for one in instruments]
    _check_whole("seed", numbers["seed"], 0, 2**64 - 1)
    _check_whole("max_ticks", numbers["max_ticks"], 1, MAX_BATCH_TICKS)
    _check_whole("window_ns", numbers["window_ns"], 0, 2**63 - 1)
    return {**numbers, "fee_rate": float(fee_rate), "instruments": ids, "strategies": strategies}


def _shown(strategy: Strategy) -> str:
    """As its call was written, with values as they are in every process."""
    if not isinstance(strategy, Strategy):
        return repr(strategy)  # which is refused when it is registered
    values = ", ".join(f"{name}={stable_text(value)}" for name, value in parameters_of(strategy).items())
    return f"{type(strategy).__name__}({values})"


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    """Refuse here what a run without strategies would let pass, and a seed that the core cannot hold."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ParameterError(f"{name} is {value!r}; expected a whole number from {least:,} to {most:,}")


class _Handling(NamedTuple):
    """How ticks are handed over; decides nothing but the digest's tag."""

    digest: DigestMode
    slice_ticks: int
    always_fresh: bool


def _dispatcher(
    arrays: Mapping[str, TickArray], settings: dict[str, Any], trading: Trading, handling: _Handling
) -> TickDispatcher:
    table = merge_tables((name, array.instrument_table) for name, array in arrays.items())
    dispatcher = _over(table, settings, trading, handling, order_key(arrays))
    for name, array in arrays.items():
        dispatcher.feed(name, array)
    return dispatcher


def _replay(
    recording: Recording,
    settings: dict[str, Any],
    trading: Trading,
    handling: _Handling,
    span: tuple[TimeLike | None, TimeLike | None],
) -> TickDispatcher:
    if span != (None, None):
        raise DataError("a recording is run again as a whole; expected neither start nor end")
    table = {str(row["id"]): row for row in recording.instrument_table}
    dispatcher = _over(table, settings, trading, handling)
    dispatcher.replay(recording)
    return dispatcher


def _over(
    table: Mapping[str, Mapping[str, Any]],
    settings: dict[str, Any],
    trading: Trading,
    handling: _Handling,
    order_by: str = "ts_event",
) -> TickDispatcher:
    rows = trading.rows(table)
    settings |= trading.settings()
    return TickDispatcher(
        rows,
        order_by=order_by,
        seed=settings["seed"],
        config_digest=config_digest(settings),
        venues=trading.venues,
        account=trading.account,
        **handling._asdict(),
    )


def config_digest(settings: Mapping[str, Any]) -> bytes:
    """What decides the result, as a hash."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
