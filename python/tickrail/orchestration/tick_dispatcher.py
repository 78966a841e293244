"""``TickDispatcher``: the typed face of the native loop of one run."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Unpack, cast

from msgspec.structs import asdict

from tickrail._native import (
    Dispatcher,
    InstrumentId,
    Recorder,
    Recording,
    Tick,
    TickArray,
    end_by,
    end_within,
    ending_report,
    give_lane,
    open_lanes,
    open_outbox,
    pull_until,
    run_until,
    step,
    supervise,
    supervised,
)
from tickrail.domain.account_terms import AccountTerms
from tickrail.domain.ending import BY_DEFAULT as ENDING
from tickrail.domain.ending import END_LIMITS, Ending, EndLimits
from tickrail.domain.lanes import Lane
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.supervision import BY_DEFAULT, HANDLER_LIMITS, HandlerLimits, Supervision
from tickrail.domain.time import TimeLike, parse_ns
from tickrail.domain.venue_terms import VenueTerms
from tickrail.errors import IllegalTransition, ParameterError
from tickrail.orchestration.admission import admit, compile_into
from tickrail.orchestration.at_exit import stopped_at_exit
from tickrail.orchestration.commanded import Commanded
from tickrail.orchestration.feeds import DeliverySettings, Feed, FeedFailures, FeedSettings, feed_settings, taken_out
from tickrail.orchestration.funding import Funding
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.keeper import Keeper
from tickrail.orchestration.lane_check import check_lane
from tickrail.orchestration.lives import Lives
from tickrail.orchestration.loading import load_arrays, load_results
from tickrail.orchestration.run_id import run_id_of
from tickrail.orchestration.spawner import SPAWN_TIMEOUT_S, Spawner, stopping
from tickrail.orchestration.stopwatch import Stopwatch
from tickrail.orchestration.supervisor import watch
from tickrail.ports.state_store import StateStorePort
from tickrail.strategy.compiled.form import is_compiled
from tickrail.strategy.mentions import mentions
from tickrail.strategy.strategy import Strategy

if TYPE_CHECKING:
    from tickrail.orchestration.away import Away
    from tickrail.report.result import Result, Status
    from tickrail.strategy.compiled.code import Compiled

__all__ = ["DigestMode", "Progress", "Step", "TickDispatcher", "WhenLagging"]

Progress: TypeAlias = Callable[[int, int | None], object]
WhenLagging: TypeAlias = Literal["skip_to_latest", "conflate", "fail"]
Step: TypeAlias = Literal["tick", "timer", "order_update", "venue", "result", "command"]
DigestMode: TypeAlias = Literal["events", "full"]
MARKET: Final = "market_data"  # a class that names it wants the market noted from the first tick on
ENDS: dict[str | None, Status] = {"end": "complete", "stopped": "stopped", "interrupted": "interrupted"}
logger = logging.getLogger(__name__)


class TickDispatcher(Commanded):
    """One run: feeds and strategies are added, then it runs to the end of the data, or is pulled.

    Args:
        instruments: The run's table: one row an instrument, with at least its ``id``.
        order_by: The time that orders ticks of different feeds.
        digest: ``events`` costs nothing per tick; ``full`` hashes every input.
        seed: Enters the digest.
        config_digest: What else decides results, as a hash.
        slice_ticks: Ticks that a source hands the loop at once; never changes a result.
        always_fresh: Hand out a new object for each tick, kept or not; never changes a result.
        sample_every: Measure handlers on each so-manyth tick, rounded up to a power of two; 0 measures nothing.
        live: Makes a live run, over feeds that are published into; how its loop waits, as in ``open_live``.
        clock: ``sim``: records of live feeds are taken by the times that they bear, and the clock is theirs, as in a
            backtest. There is one feed then, with one publisher, whose times never decrease.
        venues: How simulated venues behave, by name; one that is not named behaves as ``VenueTerms()`` says.
        account: In which currency amounts are added, at which rates, and how often it is looked at what strategies are
            worth; what strategies are given stands there too, unless ``register`` says it.
        io: Where coroutines of ``Strategy.spawn`` run; ``None`` makes a thread of the run's own, which ends with it.
        spawn_timeout_s: How long a simulation waits for one such coroutine before its strategy is FAILED.
        handler_limits: How long handlers may take while it runs.
        end_limits: How long the end of a live run may take that is to stop.
        run_id: Enters the names that orders have at venues. ``None``: of a simulation what decides it, else the time.

    Attributes:
        instruments: Ids of the run's instruments, in the order of the table.
        strategies: The strategies by name, in the order of registration.
        lives: Pauses, resumes, stops and restarts them, from any thread.

    Thread safety: one thread at a time; ``request_stop`` and ``lives`` from any.
    """

    def __init__(
        self,
        instruments: Iterable[Mapping[str, Any]],
        *,
        order_by: str = "ts_event",
        digest: DigestMode = "events",
        seed: int = 0,
        config_digest: bytes = b"",
        slice_ticks: int = 4_096,
        always_fresh: bool = False,
        sample_every: int = 0,
        live: str | None = None,
        clock: Literal["live", "sim"] = "live",
        venues: Mapping[str, VenueTerms] | None = None,
        account: AccountTerms | None = None,
        io: IoThread | None = None,
        spawn_timeout_s: float = SPAWN_TIMEOUT_S,
        handler_limits: HandlerLimits = HANDLER_LIMITS,
        end_limits: EndLimits = END_LIMITS,
        run_id: str | None = None,
    ) -> None:
        rows = [dict(row) for row in instruments]
        self._config_digest, self._seed, self._facts, self._sources = config_digest, seed, rows, dict[str, str]()
        self._stopwatch = Stopwatch()
        self._abandoned: tuple[str, ...] = ()
        self._is_recorded = False
        self._compiled: dict[str, Compiled] = {}
        self._compile_s: dict[str, float] = {}
        self._is_live = live is not None
        self.run_id = run_id or run_id_of(config_digest, seed, is_live=self._is_live and clock == "live")
        self._away: Away | None = None
        self._received: dict[str, list[str]] = defaultdict(list)
        self._laned: list[str] = []
        self._leaving: set[int] = set()
        io, self._owns_io = io or IoThread(), io is None
        spawner = Spawner(io, timeout_s=spawn_timeout_s, stopping=stopping(self))
        native = Dispatcher(
            instruments=rows,
            order_by=order_by,
            digest=digest,
            seed=seed,
            config_digest=config_digest,
            slice_ticks=slice_ticks,
            always_fresh=always_fresh,
            sample_every=sample_every,
            live=live,
            clock=clock,
            run_id=self.run_id,
            venues={name: terms.native() for name, terms in (venues or {}).items()},
            equity_every_ns=(account or AccountTerms()).equity_every_ns,
            spawner=spawner,
        )
        strategies: dict[str, Strategy] = {}
        super().__init__(
            native,
            strategies=strategies,
            lives=Lives(native.lives, strategies, io),
            instruments=tuple(str(row["id"]) for row in rows),
            io=io,
            spawner=spawner,
        )
        self._failures = FeedFailures(native.request_stop)
        end_within(native, **asdict(end_limits))
        watch(native, handler_limits, io)
        self._funding = Funding(native, rows, account or AccountTerms())
        native.watch(self.lives.watcher)
        if live is not None:
            load_results()
            if clock == "live":
                spawner.deliver_by(open_lanes(native))

    def feed(self, name: str, ticks: TickArray) -> int:
        """Add a feed; at equal times, earlier feeds come first. Returns its number."""
        self._sources[name] = ticks.fingerprint.hex()
        return self._native.add_feed(name, ticks)

    def live_feed(self, name: str, **settings: Unpack[FeedSettings]) -> Feed:
        """Open a feed of a live run. Any thread, before the run or while it goes on.

        Args:
            name: Its name in accounts and messages.
            policy: What happens to a record for which there is no slot: the publisher waits (``block``) or is told
                (``reject``); or it goes (``drop_newest``), the oldest go (``drop_oldest``), or only the latest quote of
                each instrument waits (``conflate``).
            capacity: Slots of each publisher's ring, a power of two.
            timeout_s: How long ``block`` waits.
            trades: Of ``conflate``: trades are kept, summed by instrument and side where there is no slot, or dropped.
            backwards: A record before the last one of its publisher passes, is rejected, or is put in order
                (``reorder``).
            reorder_ns: How long records wait for earlier ones: ns of ``ts_event``, and by the clock at most as long.
            numbering: Within what the source's ``sequence`` counts: a jump becomes a GAP record, a repetition goes.
            stale_after_ns: After this long without a record strategies are told, by a STALE record an instrument;
                0: never.
            rate_limit: Most records a second, with bursts of a tenth of that; 0: no limit.
            rate_policy: What is above it is rejected, or its publisher waits for its turn (``wait``).
            high_watermark: Strategies and ``on_event`` are told when so many records of a publisher wait; 0: never.
            low_watermark: And again when so few do.
            receipt: ``ts_init`` is when a record was published (``now``), or what it bears (``given``: of a recording).
            on_event: Called on the dispatch thread with each ``FeedEvent``: a watermark, or a loss once it is over.
            instruments: What it is about, for STALE before anything has come; what comes is added.

        Raises:
            FeedError: There is one of that name, or the run is a backtest.
            FeedClosed: The run is ending.
            ValueError: A value is none of those above.
        """
        instruments, on_event = taken_out(name, settings)
        plain = cast("DeliverySettings", settings)
        return Feed(self._native.open_feed(name, feed_settings(**plain), instruments, on_event), self._failures)

    def seal(self) -> None:
        """Open no more live feeds and publishers; the run ends once those that there are have closed. Any thread."""
        self._native.seal()

    def close_feeds(self) -> None:
        """Close all live feeds; what was published still arrives. Any thread."""
        self._native.close_feeds()

    def record(self, capacity: int, most: int) -> Recorder:
        """Keep what a live run takes; before it begins, and once.

        Raises:
            IllegalTransition: The run has begun, or is recorded already.
        """
        if self._is_recorded:
            raise IllegalTransition(
                "the run is recorded already, and one recorder keeps all of it",
                state="recorded",
                operation="record",
                hint="finish() of the first recorder gives the recording",
            )
        recorder = self._native.record(capacity, most)
        self._is_recorded = True
        return recorder

    def replay(self, recording: Recording) -> None:
        """Run a recording in the place of feeds."""
        self._native.set_recording(recording)
        self._spawner.replays_live = True

    def register(
        self,
        strategy: Strategy,
        name: str,
        *,
        instruments: Sequence[InstrumentId | str] | None = None,
        max_ticks: int = 4_096,
        window_ns: int = 0,
        renew: Callable[[], Strategy] | None = None,
        store: StateStorePort | None = None,
        max_lag_records: int = 0,
        max_lag_ns: int = 0,
        when_lagging: WhenLagging = "skip_to_latest",
        supervision: Supervision = BY_DEFAULT,
        ending: Ending = ENDING,
        capital: float | None = None,
        leverage: float | None = None,
        lane: Lane | None = None,
    ) -> int:
        """Add a strategy; each tick reaches strategies in this order. Returns its number.

        Args:
            strategy: An object that was in no run before.
            name: Its name in the run.
            instruments: What it receives; ``None`` is everything.
            max_ticks: Most ticks of a batch, for classes with ``on_batch``.
            window_ns: Time span of a batch, aligned to the epoch; 0 is none.
            renew: Makes another object of the class, for a restart; without it the object lives once.
            store: Where its state is kept from one life to the next.
            max_lag_records: Most records that may wait in a publisher's ring, else ``when_lagging`` holds; 0 is no
                limit.
            max_lag_ns: Longest time that the next record may have waited; 0 is no limit.
            when_lagging: ``skip_to_latest``, ``conflate`` or ``fail``; where ticks come from live feeds.
            supervision: What is done about its failures; a restart needs ``renew``.
            ending: What becomes of its orders and positions when a live run stops.
            capital: What it is given, in the run's currency; ``None``: as the account's terms say.
            leverage: How many times its worth it may be exposed to; ``None``: as the account's terms say.
            lane: A thread of its own for a compiled strategy, where ticks come from live feeds.
        """
        self._admit(strategy, name, instruments)
        if max_lag_records and max_lag_ns:
            raise ParameterError(
                f"{name}: max_lag_records and max_lag_ns are both set; a rule for lag has one limit", strategy=name
            )
        if lane is not None:
            check_lane(name, strategy)
        if supervision.on_error == "restart" and renew is None:
            raise ParameterError(
                f"{name}: on_error is 'restart', and it was handed over as an object, which lives once",
                strategy=name,
                hint="renew=... makes another object; a configuration does that by itself",
            )
        compiling = partial(compile_into, self._compiled, self._compile_s)
        keeper = Keeper(name, self.strategies, renew, store, compiling, renewed=self._owners.renewed)
        edges = {"max_ticks": max_ticks, "window_ns": window_ns}
        if is_compiled(type(strategy)):
            number = self._register_compiled(strategy, name, instruments, edges, keeper)
        else:
            number = self._native.register(strategy, name, instruments=instruments, **edges, keeper=keeper)
        self._funding.fund(number, name, capital, leverage)
        if lane is not None:
            if not (self._is_live or self._spawner.replays_live):
                logger.warning("a backtest has no lanes: %s is called by the loop", name)
            give_lane(self._native, number, **lane.model_dump())
            self._laned.append(name)
        self._native.limit_lag(number, max_records=max_lag_records, max_ns=max_lag_ns, when_lagging=when_lagging)
        supervise(self._native, number, **asdict(supervision))
        end_by(self._native, number, leave_orders=ending.orders == "leave", close_positions=ending.positions == "close")
        if ending.orders == "leave":
            self._leaving.add(number)
        self.strategies[name] = strategy
        self._received[name] = [str(one) for one in instruments or ()]
        if renew is not None:
            self.lives.watcher.renewable.add(name)
        return number

    def send_away(self, venues: Mapping[str, Any]) -> Away:
        """Let orders of these venues' instruments go to adapters, by name, instead of simulated venues; before the run.

        The adapters fulfil ``ExecutionPort`` or ``AsyncExecutionPort``, and close with the run.
        """
        from tickrail.orchestration.away import Away  # late: asyncio is a fifth of what a run imports

        self._away = Away(self._native, venues, self.io, self.run_id, stays=self._leaving.__contains__)
        return self._away

    def send_nothing(self, venues: Sequence[str]) -> None:
        """The same in a replay: nothing is sent again, and the recorded commands have the answers."""
        open_outbox(self._native, list(venues), sends=False)

    def limit(self, name: str, limits: OrderLimits) -> None:
        """Bind orders by ``limits``, known to commands as ``name``: once strategies are registered, before the run."""
        self._funding.limit(name, limits, tuple(self.strategies), self.instruments)

    def register_pull(
        self, strategy: Strategy, name: str, *, instruments: Sequence[InstrumentId | str] | None = None
    ) -> int:
        """Add the strategy whose ticks ``pull`` returns; it is the last."""
        self._admit(strategy, name, instruments)
        number = self._native.register_pull(strategy, name, instruments=instruments)
        self._funding.fund(number, name)
        self.strategies[name] = strategy
        return number

    def subscribe(self, strategy: str, instrument: InstrumentId | str) -> None:
        """Let a strategy receive ``instrument`` from the next step on; from its handlers, as ``self.subscribe``."""
        self.strategies[strategy].subscribe(instrument)

    def run(self, progress: Progress | None = None, *, started: Callable[[], object] | None = None) -> Status:
        """Run to the end of the data, on this thread; ``started`` is called once all strategies have been started.

        Raises:
            RunFailed: The run could not go on.
            RuntimeError: It goes on already, on another thread or around the handler that calls; nothing happens to it.
        """
        with self.lives.dispatching(), ExitStack() as ended:
            ended.callback(self._leave_io)
            if self._away is not None:
                received = [(name, self._received[name] or self.instruments) for name in self.strategies]
                self._away.begin(received, self.instruments)
            with self._stopwatch, stopped_at_exit(self.request_stop):
                return ENDS[self._native.run(progress, started)]

    def run_until(self, until: TimeLike) -> bool:
        """Take everything up to ``until``, ticks and then timers of that time too; the clock then stands there.

        For tests and notebooks. The first call starts the strategies. Beyond the end of the data timers go on, and the
        run is not ended: ``run`` or ``finish`` does that. Wherever a run is cut, it does the same as in one go; what a
        batch subscriber has collected stays collected. Returns whether the run goes on; false where it was stopped.

        Raises:
            ValueError: ``until`` lies before the clock.
            RunFailed: The run could not go on.
        """
        with self._stopwatch:
            return run_until(self._native, parse_ns(until))

    def step(self) -> Step | None:
        """Take the next input, a tick, a timer or an order update, and say what it was; ``None``: nothing is left.

        With a repeating timer something is always left.

        Raises:
            RunFailed: The run could not go on.
        """
        with self._stopwatch:
            return cast("Step | None", step(self._native))

    def until(self, until: TimeLike) -> Iterator[Tick]:
        """The ticks of the pull strategy up to ``until``; the clock stands there once they are taken."""
        until_ns = parse_ns(until)
        while (tick := pull_until(self._native, until_ns)) is not None:
            yield tick

    def pulls(self) -> Iterator[Tick]:
        """The ticks of the pull strategy; the loop goes on by one input each time."""
        return self._native.pulls()

    def pull(self) -> Tick | None:
        """The next tick of the pull strategy; ``None`` once the run has ended."""
        return self._native.pull()

    def finish(self) -> None:
        """End the run if it has not ended; idempotent."""
        self.lives.refuse_second()
        try:
            self._native.finish()
        finally:
            self._leave_io()

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self._native.end is not None

    @property
    def interruption(self) -> BaseException | None:
        """What interrupted the run from within a handler: ``KeyboardInterrupt`` or ``SystemExit``."""
        return self._native.interruption()

    def result(
        self,
        *,
        status: Status | None = None,
        elapsed_s: float | None = None,
        configuration: Mapping[str, Any] | None = None,
        cause: BaseException | None = None,
    ) -> Result:
        """What the run leaves behind; ``status`` and ``cause`` where the caller knows better than the loop."""
        from tickrail.orchestration.outcome import Outcome  # late: with it comes numpy, which a start need not wait for

        restarts, stopped_by = supervised(self._native)
        outcome = Outcome(
            native=self._native,
            strategies={name: type(one) for name, one in self.strategies.items()},
            instruments=self.instruments,
            stats=self.stats(),
            compiled={name: (one, self._compile_s[name]) for name, one in self._compiled.items()},
            abandoned=self._abandoned,
            without_lane=() if self._is_live or self._spawner.replays_live else tuple(self._laned),
            restarts=dict(zip(self.strategies, restarts, strict=True)),
            stopped_by=None if stopped_by is None else tuple(self.strategies)[stopped_by],
            wish="" if self._commands is None else self._built_in.stop_reason,
            changes=self.lives.changes,
            ending=ending_report(self._native),
            data=(self._facts, self._seed, self._sources, self._funding.capital),
            run_id=self.run_id,
            unknown_orders=() if self._away is None else tuple(self._away.unknown),
        )
        return outcome.result(
            status=status or ENDS.get(self._native.end, "failed"),
            elapsed_s=self._stopwatch.elapsed_s if elapsed_s is None else elapsed_s,
            configuration=configuration or {},
            configuration_digest=self._config_digest.hex(),
            cause=cause or self.interruption or self._failures.cause,
        )

    def _leave_io(self) -> None:
        """The I/O thread ends with the run that made it; what does not end in time is left behind, as it says."""
        if self._away is not None:
            self._away.close()
        if self._owns_io:
            self._abandoned = self.io.close()
        if self._commands is not None:
            self._commands.leave()

    def _register_compiled(
        self,
        strategy: Strategy,
        name: str,
        instruments: Sequence[InstrumentId | str] | None,
        edges: Mapping[str, int],
        keeper: Keeper,
    ) -> int:
        code = compile_into(self._compiled, self._compile_s, name, strategy)
        return self._native.register_compiled(strategy, name, code, instruments=instruments, **edges, keeper=keeper)

    def _admit(self, strategy: Strategy, name: str, instruments: Sequence[InstrumentId | str] | None) -> None:
        admit(strategy, name, instruments, strategies=self.strategies, instruments=self.instruments)
        if hasattr(strategy, "on_batch"):
            load_arrays()
        if mentions(type(strategy), MARKET, below=Strategy):
            load_arrays()
            self._native.watch_market()
