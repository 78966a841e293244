"""What a start costs: configuration, checks, container, bootstrap, and a process up to its first tick."""

import gc
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dishka

from benches.yardstick import ROUNDS, Comparison, Work, interleave
from tickrail import Container, Provider, RuntimeBootstrapper
from tickrail.config import load_config
from tickrail.data import generate_file

GETS = 20_000
LOADS = 20
CHAIN = 5

STRATEGY = """
import os, time
from tickrail import Strategy

class Quiet(Strategy):
    fast: int = 20
    slow: int = 100

    def on_quote(self, tick):
        pass

class First(Strategy):
    def on_start(self):
        self.seen = False

    def on_quote(self, tick):
        if not self.seen:
            self.seen = True
            with open(os.environ["FIRST_TICK"], "w") as file:
                file.write(str(time.monotonic_ns()))
"""


@contextmanager
def project(strategies: int, files: int = 1, cls: str = "Quiet") -> Iterator[Path]:
    """A configured project in a folder of its own: half of the files in ``base``, half in ``live``."""
    with tempfile.TemporaryDirectory(prefix="tickrail-benches-") as name:
        folder = Path(name)
        for layer in ("base", "live"):
            (folder / "config" / layer).mkdir(parents=True)
        (folder / "bench_strategies.py").write_text(STRATEGY)
        generate_file(folder / "demo.ticks", 1_000, seed=1)
        feed = '[feeds.demo]\npath = "demo.ticks"\n[venues.SIM]\nfee_rate = 0.00002\n'
        half = max(files // 2, 1)
        for number in range(half):
            mine = range(number, strategies, half)
            base = "".join(_table(one, cls) for one in mine)
            live = "".join(f"[strategies.s{one}]\nmax_ticks = {one + 1}\n" for one in mine)
            (folder / "config" / "base" / f"{number:02}.toml").write_text(base)
            (folder / "config" / "live" / f"{number:02}.toml").write_text((feed if number == 0 else "") + live)
        yield folder


def _table(number: int, cls: str) -> str:
    params = "params = { fast = 15, slow = 90 }\n" if cls == "Quiet" else ""
    return f'[strategies.s{number}]\nclass = "bench_strategies:{cls}"\ninstruments = ["EURUSD.SIM"]\n{params}'


def configuration(rounds: int) -> Comparison:
    """``load_config`` of 20 files; the yardstick reads the same texts by the standard library, no more."""
    with project(10, files=20) as folder:
        texts = [path.read_text() for path in sorted(folder.rglob("*.toml"))]
        assert len(texts) == 20

        def load() -> None:
            for _ in range(LOADS):
                load_config("live", root=folder / "config", environ={})

        def read() -> None:
            for _ in range(LOADS):
                for text in texts:
                    tomllib.loads(text)

        return interleave(Work(load, LOADS), Work(read, LOADS), rounds=rounds)


def check_s(rounds: int) -> float:
    """All that ``tickrail check`` does for 100 strategies, in this process; the median."""
    with project(100) as folder:
        return _median_s(rounds, lambda: RuntimeBootstrapper("live", root=folder / "config", environ={}).check())


def boot_s(rounds: int) -> float:
    """100 strategies up to a runtime that is ready, and closed again; the median."""

    def boot() -> None:
        RuntimeBootstrapper("live", root=folder / "config", environ={}).bootstrap().close()

    with project(100) as folder:
        return _median_s(rounds, boot)


def _median_s(rounds: int, act: Callable[[], object]) -> float:
    figures = []
    for _ in range(rounds + 1):
        gc.collect()
        start = time.perf_counter()
        act()
        figures.append(time.perf_counter() - start)
    return statistics.median(figures[1:])


def get(rounds: int) -> Comparison:
    """A singleton asked for again, in both made by dishka before; the yardstick is dishka's container as it comes.

    A source that finalises is never made by the facade itself, so that both sides make and keep the object alike. What
    ours saves when it is asked again is dishka's lock and the look-ups under it: the facade keeps what it has handed
    out in a dict of its own.
    """

    class Store: ...

    def make() -> Iterator[Store]:
        yield Store()

    ours = Container.build(Provider().singleton(Store, make))
    provider = dishka.Provider(scope=dishka.Scope.APP)
    provider.provide(make)
    theirs = dishka.make_container(provider)
    for container in (ours, theirs):
        assert container.get(Store) is container.get(Store)
    return interleave(Work(_asking(ours.get, Store), GETS), Work(_asking(theirs.get, Store), GETS), rounds=rounds)


def _asking(get: Callable[[type], object], key: type) -> Callable[[], None]:
    def ask() -> None:
        for _ in range(GETS):
            get(key)

    return ask


def build_ms(rounds: int) -> float:
    """100 registrations in 20 chains of five, checked, built by dishka and asked for the end of a chain."""
    keys = [type(f"Key{number}", (), {}) for number in range(100)]

    def build() -> None:
        provider = Provider()
        for number, key in enumerate(keys):
            below = keys[number - 1] if number % CHAIN else None
            provider.singleton(key, _maker(key, below))
        with Container.build(provider) as container:
            container.get(keys[CHAIN - 1])

    return _median_s(rounds, build) * 1e3


def _maker(key: type, below: type | None) -> Callable[..., object]:
    def alone() -> object:
        return key()

    def above(it: object) -> object:
        return key()

    if below is None:
        return alone
    above.__annotations__ = {"it": below, "return": key}
    return above


def first_tick_ms(rounds: int) -> float:
    """``tickrail run`` with one strategy: from the start of the process to its first tick; the first does not count."""
    with project(1, cls="First") as folder:
        return statistics.median([_first_tick_ms(folder) for _ in range(rounds + 1)][1:])


def _first_tick_ms(folder: Path) -> float:
    mark = folder / "first"
    command = [sys.executable, "-m", "tickrail", "run", "--env", "live"]
    start = time.monotonic_ns()
    subprocess.run(command, cwd=folder, env={"FIRST_TICK": str(mark)}, capture_output=True, check=True)
    return (int(mark.read_text()) - start) / 1e6


def main() -> None:
    """Every figure that the wiring promises, one a line: ``python -m benches.wiring``."""
    loads, asks = configuration(ROUNDS), get(ROUNDS)
    lines = (
        ("configuration, 20 files", loads.case_ns / 1e6, 2.0, "ms"),
        ("  of these the standard parser", loads.yardstick_ns / 1e6, None, "ms"),
        ("check, 100 strategies", check_s(ROUNDS), 1.0, "s"),
        ("boot, 100 strategies", boot_s(ROUNDS), 1.0, "s"),
        ("a singleton asked for again", asks.case_ns, None, "ns"),
        ("  dishka's own: lock, look-ups", asks.yardstick_ns, None, "ns"),
        ("  ours, a dict, over dishka's", asks.ratio, 1.5, "times"),
        ("container, 100 registrations", build_ms(ROUNDS), 25.0, "ms"),
        ("tickrail run to its first tick", first_tick_ms(ROUNDS), 400.0, "ms"),
    )
    for name, value, promised, unit in lines:
        print(f"{name:32}{value:10.2f} {unit:6}" + ("" if promised is None else f"(promised: below {promised:g})"))


if __name__ == "__main__":
    main()
