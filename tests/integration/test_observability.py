"""Metrics for Prometheus, spans of OpenTelemetry, log records with strategy and correlation id."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from prometheus_client.parser import text_string_to_metric_families

import tickrail
from tickrail import Strategy, Tick, TickDispatcher, errors, testing
from tickrail.adapters.backtest.memory import MemoryTelemetry
from tickrail.adapters.observability import logs
from tickrail.adapters.observability.prometheus import BOUNDS_NS, MetricsServer, RuntimeCollector
from tickrail.domain.commands import Command
from tickrail.domain.context import correlated
from tickrail.orchestration.command_bus import CommandBus
from tickrail.testing import boot

MODULE = """
    import logging
    from tickrail import Strategy

    LOG = logging.getLogger("tickrail.strategies")

    class Tells(Strategy):
        def on_start(self):
            LOG.info("begins")

        def on_tick(self, tick):
            self.telemetry.metric("seen")

    class Fails(Strategy):
        def on_tick(self, tick):
            raise ValueError("no more")
"""


class Counts(Strategy):
    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: Tick) -> None:
        self.count += 1
        self.telemetry.metric("seen", 2.0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import textwrap

    (tmp_path / "telling.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.delitem(sys.modules, "telling", raising=False)
    return tmp_path


def samples(port: int) -> dict[tuple[str, ...], float]:
    """What a scrape gives: name and values of labels to figure, read as Prometheus reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# ---- Prometheus ----------------------------------------------------------------------------------------------------


def test_a_scrape_has_what_the_run_has_counted_and_measured() -> None:
    run, telemetry = TickDispatcher([{"id": "A.SIM"}, {"id": "B.SIM"}], sample_every=4), MemoryTelemetry()
    run.feed("a", testing.quotes(1_000, instrument="A.SIM"))
    strategy = Counts()
    strategy.telemetry = telemetry  # type: ignore[misc]
    telemetry.metric("level", 0.5, kind="gauge")
    run.register(strategy, "counts")
    run.register(Counts(), "idle", instruments=["B.SIM"])
    with MetricsServer(RuntimeCollector(run.stats, telemetry=telemetry), port=0) as server:
        before = samples(server.port)
        assert before["tickrail_ticks_total",] == 0.0
        run.run()
        found = samples(server.port)
    stats = run.stats()
    handler = stats.strategy("counts").handler
    assert handler is not None
    assert found["tickrail_ticks_total",] == 1_000.0
    assert found["tickrail_loop_position",] == stats.position
    assert found["tickrail_strategy_records_total", "delivered", "counts"] == 1_000.0
    assert found["tickrail_strategy_records_total", "filtered", "idle"] == 1_000.0
    assert found["tickrail_strategy_state", "STOPPED", "counts"] == 1.0
    assert found["tickrail_telemetry_total", "seen"] == 2_000.0
    assert found["tickrail_telemetry_gauge", "level"] == 0.5
    assert found["tickrail_handler_seconds_count", "counts"] == handler.count == 250.0
    assert found["tickrail_handler_seconds_sum", "counts"] == pytest.approx(handler.mean_ns * handler.count * 1e-9)
    bounds = [repr(bound / 1e9) for bound in BOUNDS_NS]
    counts = [found["tickrail_handler_seconds_bucket", bound, "counts"] for bound in [*bounds, "+Inf"]]
    assert counts == sorted(counts)
    assert counts[-1] == 250.0
    below_p99 = sum(bound <= handler.p99_ns for bound in BOUNDS_NS)
    assert counts[below_p99] >= 0.99 * 250
    assert not any(name.startswith("tickrail_feed_records") for name, *_ in found), "a backtest has no feeds to count"


def test_every_outcome_of_every_record_is_in_it_and_adds_up() -> None:
    """Whatever is added to the accounts has to be told here too."""
    run = tickrail.open_live(strategy := Counts(), ["A.SIM"], sample_every=1)
    feed = run.feed("fed", policy="drop_newest", capacity=16, rate_limit=0)
    publisher = feed.publisher()
    publisher.publish(testing.quotes(100, instrument="A.SIM"))
    publisher.close()
    run.seal()
    run.run()
    (fed,), (counts,) = run.stats().feeds, run.stats().strategies
    with MetricsServer(RuntimeCollector(run.stats), port=0) as server:
        found = samples(server.port)
    outcomes = {key[2]: value for key, value in found.items() if key[0] == "tickrail_feed_records_total"}
    assert outcomes["taken"] == 16.0
    assert outcomes["dropped_newest"] == 84.0
    assert sum(outcomes.values()) + fed.account.pending == fed.account.offered + fed.account.made
    outcomes = {key[1]: value for key, value in found.items() if key[0] == "tickrail_strategy_records_total"}
    assert sum(outcomes.values()) + counts.account.pending == counts.account.published
    assert found["tickrail_feed_offered_total", "fed"] == 100.0
    assert found["tickrail_latency_seconds_count", "Counts"] > 0
    assert found["tickrail_feed_wait_seconds_count", "fed"] > 0
    assert ("tickrail_clock_drift_seconds",) in found
    assert strategy.count == 16


def test_a_configured_run_serves_its_metrics_as_long_as_it_is_open(project: Path) -> None:
    before = set(threading.enumerate())
    configuration = {
        "runtime": {"http": "127.0.0.1:0"},
        "strategies": {"one": {"class": "telling:Tells"}},
    }
    with boot(configuration, folder=project) as runtime:
        assert runtime.http_port is not None
        runtime.run()
        found = samples(runtime.http_port)
        assert found["tickrail_strategy_records_total", "delivered", "one"] == 1_000.0
        assert found["tickrail_telemetry_total", "seen"] == 1_000.0
        port = runtime.http_port
        taken = {**configuration, "runtime": {"http": f"127.0.0.1:{port}"}}
        with (
            pytest.raises(errors.ConfigError, match=r"runtime\.http: .*Address already in use") as caught,
            boot(taken, folder=project / "second"),
        ):
            pass
        assert caught.value.exit_code == 78
    assert set(threading.enumerate()) <= before, "a thread was left running"
    with pytest.raises(OSError, match="refused"):
        samples(port)


def test_checking_listens_nowhere_and_metrics_say_what_they_lack(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tickrail.testing import write_config

    root = write_config(
        project, {"runtime": {"http": "127.0.0.1:1"}, "strategies": {"one": {"class": "telling:Tells"}}}
    )
    tickrail.RuntimeBootstrapper("test", root=root, environ={}).check()  # a port that nobody may listen at
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    configuration = {"runtime": {"http": "127.0.0.1:0"}, "strategies": {"one": {"class": "telling:Tells"}}}
    with boot(configuration, folder=project / "second") as runtime:
        with pytest.raises(urllib.error.HTTPError) as refused:
            samples(runtime.http_port or 0)
        assert refused.value.code == 501
        assert "prometheus_client, which is not installed: pip install 'tickrail[obs]'" in refused.value.read().decode()
        refused.value.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{runtime.http_port}/livez", timeout=30) as alive:
            assert alive.status == 200


@pytest.mark.parametrize("wrong", ["9464", "localhost", "localhost:port", ":1", "localhost:70000", "a b:1"])
def test_an_address_that_is_none(project: Path, wrong: str) -> None:
    with (
        pytest.raises(errors.ConfigError, match=r"expected an address as HOST:PORT"),
        boot({"runtime": {"http": wrong}, "strategies": {"one": {"class": "telling:Tells"}}}, folder=project),
    ):
        pass


# ---- log records -----------------------------------------------------------------------------------------------------


class Note(Command):
    text: str


@contextmanager
def logged(form: logs.Format, **more: Any) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logs.install(form, stream=stream, **more)
    try:
        yield stream
    finally:
        logs.remove(handler)


def test_every_record_has_strategy_and_correlation_id() -> None:
    bus = CommandBus()
    log = logging.getLogger("tickrail.test")
    bus.register(Note, lambda command: log.info(command.text))
    with logged("json", run="live-7") as stream:
        log.info("outside")
        bus.execute(Note("first"))
        with correlated("order-17"):
            log.info("of a story")
            bus.execute(Note("of the story"))
        try:
            raise OSError("disk")
        except OSError:
            log.exception("with %s", "reason", extra={"free": object, "level": "mine"})
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"time", "level", "logger", "message", "strategy", "correlation_id"} <= set(row) for row in rows)
    assert [(row["message"], row["correlation_id"], row["strategy"]) for row in rows] == [
        ("outside", "live-7", ""),
        ("first", "live-7/1", ""),
        ("of a story", "order-17", ""),
        ("of the story", "order-17", ""),
        ("with reason", "live-7", ""),
    ]
    assert rows[-1]["free"].startswith("<class")
    assert rows[-1]["level"] == "error", "what is given as extra replaces nothing"
    assert "OSError: disk" in rows[-1]["exception"]
    bus.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_records_of_a_strategy_name_it(project: Path, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    configuration = {"runtime": {"log": form}, "strategies": {"teller": {"class": "telling:Tells"}}}
    with boot(configuration, folder=project) as runtime:
        runtime.run()
    lines = [line for line in capfd.readouterr().err.splitlines() if "begins" in line]
    (line,) = lines
    if form == "json":
        row = json.loads(line)
        assert row["strategy"] == "teller"
        assert row["correlation_id"].startswith("test-")
    else:
        assert " [teller test-" in line


# ---- OpenTelemetry ---------------------------------------------------------------------------------------------------


class Kept(trace.NonRecordingSpan):
    """A span as a test looks at it; made with the API alone."""

    def __init__(self, name: str, parent: Kept | None) -> None:
        super().__init__(trace.SpanContext(1, 1, is_remote=False))
        self.name, self.parent = name, parent
        self.attributes: dict[str, Any] = {}
        self.ended, self.errors = False, list[str]()

    def is_recording(self) -> bool:
        return not self.ended

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        self.errors.append(type(exception).__name__)

    def end(self, end_time: int | None = None) -> None:
        self.ended = True


class Tracer(trace.NoOpTracer):
    def __init__(self) -> None:
        self.spans: list[Kept] = []

    @contextmanager
    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Iterator[Kept]:  # type: ignore[override]
        parent = trace.get_current_span()
        span = Kept(name, parent if isinstance(parent, Kept) else None)
        self.spans.append(span)
        with trace.use_span(span, end_on_exit=True):
            yield span

    def named(self, name: str) -> Kept:
        (found,) = [span for span in self.spans if span.name == name]
        return found


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Tracer:
    made = Tracer()
    monkeypatch.setattr(trace, "get_tracer", lambda name: made)
    return made


def test_start_run_commands_and_shutdown_are_spans(project: Path, tracer: Tracer) -> None:
    with boot({"strategies": {"one": {"class": "telling:Tells"}}}, folder=project) as runtime:
        runtime.commands.register(Note, lambda command: None)
        runtime.commands.submit(Note("wait for your turn"))
        runtime.run()
    names = [span.name for span in tracer.spans]
    assert names[0] == "tickrail.bootstrap"
    assert [name for name in names if name.startswith("tickrail.bootstrap.")] == [
        f"tickrail.bootstrap.{phase}" for phase in ("container", "strategies", "validation", "checks", "initialise")
    ]
    assert names[-3:] == ["tickrail.run", "tickrail.command.Note", "tickrail.shutdown"]
    assert tracer.named("tickrail.bootstrap").attributes == {"environment": "test"}
    assert tracer.named("tickrail.bootstrap.checks").parent is tracer.named("tickrail.bootstrap")
    note = tracer.named("tickrail.command.Note")
    assert note.parent is tracer.named("tickrail.run")
    assert note.attributes == {"tickrail.correlation_id": "1"}
    assert all(span.ended for span in tracer.spans)


def test_a_start_that_fails_and_a_command_that_fails_note_why(project: Path, tracer: Tracer) -> None:
    with pytest.raises(errors.ConfigError), boot({"strategies": {"one": {"class": "telling:Nobody"}}}, folder=project):
        pass
    assert tracer.named("tickrail.bootstrap").errors == ["ConfigProblems"]
    bus = CommandBus()

    def refuse(command: Note) -> None:
        raise LookupError(command.text)

    bus.register(Note, refuse)
    with pytest.raises(LookupError):
        bus.execute(Note("x"))
    assert tracer.named("tickrail.command.Note").errors == ["LookupError"]
    bus.close()


def test_async_commands_are_spans_within_their_callers(tracer: Tracer) -> None:
    bus, seen = CommandBus(), list[str]()

    async def handle(command: Note) -> str:
        current = trace.get_current_span()
        assert isinstance(current, Kept)
        seen.append(current.name)
        return command.text

    bus.register(Note, handle)
    with trace.use_span(outer := Kept("outer", None)):
        assert bus.execute(Note("hello")) == "hello"
    assert seen == ["tickrail.command.Note"]
    assert tracer.named("tickrail.command.Note").parent is outer
    assert otel_context.get_current() == {}
    bus.close()


WITHOUT: Final = """
import sys
sys.modules["opentelemetry"] = sys.modules["prometheus_client"] = None  # neither is installed
import tickrail
from tickrail.domain.commands import Command
from tickrail.orchestration.command_bus import CommandBus
from tickrail.testing import boot

class Note(Command):
    text: str

bus = CommandBus()
bus.register(Note, lambda command: command.text)
assert bus.execute(Note("x")) == "x"
bus.close()
with boot({"strategies": {"one": {"class": "telling:Tells"}}}) as runtime:
    assert runtime.run().ticks == 1_000
print("fine")
"""


def test_without_the_packages_all_of_it_is_nothing(project: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT]
    done = subprocess.run(
        command, cwd=project, env={"PYTHONPATH": str(project)}, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_nothing_of_it_is_imported_before_it_is_wanted(project: Path) -> None:
    program = (
        "import sys\nfrom tickrail.testing import boot\n"
        "with boot({'strategies': {'one': {'class': 'telling:Tells'}}}) as runtime: runtime.run()\n"
        "assert not {'opentelemetry', 'prometheus_client'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=project, env={"PYTHONPATH": str(project)}, check=True, timeout=100
    )
