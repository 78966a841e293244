"""Faults of configuration, plugins, ports and graph: the whole message (golden), exit code, and nothing left behind.

``UPDATE_GOLDEN=1 pytest tests/faults/test_golden_faults.py`` writes the files anew; read the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from tickrail.cli import main
from tickrail.config import load_config, schema
from tickrail.data import generate_file
from tickrail.orchestration.run_claim import CLAIM, claimed

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

GOLDEN = Path(__file__).parent / "golden"
CONFIG = 78
MIB = 1 << 20
PATIENCE_S = 5.0

RUNTIME = """\
[runtime]
seed = 1
adapter_prefixes = ["plugin"]
[feeds.demo]
path = "demo.ticks"
[venues.SIM]
[strategies.s]
class = "quiet:Quiet"
"""
QUIET = """
    from tickrail import Inject, Strategy

    class Service: ...

    class Quiet(Strategy):
        def on_quote(self, tick): ...

    class Needs(Quiet):
        service: Inject[Service]
"""


VENUE = """
    import sys
    from collections.abc import Iterator
    from tickrail import Provider
    from tickrail.errors import ConnectivityError
    from tickrail.ports import ExecutionPort
    from tickrail.testing import FakeExecution

    def venue() -> Iterator[ExecutionPort]:
        venue = FakeExecution()
        venue.faults.on("submit:answer", ConnectivityError("the connection broke before order s-1 was acknowledged"))
        yield venue
        held = sum(report.filled for report in venue.reports.values())
        sent = len(venue.called("submit"))
        sys.stderr.write(f"at the venue: {sent} requests, {len(venue.orders)} order, {held} held\\n")

    provider = Provider().singleton(ExecutionPort, venue)
"""
BUYER = """
    import sys
    from tickrail import Inject, Strategy
    from tickrail.domain.orders import OrderRequest
    from tickrail.ports import ExecutionPort

    class Buyer(Strategy):
        venue: Inject[ExecutionPort]

        def on_start(self):
            self.heard, self.filled = 0, {}
            self.venue.subscribe(self.hear)

        def hear(self, report):
            self.heard += report.state == "FILLED"
            self.filled[report.client_id] = report.filled  # of the whole order: what comes again changes nothing

        def on_quote(self, tick):
            if not self.filled:
                self.venue.submit(OrderRequest("s-1", tick.instrument, "BUY", 2.0))
                self.venue.deliver(times=2)

        def on_stop(self):
            sys.stderr.write(f"in the strategy: filled {self.heard} times, {sum(self.filled.values())} held\\n")
"""


TRADES = """
    import subprocess
    import sys
    from collections import Counter
    from tickrail import Strategy

    class Told(Strategy):
        def on_start(self):
            self.told = Counter()

        def on_order_update(self, update):
            self.told[update.status, update.reason] += 1

        def on_stop(self):
            for (status, reason), count in sorted(self.told.items()):
                sys.stderr.write(f"{count} {status} {reason}".rstrip() + "\\n")

    class Other(Told):
        def on_quote(self, tick):
            if tick.instrument == "OTHER.SIM":
                self.buy("EURUSD.SIM", 1.0)

    class Runaway(Told):
        def on_quote(self, tick):
            self.buy(tick.instrument, 1.0, limit=0.01)  # stays open
            self.buy(tick.instrument, 1e6)  # fat

    class Flood(Told):
        def on_start(self):
            super().on_start()
            self.ticks = 0

        def on_quote(self, tick):
            self.ticks += 1
            if self.ticks == 2:
                for _ in range(1_000):
                    self.buy(tick.instrument, 1.0)
                halt = [sys.executable, "-m", "tickrail", "ctl", "--timeout", "0.2", "halt", "--reason", "drill"]
                subprocess.run(halt, check=True)
"""


@dataclass
class Case:
    """What is done to a project, and what a user is told then.

    Attributes:
        name: Of the golden file, behind the number of the fault.
        prepare: Breaks the project.
        args: Of the command.
        code: Its exit code.
        environ: Variables of the process, beside those that it has.
    """

    name: str
    prepare: Callable[[Path], object]
    args: str = "run --env live"
    code: int = CONFIG
    environ: dict[str, str] = field(default_factory=dict)


def text(content: str | bytes, name: str = "live/b.toml") -> Callable[[Path], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda project: (project / "config" / name).write_bytes(data)


def feed(plugin: str, options: str = "") -> Callable[[Path], object]:
    """A feed of an adapter of the user's, in a module ``plugin``."""

    def prepare(project: Path) -> None:
        (project / "plugin.py").write_text(dedent(plugin))
        (project / "config" / "live" / "b.toml").write_text(f'[feeds.x]\nadapter = "plugin:Feed"\n{options}')

    return prepare


def services(module: str) -> Callable[[Path], object]:
    """Providers of the user's, and a strategy that needs a service."""

    def prepare(project: Path) -> None:
        (project / "services.py").write_text(dedent(module))
        (project / "config" / "live" / "b.toml").write_text(
            '[runtime]\nmodules = ["services:provider"]\n[strategies.s]\nclass = "quiet:Needs"\n'
        )

    return prepare


def several_adapters(project: Path) -> None:
    """Two feeds and a venue, each wrong in another way: what lacks, what is called otherwise, what is async by half."""
    (project / "plugin.py").write_text(
        dedent(
            """
            class Feed:
                def __init__(self, *, name): ...
                def open(self, path): ...

            class Live:
                instruments = ["EURUSD.SIM"]
                settings = {}
                def __init__(self, *, name): ...
                def start(self): ...
                async def close(self): ...

            class Venue:
                capabilities = frozenset({"market", "teleport"})
                def __init__(self, *, name): ...
                async def submit(self, order): ...
                async def amend(self, client_id): ...
                async def cancel(self, client_id): ...
                def status(self, client_id): ...
                def close(self): ...
            """
        )
    )
    (project / "config" / "live" / "b.toml").write_text(
        '[feeds.x]\nadapter = "plugin:Feed"\n[feeds.y]\nadapter = "plugin:Live"\n'
        '[venues.OTHER]\nadapter = "plugin:Venue"\n'
    )


def at(name: str, act: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda project: act(project / "config" / name)


GRAPH = """
    from tickrail import Provider
    from tickrail.orchestration.provider import Scope
    from quiet import Service
"""

CASES = [
    # F46: what is no file, or no text
    Case("f46_missing_environment", at("live/a.toml", lambda path: (path.unlink(), path.parent.rmdir()))),
    Case("f46_missing_root", lambda project: (project / "config").rename(project / "other")),
    Case("f46_empty", at("live/a.toml", lambda path: path.write_bytes(b""))),
    Case("f46_a_directory", at("live/b.toml", Path.mkdir)),
    Case("f46_utf16", text("[runtime]\nseed = 1\n".encode("utf-16"))),
    Case("f46_latin1", text(b"[runtime]\n# caf\xe9\n")),
    # F47: what says something else than was meant
    Case("f47_unknown_key", text("[runtime]\nsede = 2\n")),
    Case("f47_duplicate_key", text("[runtime]\nseed = 1\nseed = 2\n")),
    Case("f47_wrong_type", text('[runtime]\nseed = "two"\n')),
    Case("f47_no_as_text", text('[runtime]\nalways_fresh = "no"\n')),
    Case("f47_a_key_of_an_earlier_release", text("[runtime]\nlog_level = 1\n[venues.SIM]\nfees = 0.1\n")),
    Case("f47_octal", text("[runtime]\nseed = 010\n")),
    Case("f47_nan_and_1e999", text("[venues.SIM]\nfee_rate = nan\n[venues.X]\nfee_rate = 1e999\n")),
    # F48: what is meant to harm
    Case("f48_50_megabytes", text(b'x = "' + b"a" * 50_000_000 + b'"\n')),
    Case("f48_deep_brackets", text(b"x = " + b"[" * (MIB - 5))),
    Case("f48_deep_dots", text(b"a." * (MIB // 2 - 10) + b"a = 1\n")),
    Case("f48_deep_tables", text(b"x = " + b"{a=" * 300_000 + b"1" + b"}" * 100_000)),
    Case("f48_python_object", text("x: !!python/object:os.system [id]\n")),
    Case("f48_aliases", text("a: &a [x, x]\nb: [*a, *a]\n")),
    Case("f48_by_dots_out_of_the_root", at("live/b.toml", lambda path: path.symlink_to("../../elsewhere.toml"))),
    Case("f48_absolute_out_of_the_root", at("live/b.toml", lambda path: path.symlink_to("/etc/hostname"))),
    Case(
        "f48_a_variable_that_leaves_its_value",
        lambda project: None,
        environ={"TICKRAIL_RUNTIME__SEED": "1\n[runtime]\nexclusive = true", "TICKRAIL_RUNTIME__HTTP": "x:1 # y"},
    ),
    Case("f48_an_environment_out_of_the_root", lambda project: None, args="run --env ../elsewhere"),
    # F53: plugins
    Case("f53_import_fails", feed("1 / 0\n")),
    Case("f53_import_exits", feed("raise SystemExit('bye')\n")),
    Case("f53_not_there", feed("class Fed: ...\n")),
    Case("f53_outside_the_list", text('[feeds.x]\nadapter = "os.path:join"\n')),
    Case(
        "f53_factory_raises",
        feed("class Feed:\n    def __init__(self, *, name): raise OSError('no route to the source')\n"),
    ),
    Case(
        "f53_takes_no_such_option",
        feed("class Feed:\n    def __init__(self, *, name, speed=1): ...\n", "options = { sped = 2 }\n"),
    ),
    # F54: ports
    Case(
        "f54_not_what_its_port_says",
        feed(
            """
            class Feed:
                def __init__(self, *, name): ...
                async def open(self): ...
            """
        ),
    ),
    Case(
        "f54_a_live_feed_that_is_half_of_one",
        feed(
            """
            class Feed:
                def __init__(self, *, name): ...
                def start(self): ...
                async def close(self): ...
            """
        ),
    ),
    Case("f54_everything_wrong_with_several_adapters", several_adapters),
    # F55: the graph of services
    Case("f55_missing", services(GRAPH + "    provider = Provider()\n")),
    Case(
        "f55_cyclic",
        services(
            GRAPH
            + """
    class Left: ...
    class Right: ...

    def service(left: Left) -> Service: ...
    def left(right: Right) -> Left: ...
    def right(service: Service) -> Right: ...

    provider = Provider().singleton(Service, service).singleton(Left, left).singleton(Right, right)
    """
        ),
    ),
    Case(
        "f55_captive",
        services(
            GRAPH
            + """
    class Session: ...

    def service(session: Session) -> Service: ...

    provider = Provider().singleton(Service, service).scoped(Session)
    """
        ),
    ),
    Case(
        "f55_factory_raises",
        services(
            GRAPH
            + """
    from pathlib import Path

    class Store: ...

    def store():
        Path("store-open").touch()
        yield Store()
        Path("store-open").unlink()

    def service(store: Store) -> Service:
        raise OSError("the disk is full")

    store.__annotations__["return"] = __import__("collections.abc").abc.Iterator[Store]
    provider = Provider().singleton(Store, store).singleton(Service, service)
    """
        ),
        code=1,
    ),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "config" / "base").mkdir(parents=True)
    (tmp_path / "config" / "live").mkdir()
    (tmp_path / "config" / "live" / "a.toml").write_text(RUNTIME)
    (tmp_path / "quiet.py").write_text(dedent(QUIET))
    (tmp_path / "elsewhere.toml").write_text("[runtime]\nseed = 666\n")
    generate_file(tmp_path / "demo.ticks", 10, seed=1)
    for name in [name for name in os.environ if name.startswith("TICKRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("quiet", "plugin", "services"):
        sys.modules.pop(name, None)


def files(project: Path) -> list[Path]:
    return sorted(path for path in project.rglob("*"))


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends at this moment has no children
            found.update((task / "children").read_text().split())
    return found


@contextmanager
def nothing_left(project: Path) -> Iterator[None]:
    """No file, thread, process, descriptor or entry of ``sys.path`` more than before."""

    def everything() -> tuple[object, ...]:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return files(project), set(threading.enumerate()), children(), list(sys.path), descriptors

    before = everything()
    yield
    end = time.monotonic() + PATIENCE_S  # a timer that was called off ends by itself, a moment later
    while everything() != before and time.monotonic() < end:
        time.sleep(0.01)
    assert everything() == before


def shown(said: str, project: Path) -> str:
    """What is said, without what differs from run to run."""
    said = said.replace(f"{project}/", "PROJECT/").replace(str(project), "PROJECT").replace(os.uname().nodename, "HOST")
    return re.sub(r"(process |live-)\d+", r"\1PID", said)


def compare(name: str, said: str) -> None:
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(said)
    assert said == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_told_in_full_and_leaves_nothing_behind(
    case: Case, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(schema.RETIRED, ("runtime", "log_level"), "runtime.log")
    monkeypatch.setitem(schema.RETIRED, ("venues", "fees"), "venues.ID.fee_rate, as a fraction")
    case.prepare(project)
    CliRunner().invoke(main, ["check", "--env", "live"])  # whatever is loaded late is loaded now
    sys.modules.pop("plugin", None)
    with nothing_left(project):
        result = CliRunner(env=case.environ).invoke(main, case.args.split(), prog_name="tickrail")
    assert (result.stdout, result.exit_code) == ("", case.code), result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 2_000, "a message, not the file"
    compare(case.name, shown(result.stderr, project))


def in_a_process(project: Path, *arguments: str, before: tuple[str, ...] = (), first: str = "") -> tuple[int, str, str]:
    """Runs the command line in a process of its own, in which ``first`` is done before."""
    program = f"import sys; sys.dont_write_bytecode = True\n{first}\nfrom tickrail.cli import main\nmain()\n"
    done = subprocess.run(
        [*before, sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, shown(done.stderr, project)


def test_f46_no_permission(project: Path) -> None:
    """Root may read everything, unless it lays that power down."""
    (project / "config" / "live" / "a.toml").chmod(0)
    before = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    tree = files(project)
    code, out, said = in_a_process(project, "run", "--env", "live", before=before)
    assert (code, out) == (CONFIG, "")
    assert files(project) == tree
    compare("f46_no_permission", said)


IMPATIENT = """
from tickrail.orchestration import adapters
adapters.make_adapter.__kwdefaults__["timeout_s"] = 0.3
"""


def told_run(project: Path, *left_too: Path, control: str = "--no-control") -> tuple[int, str]:
    """A run in a process of its own: its exit code and all that it says; its result is all that it leaves."""
    tree = files(project)
    code, out, said = in_a_process(project, "run", "--env", "live", control)
    assert "Traceback" not in said
    if not left_too:
        left_too = (project / "runs" / "control",)  # for the next run; nothing is in it
    (run,) = (path for path in (project / "runs").iterdir() if path not in left_too)
    left = [path for path in files(project) if path not in tree and run not in (path, path.parent)]
    assert left == [project / "runs", *left_too]
    assert not [path for path in run.iterdir() if path.suffix == ".tmp" or not path.stat().st_size], "half written"
    times = ((r"in [\d.]+ s \([^)]*\)", "in TIME"), (r"longest [\d.]+ s", "longest TIME"))
    for pattern, name in (*times, (r"\b[0-9a-f]{64}\b", "DIGEST"), (run.name, "RUN")):
        out = re.sub(pattern, name, out)
    return code, said + out


def test_f49_an_operator_halts_a_flood_before_an_order_leaves(project: Path) -> None:
    """By ``tickrail ctl halt``, while the handler that has asked for a thousand orders keeps the loop."""
    (project / "trades.py").write_text(dedent(TRADES))
    (project / "config" / "live" / "b.toml").write_text('[strategies.s]\nclass = "trades:Flood"\n')
    trading = project / "runs" / "control" / "live.trading"
    code, said = told_run(project, trading.parent, trading, control="--control")
    assert code == 0, "what an operator did is no failure of the run"
    assert "HALTED" in trading.read_text(), "the next run starts so"
    compare("f49_halted_flood", said)


def test_f50_an_order_at_a_stale_price_is_refused_with_its_age(project: Path) -> None:
    """Orders for one instrument at ticks of another: whatever is older than allowed does not leave."""
    (project / "trades.py").write_text(dedent(TRADES))
    generate_file(project / "other.ticks", 10, seed=2, instruments=["OTHER.SIM"])
    (project / "config" / "live" / "b.toml").write_text(
        '[feeds.other]\npath = "other.ticks"\n[strategies.s]\nclass = "trades:Other"\n'
        "[limits.fresh]\nmax_tick_age_ns = 1\n"
    )
    code, said = told_run(project)
    assert code == 0, "a refusal is the strategy's to deal with, and no failure of the run"
    compare("f50_stale_price", said)


def test_f51_a_strategy_that_runs_away_is_halted(project: Path) -> None:
    (project / "trades.py").write_text(dedent(TRADES))
    (project / "config" / "live" / "b.toml").write_text(
        '[strategies.s]\nclass = "trades:Runaway"\n[limits.all]\nmax_open_orders = 2\nmax_order_quantity = 5.0\n'
        "max_refused_per_s = 4\n"
    )
    code, said = told_run(project)
    assert code == 0, "it harms nobody, and is told by each of its updates"
    compare("f51_runaway", said)


def test_f52_an_acknowledgement_is_lost_and_a_fill_comes_twice(project: Path) -> None:
    """The order is sent again after a restart, under its name: one order at the venue, and the position is exact."""
    (project / "services.py").write_text(dedent(VENUE))
    (project / "buyer.py").write_text(dedent(BUYER))
    (project / "config" / "live" / "b.toml").write_text(
        '[runtime]\nmodules = ["services:provider"]\n'
        '[strategies.s]\nclass = "buyer:Buyer"\non_error = "restart"\nrestart_backoff_ns = 0\n'
        '[strategies.other]\nclass = "quiet:Quiet"\n'
    )
    code, said = told_run(project)
    assert code == 0, said  # what the restart made good is no failure of the run
    compare("f52_acknowledgement_lost", said)


def test_f53_an_import_that_hangs_ends_with_the_process(project: Path) -> None:
    feed("import threading\nthreading.Event().wait()\n")(project)
    tree = files(project)
    code, out, said = in_a_process(project, "run", "--env", "live", first=IMPATIENT)
    assert (code, out) == (CONFIG, "")
    assert files(project) == tree
    compare("f53_import_hangs", said)


def test_f53_an_import_that_starts_a_thread_is_named(project: Path) -> None:
    """It is let in, as the thread may be meant; the process ends all the same."""
    feed(
        """
        import threading
        threading.Thread(target=threading.Event().wait, name="eager", daemon=True).start()
        from tickrail.testing.market_data import FakeMarketData as Feed
        """
    )(project)
    code, _, said = in_a_process(project, "run", "--env", "live", "--no-control", "--set", "runtime.log=text")
    assert code == 0
    (line,) = [line for line in said.splitlines() if "WARNING" in line]
    compare("f53_import_starts_a_thread", line.partition("WARNING")[2] + "\n")


def test_f57_a_run_directory_that_another_build_or_configuration_holds(project: Path) -> None:
    (project / "config" / "live" / "b.toml").write_text("[runtime]\nexclusive = true\n")
    with claimed(load_config("live", root=project / "config", environ={}), "another build") as folder:
        before = (folder / CLAIM).read_bytes()
        with nothing_left(project):
            result = CliRunner().invoke(main, ["run", "--env", "live", "--set", "runtime.seed=2"], prog_name="tickrail")
        assert (folder / CLAIM).read_bytes() == before
        assert json.loads(before)["build"] == "another build"
    assert (result.stdout, result.exit_code) == ("", CONFIG)
    compare("f57_run_directory_in_use", shown(result.stderr, project))
    assert CliRunner().invoke(main, ["run", "--env", "live", "--no-control"]).exit_code == 0, "once it is free"


def test_every_golden_file_has_its_case() -> None:
    in_processes = {
        "f52_acknowledgement_lost",
        "f46_no_permission",
        "f49_halted_flood",
        "f50_stale_price",
        "f51_runaway",
        "f53_import_hangs",
        "f53_import_starts_a_thread",
        "f57_run_directory_in_use",
    }
    assert {file.stem for file in GOLDEN.glob("f*.txt")} == {case.name for case in CASES} | in_processes
