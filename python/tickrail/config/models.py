"""The shape of a configuration: frozen models in which an unknown key, NaN or infinity is an error.

Types are strict: ``"15"`` is no number. What a table is keyed by is its id; the order of the tables ``feeds`` and
``strategies`` is the order in which feeds merge at equal times and strategies are called.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tickrail.config.values import (
    AdapterName,
    Address,
    ClassPath,
    FrozenTable,
    Id,
    IdList,
    InstrumentKey,
    InstrumentList,
    ModulePath,
    Options,
    Params,
    PathList,
    PathText,
    Secrets,
    Speed,
    Table,
    TimeNs,
)
from tickrail.domain.account_terms import EQUITY_EVERY_NS, Currency, EquityEvery, Rates
from tickrail.domain.lanes import Lane
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.venue_terms import VenueTerms, said_of

__all__ = [
    "DELIVERY_KEYS",
    "FeedConfig",
    "InstrumentConfig",
    "LimitConfig",
    "RuntimeConfig",
    "RuntimeSettings",
    "StrategyConfig",
    "VenueConfig",
]

UINT32_MAX = 2**32 - 1
INT64_MAX = 2**63 - 1
MAX_WAIT_S = 86_400.0  # a day: who waits longer waits for ever
MAX_SLOTS = 2**24  # of a ring; the core takes no more
DAY_NS = 86_400_000_000_000
MAX_SAMPLE_EVERY = 2**30  # rounded up to a power of two it still fits 32 bits


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class RuntimeSettings(_Table):
    """Table ``[runtime]``: what holds for the whole run.

    Attributes:
        seed: Seed of every random choice of the run.
        digest: ``events`` costs nothing per tick; ``full`` hashes every input record.
        order_by: The time that orders ticks of different feeds.
        clock: Of live feeds: ``live`` is the machine's, ``sim`` that of a recording which comes over a socket.
        slice_ticks: Ticks that a source hands the loop at once; never changes a result.
        run_dir: Folder for the result folders; placed as the paths of feeds are.
        always_fresh: Hand out a new tick object for every tick, kept or not; never changes a result.
        sample_every: Measure on each so-manyth tick, rounded up to a power of two; 0 measures nothing, and ``None`` is
            256 where feeds are live, else 0.
        modules: Providers of services, each as ``module:attribute``.
        checks: Functions that are asked before the start, each as ``module:function``.
        adapter_prefixes: Packages that adapters may come from which are named as ``module:Class``.
        phase_deadline_ns: What each phase of the start may take.
        hook_deadline_ns: How long a hook of a strategy may run before it is reported.
        spawn_timeout_s: How long a simulation waits for one coroutine of a strategy before that is FAILED.
        slow_handler_ns: How long a call of a handler may take before it is counted as slow.
        handler_deadline_ns: How long before it is stuck: reported, and broken off under ``tickrail run``.
        drain_deadline_ns: How long what was published may take to reach the strategies of a live run that stops.
        orders_deadline_ns: How long such a run waits for the answers to its orders.
        state_dir: Folder of the states of strategies; without one they live as long as the process.
        log: Whether log records go to standard error, as ``text`` or ``json``.
        http: Address, ``HOST:PORT``, at which ``/livez``, ``/readyz`` and ``/metrics`` are served; port 0: a free one.
        currency: In which amounts are added; ``None``: that of the instruments, where they have one in common.
        rates: What one unit of another currency is worth in it: a number, the price of an instrument (``EURUSD.SIM``),
            or one over that (``1/USDJPY.SIM``).
        equity_every_ns: How often it is looked at what strategies are worth, beside each fill; a whole part of a day.
        account_dir: Where it is noted which run trades on which account; ``None``: in ``~/.local/state/tickrail``.
        run_id: Enters the names of orders at venues; ``None`` makes one.
        exclusive: Refuse to start while another run, of whatever build or configuration, holds ``run_dir``.
    """

    seed: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    digest: Literal["events", "full"] = "events"
    order_by: Literal["ts_event", "ts_init"] = "ts_event"
    clock: Literal["live", "sim"] = "live"
    slice_ticks: Annotated[int, Field(ge=1, le=65_536)] = 4_096
    run_dir: PathText = Path("runs")
    always_fresh: bool = False
    sample_every: Annotated[int | None, Field(ge=0, le=MAX_SAMPLE_EVERY)] = None
    modules: Annotated[tuple[ClassPath, ...], PathList] = ()
    checks: Annotated[tuple[ClassPath, ...], PathList] = ()
    adapter_prefixes: Annotated[tuple[ModulePath, ...], PathList] = ()
    phase_deadline_ns: Annotated[int, Field(ge=1_000_000, le=INT64_MAX)] = 60_000_000_000
    hook_deadline_ns: Annotated[int, Field(ge=1_000_000, le=INT64_MAX)] = 5_000_000_000
    spawn_timeout_s: Annotated[float, Field(gt=0.0, le=MAX_WAIT_S)] = 60.0
    slow_handler_ns: Annotated[int, Field(ge=1_000_000, le=DAY_NS)] = 100_000_000
    handler_deadline_ns: Annotated[int, Field(ge=1_000_000, le=DAY_NS)] = 10_000_000_000
    drain_deadline_ns: Annotated[int, Field(ge=0, le=DAY_NS)] = 2_000_000_000
    orders_deadline_ns: Annotated[int, Field(ge=0, le=DAY_NS)] = 10_000_000_000
    state_dir: PathText | None = None
    log: Literal["none", "text", "json"] = "none"
    http: Address | None = None
    currency: Currency | None = None
    rates: Annotated[Rates, Table] = Field(default_factory=FrozenTable)
    equity_every_ns: EquityEvery = EQUITY_EVERY_NS
    account_dir: PathText | None = None
    run_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9]{1,16}$")] = None
    exclusive: bool = False


class InstrumentConfig(_Table):
    """Table ``[instruments."SYMBOL.VENUE"]``.

    Attributes:
        currency: Currency of profit and fees; ``XXX`` (none) leaves it to the tick file.
        price_increment: Smallest price step; 0.0 leaves it to the tick file.
        negative_prices: Whether prices below zero are good prices.
        bar_duration_ns: Length of this instrument's bars; 0 where it has none.
        size_increment: Smallest step of a quantity; 0.0 is any.
        min_quantity: Smallest quantity of an order; 0.0 is any.
        max_quantity: Largest quantity of an order; ``None`` is any.
        multiplier: What one unit at a price of 1 is worth, in the currency of the price.
        fee_rate: Of both sides; this and what follows as in ``[venues.ID]``, ``None`` is as the venue says.
        maker_fee_rate: Fraction of the notional where the order waited.
        taker_fee_rate: Fraction of the notional where it matched at once.
        fee_per_unit: In the currency of the price.
        fee_minimum: Of an order, in the currency of the price.
        slippage_fraction: How much worse than what it saw a taker fares, of the price.
        slippage_amount: The same in units of the price.
    """

    currency: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}$")] = "XXX"
    price_increment: Annotated[float, Field(ge=0.0)] = 0.0
    negative_prices: bool = False
    bar_duration_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    size_increment: Annotated[float, Field(ge=0.0)] = 0.0
    min_quantity: Annotated[float, Field(ge=0.0)] = 0.0
    max_quantity: Annotated[float | None, Field(gt=0.0)] = None
    multiplier: Annotated[float, Field(gt=0.0)] = 1.0
    fee_rate: Annotated[float | None, Field(ge=0.0, lt=1.0)] = None
    maker_fee_rate: Annotated[float | None, Field(gt=-1.0, lt=1.0)] = None
    taker_fee_rate: Annotated[float | None, Field(ge=0.0, lt=1.0)] = None
    fee_per_unit: Annotated[float | None, Field(ge=0.0)] = None
    fee_minimum: Annotated[float | None, Field(ge=0.0)] = None
    slippage_fraction: Annotated[float | None, Field(ge=0.0, lt=1.0)] = None
    slippage_amount: Annotated[float | None, Field(ge=0.0)] = None

    def row(self) -> dict[str, Any]:
        """What was said, as columns of the run's instrument table."""
        return said_of(self, self.model_fields_set)


class FeedConfig(_Table):
    """Table ``[feeds.ID]``: one source of ticks.

    From ``policy`` on it is about live feeds, as in ``TickDispatcher.live_feed``; ``None`` is as the adapter says. A
    feed of a backtest has none of that: the loop takes its ticks when it is ready for them.

    Attributes:
        adapter: Name of the adapter, or ``module:Class``; ``ticks`` maps a tick file.
        path: The file; a relative one starts at the parent of the configuration root. Absolute once it is loaded.
        start: First time that is delivered, int ns UTC; ``None`` is the beginning.
        end: First time that is delivered no more, int ns UTC; ``None`` is the end.
        options: Whatever else the adapter takes; text under a name that says secret is one.
        secrets: What the adapter takes and nobody may see, each passed as a ``SecretStr``.
        speed: Makes recorded ticks a live feed: at their own pace (1.0), a multiple of it, or at once (``max``).
        policy: What happens to a record for which there is no slot.
        capacity: Slots of each publisher's ring, a power of two.
        timeout_s: How long ``block`` waits.
        trades: What becomes of trades under ``conflate``.
        backwards: What happens to a record before the last one of its publisher.
        reorder_ns: How long records wait for earlier ones: ns of ``ts_event``, and by the clock at most as long.
        numbering: Within what the source's ``sequence`` counts.
        stale_after_ns: After this long without a record strategies are told; 0: never.
        rate_limit: Most records a second, with bursts of a tenth of that; 0: no limit.
        rate_policy: What is above it is rejected, or its publisher waits.
        high_watermark: Strategies are told when so many records of a publisher wait; 0: never.
        low_watermark: And again when so few do.
    """

    adapter: AdapterName = "ticks"
    path: PathText | None = None
    start: TimeNs = None
    end: TimeNs = None
    options: Options = Field(default_factory=FrozenTable)
    secrets: Secrets = Field(default_factory=FrozenTable)
    speed: Speed = None
    policy: Literal["block", "reject", "drop_newest", "drop_oldest", "conflate"] | None = None
    capacity: Annotated[int | None, Field(ge=2, le=MAX_SLOTS)] = None
    timeout_s: Annotated[float | None, Field(ge=0.0, le=MAX_WAIT_S)] = None
    trades: Literal["keep", "sum", "drop"] | None = None
    backwards: Literal["pass", "reject", "reorder"] | None = None
    reorder_ns: Annotated[int | None, Field(ge=0, le=INT64_MAX)] = None
    numbering: Literal["ignored", "by_instrument", "by_publisher"] | None = None
    stale_after_ns: Annotated[int | None, Field(ge=0, le=INT64_MAX)] = None
    rate_limit: Annotated[int | None, Field(ge=0, le=UINT32_MAX)] = None
    rate_policy: Literal["reject", "wait"] | None = None
    high_watermark: Annotated[int | None, Field(ge=0, le=MAX_SLOTS)] = None
    low_watermark: Annotated[int | None, Field(ge=0, le=MAX_SLOTS)] = None

    def delivery(self) -> dict[str, Any]:
        """What the table says of a live feed, by the names of ``TickDispatcher.live_feed``."""
        said = ((name, getattr(self, name)) for name in DELIVERY_KEYS)
        return {name: value for name, value in said if value is not None}


#: What ``FeedConfig`` says of live feeds.
DELIVERY_KEYS = (
    *("policy", "capacity", "timeout_s", "trades", "backwards", "reorder_ns", "numbering", "stale_after_ns"),
    *("rate_limit", "rate_policy", "high_watermark", "low_watermark"),
)


class _Adapted(_Table):
    adapter: AdapterName = "simulated"
    account: Id | None = None


class VenueConfig(VenueTerms, _Adapted):
    """Table ``[venues.ID]``: where orders go; the id is the part of an instrument's id after its last dot.

    The keys between ``adapter`` and ``options`` are those of ``VenueTerms``; an adapter that does not take one that is
    set refuses it.

    Attributes:
        adapter: Name of the adapter, or ``module:Class``; ``simulated`` fills from the ticks.
        account: Which account orders go to: one live run at a time trades on it. Not for a simulated venue.
        options: Whatever else the adapter takes; text under a name that says secret is one.
        secrets: What the adapter takes and nobody may see, each passed as a ``SecretStr``.
    """

    options: Options = Field(default_factory=FrozenTable)
    secrets: Secrets = Field(default_factory=FrozenTable)

    def settings(self) -> dict[str, Any]:
        """What the adapter is made with: its fee, whatever else was set, options and secrets."""
        said = {name: getattr(self, name) for name in VenueTerms.model_fields if name in self.model_fields_set}
        return {"fee_rate": self.fee_rate, **said, **self.options, **self.secrets}


class StrategyConfig(_Table):
    """Table ``[strategies.ID]``.

    Attributes:
        class_: Key ``class``: ``module:Class``.
        instruments: Ids of what the strategy receives, or ``"*"`` for everything.
        params: Values for the class's parameters, checked against the class when it is built.
        secrets: Values for parameters of type ``SecretStr``.
        enabled: Whether the strategy takes part.
        after: Ids of strategies that start before this one, and are called before it.
        max_ticks: Most ticks in a batch (classes with ``on_batch``).
        window_ns: Time span of a batch, aligned to the epoch; 0 is none.
        max_lag_records: Most records that may wait in a publisher's ring, else ``when_lagging`` holds; 0 is no limit.
        max_lag_ns: Longest time that the next record may have waited; 0 is no limit.
        when_lagging: What becomes of records beyond that limit, where ticks come from live feeds.
        on_error: What is done about a failure of it.
        critical: Whether the run stops once it stays FAILED.
        max_restarts: Most restarts within ``restart_window_ns``.
        restart_window_ns: The time over which restarts are counted.
        restart_backoff_ns: How long the first restart waits; each further one twice as long.
        restart_max_backoff_ns: Longest wait.
        orders_at_stop: What becomes of its open orders when a live run stops.
        positions_at_stop: What becomes of its positions then.
        capital: What it is given to trade with, in the run's currency.
        leverage: How many times its worth it may be exposed to, as ``portfolio.buying_power`` counts.
        lane: A thread of its own for a compiled strategy, where ticks come from live feeds.
    """

    class_: Annotated[ClassPath, Field(alias="class")]
    instruments: Annotated[tuple[str, ...] | Literal["*"], InstrumentList] = "*"
    params: Params = Field(default_factory=FrozenTable)
    secrets: Secrets = Field(default_factory=FrozenTable)
    enabled: bool = True
    after: Annotated[tuple[Id, ...], PathList] = ()
    max_ticks: Annotated[int, Field(ge=1, le=UINT32_MAX)] = 4_096
    window_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    max_lag_records: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    max_lag_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    when_lagging: Literal["skip_to_latest", "conflate", "fail"] = "skip_to_latest"
    on_error: Literal["stop", "restart", "stop_runtime"] = "stop"
    critical: bool = False
    max_restarts: Annotated[int, Field(ge=0, le=UINT32_MAX)] = 1
    restart_window_ns: Annotated[int, Field(ge=1, le=INT64_MAX)] = 60_000_000_000
    restart_backoff_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] = 1_000_000_000
    restart_max_backoff_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] = 60_000_000_000
    orders_at_stop: Literal["cancel", "leave"] = "cancel"
    positions_at_stop: Literal["keep", "close"] = "keep"
    capital: float = 0.0
    leverage: Annotated[float, Field(gt=0.0)] = 1.0
    lane: Lane | None = None


class LimitConfig(OrderLimits, _Table):
    """Table ``[limits.ID]``: what the orders of some strategies may not go beyond, each strategy by itself.

    Attributes:
        strategies: Ids of the strategies that it binds, or ``"*"`` for all.
        instruments: Ids of the instruments that it holds for, or ``"*"`` for all.
    """

    strategies: Annotated[tuple[str, ...] | Literal["*"], IdList] = "*"
    instruments: Annotated[tuple[str, ...] | Literal["*"], InstrumentList] = "*"


class RuntimeConfig(_Table):
    """A whole configuration: ``[runtime]`` and five tables keyed by id."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    instruments: Annotated[dict[InstrumentKey, InstrumentConfig], Table] = Field(default_factory=FrozenTable)
    feeds: Annotated[dict[Id, FeedConfig], Table] = Field(default_factory=FrozenTable)
    venues: Annotated[dict[Id, VenueConfig], Table] = Field(default_factory=FrozenTable)
    strategies: Annotated[dict[Id, StrategyConfig], Table] = Field(default_factory=FrozenTable)
    limits: Annotated[dict[Id, LimitConfig], Table] = Field(default_factory=FrozenTable)
