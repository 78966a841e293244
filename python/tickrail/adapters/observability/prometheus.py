"""Metrics of a run for Prometheus: read from the native counters and histograms when somebody scrapes, never before.

Needs the extra ``obs`` (``prometheus_client``). The loop does not know that it is watched: a scrape asks for the same
consistent snapshot that ``Runtime.stats()`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from types import TracebackType
from typing import Any, Final, Protocol, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["MetricsServer", "RuntimeCollector", "Stats", "exposition"]

BOUNDS_NS: Final = (*(int(step * 10**power) for power in range(2, 10) for step in (1, 2.5, 5)), 10**10)
"""Upper bounds of the buckets of all histograms: 100 ns to 10 s, three a decade."""
NS: Final = 1e-9
STRATEGY_OUTCOMES: Final = (
    *("delivered", "filtered", "paused", "failed", "stopped", "max_lag"),
    *("dropped_newest", "dropped_oldest", "conflated"),
)
"""What becomes of a record for a strategy; with those that wait, every record is in one of them."""
FEED_OUTCOMES: Final = (
    *("taken", "invalid", "duplicates", "refused", "rate_limited"),
    *("dropped_newest", "dropped_oldest", "conflated"),
)
TIMES: Final = {
    "handler": "How long handlers take with a tick or a batch, of one in each sample_every ticks",
    "latency": "From the stamp that a feed gave a tick on entry to the call of its handler",
    "lateness": "From the time that a timer was set for to its call",
}


class Stats(Protocol):
    """What a ``RuntimeStats`` has of it."""

    position: int
    now_ns: int
    ticks: int
    strategies: tuple[Any, ...]
    feeds: tuple[Any, ...]
    drift_ns: int | None
    wall_jumps: int | None


class RuntimeCollector(Collector):
    """What a run has counted and measured, as metrics whose names begin with ``tickrail_``.

    Args:
        stats: Asked at each scrape: ``runtime.stats``.
        telemetry: Whose counters and gauges are told too, if it keeps any: the ``TelemetryPort`` of the run.

    Thread safety: any thread.
    """

    def __init__(self, stats: Callable[[], Any], *, telemetry: object = None) -> None:
        self._stats = stats
        self._telemetry = telemetry

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering it asks the run nothing, which may not have begun."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics as of one moment, the end of a step."""
        stats: Stats = self._stats()
        yield from _loop(stats)
        yield from _strategies(stats)
        yield from _feeds(stats)
        yield from _told(self._telemetry)


class MetricsServer:
    """Serves a collector by HTTP, on a thread of its own, until it is closed.

    Args:
        collector: What it tells.
        host: Address that it listens at.
        port: Port; 0 takes a free one.

    Attributes:
        port: The port.

    Raises:
        OSError: Nothing can listen there.
    """

    def __init__(self, collector: Collector, *, host: str = "127.0.0.1", port: int = 9464) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        self._server, self._thread = start_http_server(port, host, registry)
        self._thread.name = "tickrail-metrics"
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Answer nobody any more. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def exposition(collector: Collector) -> Callable[[], tuple[int, str, bytes]]:
    """What answers a scrape: status, media type and body."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry))


def _loop(stats: Stats) -> Iterator[Metric]:
    yield CounterMetricFamily("tickrail_ticks", "Ticks that the loop has taken", value=stats.ticks)
    yield GaugeMetricFamily("tickrail_loop_position", "Steps that the loop has made", value=stats.position)
    yield GaugeMetricFamily("tickrail_clock_seconds", "The run's clock, since the Unix epoch", value=stats.now_ns * NS)
    if stats.drift_ns is not None:
        drift = "How far the wall clock is ahead of the run's"
        yield GaugeMetricFamily("tickrail_clock_drift_seconds", drift, value=stats.drift_ns * NS)
    if stats.wall_jumps is not None:
        jumps = "How often the wall clock was found to have been set"
        yield CounterMetricFamily("tickrail_wall_clock_jumps", jumps, value=stats.wall_jumps)


def _strategies(stats: Stats) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "tickrail_strategy_records", "What became of each record for the strategy", labels=("strategy", "outcome")
    )
    pending = GaugeMetricFamily("tickrail_strategy_pending", "Records that wait for the strategy", labels=("strategy",))
    states = GaugeMetricFamily("tickrail_strategy_state", "1 for the state it is in", labels=("strategy", "state"))
    for one in stats.strategies:
        for outcome in STRATEGY_OUTCOMES:
            records.add_metric((one.name, outcome), getattr(one.account, outcome))
        pending.add_metric((one.name,), one.account.pending)
        states.add_metric((one.name, one.account.state), 1.0)
    yield from (records, pending, states, *_traded(stats))
    for measure, what in TIMES.items():
        measured = ((one.name, getattr(one, measure)) for one in stats.strategies)
        yield _times(f"tickrail_{measure}_seconds", what, "strategy", measured)


def _traded(stats: Stats) -> Iterator[Metric]:
    orders = CounterMetricFamily("tickrail_strategy_orders", "Orders that the strategy made", labels=("strategy",))
    open_orders = GaugeMetricFamily("tickrail_strategy_open_orders", "Orders that are not done", labels=("strategy",))
    pnl = GaugeMetricFamily(
        "tickrail_strategy_pnl", "Realised and not, less fees, in the run's currency", labels=("strategy",)
    )
    for one in stats.strategies:
        orders.add_metric((one.name,), one.traded.orders)
        open_orders.add_metric((one.name,), one.traded.open_orders)
        if one.traded.pnl is not None:
            pnl.add_metric((one.name,), one.traded.pnl)
    yield from (orders, open_orders, pnl)


def _feeds(stats: Stats) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "tickrail_feed_records", "What became of each record of the feed", labels=("feed", "outcome")
    )
    counts: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
        "offered": CounterMetricFamily("tickrail_feed_offered", "Records that publishers brought", labels=("feed",)),
        "gaps": CounterMetricFamily("tickrail_feed_gaps", "Jumps in numbers, and reconnections", labels=("feed",)),
        "stale": CounterMetricFamily("tickrail_feed_stale", "How often it was silent for too long", labels=("feed",)),
        "waits": CounterMetricFamily("tickrail_feed_waits", "How often publishers waited for a slot", labels=("feed",)),
        "pending": GaugeMetricFamily("tickrail_feed_pending", "Records that wait in rings", labels=("feed",)),
        "high_water": GaugeMetricFamily("tickrail_feed_high_water", "Most that ever waited", labels=("feed",)),
        "publishers": GaugeMetricFamily("tickrail_feed_publishers", "Publishers that are open", labels=("feed",)),
    }
    for one in stats.feeds:
        invalid = sum(one.account.invalid.values())
        for outcome in FEED_OUTCOMES:
            records.add_metric((one.name, outcome), invalid if outcome == "invalid" else getattr(one.account, outcome))
        for name, family in counts.items():
            family.add_metric((one.name,), getattr(one.account, name))
    yield from (records, *counts.values())
    waits = ((one.name, one.wait) for one in stats.feeds)
    yield _times(
        "tickrail_feed_wait_seconds", "How long records wait for the loop, of one in each slice", "feed", waits
    )


def _times(name: str, what: str, label: str, measured: Iterable[tuple[str, Any]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, what, labels=(label,))
    for owner, latency in measured:
        if latency is not None:
            family.add_metric((owner,), _buckets(latency), sum_value=latency.mean_ns * latency.count * NS)
    return family


def _buckets(latency: Any) -> list[tuple[str, float]]:
    """Counts up to each bound; a native bucket, 1.6 % wide at most, counts where all of it lies below."""
    counts = [0] * (len(BOUNDS_NS) + 1)
    for _, to_ns, count in latency.histogram.buckets():
        counts[next((place for place, bound in enumerate(BOUNDS_NS) if to_ns <= bound), len(BOUNDS_NS))] += count
    bounds = [*(repr(bound / 1e9) for bound in BOUNDS_NS), "+Inf"]
    return [(bound, float(total)) for bound, total in zip(bounds, accumulate(counts), strict=True)]


def _told(telemetry: object) -> Iterator[Metric]:
    """What strategies told by ``self.telemetry.metric``; the name is a label, as any text may be one."""
    counters, gauges = _kept(telemetry, "counters"), _kept(telemetry, "gauges")
    if counters:
        family = CounterMetricFamily("tickrail_telemetry", "Counters of strategies", labels=("name",))
        for name, value in counters.items():
            family.add_metric((name,), value)
        yield family
    if gauges:
        gauge = GaugeMetricFamily("tickrail_telemetry_gauge", "Gauges of strategies", labels=("name",))
        for name, value in gauges.items():
            gauge.add_metric((name,), value)
        yield gauge


def _kept(telemetry: object, name: str) -> Mapping[str, float]:
    kept = getattr(telemetry, name, None)
    return dict(kept) if isinstance(kept, Mapping) else {}  # a copy: the loop's thread may add one meanwhile
