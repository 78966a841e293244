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
from typing import NamedTuple

import dishka

from benches.live import empty_call
from benches.rings_python import BASE_CALL_NS
from benches.yardstick import ROUNDS, Comparison, Work, interleave
from tickrail import Container, Provider, RuntimeBootstrapper
from tickrail.config import load_config
from tickrail.data import generate_file

GETS = 20_000
LOADS = 20
CHAIN = 5
CALLS = 200_000

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


def container_build(rounds: int) -> Comparison:
    """100 registrations in 20 chains of five, checked, built and asked for the end of a chain; and by dishka alone."""
    keys = [type(f"Key{number}", (), {}) for number in range(100)]
    makers = [_maker(key, keys[number - 1] if number % CHAIN else None) for number, key in enumerate(keys)]

    def ours() -> None:
        provider = Provider()
        for key, maker in zip(keys, makers, strict=True):
            provider.singleton(key, maker)
        with Container.build(provider) as container:
            container.get(keys[CHAIN - 1])

    def theirs() -> None:
        provider = dishka.Provider(scope=dishka.Scope.APP)
        for key, maker in zip(keys, makers, strict=True):
            provider.provide(maker, provides=key)
        container = dishka.make_container(provider)
        container.get(keys[CHAIN - 1])
        container.close()

    return interleave(Work(ours, 1), Work(theirs, 1), rounds=rounds)


class Row(NamedTuple):
    """One figure, and what an empty call took meanwhile."""

    name: str
    value: float
    promised: float
    unit: str
    call_ns: float
    is_scaled: bool
    beside: str

    @property
    def limit(self) -> float:
        """What was promised, on this machine."""
        return self.promised * (self.call_ns / BASE_CALL_NS if self.is_scaled else 1.0)

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit

    def __str__(self) -> str:
        scaled = f"; {self.limit:.3g} where an empty call takes {self.call_ns:.0f} ns" if self.is_scaled else ""
        verdict = "met" if self.is_met else "MISSED"
        beside = f"  {self.beside}" if self.beside else ""
        return f"{self.name:32}{self.value:10.2f} {self.unit:6}{verdict} (promised: {self.promised:g}{scaled}){beside}"


class Promise(NamedTuple):
    """What is promised of a figure; the time of an interpreter for one in which an empty call takes 33 ns."""

    most: float
    unit: str
    measure: Callable[[int], tuple[float, str]]
    is_scaled: bool = True


def _load(rounds: int) -> tuple[float, str]:
    found = configuration(rounds)
    return found.case_ns / 1e6, f"the standard parser alone {found.yardstick_ns / 1e6:.2f} ms"


def _again(rounds: int) -> tuple[float, str]:
    found = get(rounds)
    return found.ratio, f"{found.case_ns:.0f} ns of a dict; dishka's lock and look-ups {found.yardstick_ns:.0f} ns"


def _build(rounds: int) -> tuple[float, str]:
    found = container_build(rounds)
    return found.case_ns / 1e6, f"{found.ratio:.2f} times dishka's own"


PROMISES: dict[str, Promise] = {
    "configuration, 20 files": Promise(2.0, "ms", _load),
    "check, 100 strategies": Promise(1.0, "s", lambda rounds: (check_s(rounds), "")),
    "boot, 100 strategies": Promise(1.0, "s", lambda rounds: (boot_s(rounds), "")),
    "container, singleton again": Promise(1.5, "times", _again, is_scaled=False),
    "container, 100 registrations": Promise(25.0, "ms", _build),
    "tickrail run to its first tick": Promise(400.0, "ms", lambda rounds: (first_tick_ms(rounds), "")),
}


def row(name: str, rounds: int) -> Row:
    """One figure, between two looks at how fast the machine is."""
    most, unit, measure, is_scaled = PROMISES[name]
    before = empty_call(CALLS)
    value, beside = measure(rounds)
    call_ns = (before + empty_call(CALLS)) / 2
    return Row(name, value, most, unit, call_ns, is_scaled, beside)


def main() -> None:
    """Every figure that the wiring promises, one a line: ``python -m benches.wiring``."""
    for name in PROMISES:
        print(row(name, ROUNDS), flush=True)


if __name__ == "__main__":
    main()
