"""Live feeds of a configured runtime: adapters that publish, and the program that does."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from live_runs import in_thread

from tickrail import RuntimeBootstrapper, errors
from tickrail.orchestration import adapters
from tickrail.ports.market_data import LiveFeed

CONFIG = """
[feeds.mine]
adapter = "published"
options = { instruments = ["A.SIM", "B.SIM"], policy = "reject", capacity = 64 }
[venues.SIM]
[strategies.counter]
class = "live_counter:Counter"
instruments = ["A.SIM"]
"""
MODULE = """
from tickrail import Strategy

class Counter(Strategy):
    def on_start(self):
        self.count = 0
    def on_quote(self, tick):
        self.count += 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "config" / "live" / "runtime.toml").write_text(CONFIG)
    (tmp_path / "live_counter.py").write_text(textwrap.dedent(MODULE))
    return tmp_path


def bootstrapped(project: Path, *overrides: str) -> Any:
    return RuntimeBootstrapper("live", root=project / "config", overrides=overrides, environ={}).bootstrap()


def test_a_program_publishes_into_the_feeds_of_its_configuration_and_new_ones(project: Path) -> None:
    with bootstrapped(project) as runtime:
        mine = runtime.feed("mine")
        assert (mine.policy, mine.capacity) == ("reject", 64)
        other = runtime.feed("other", policy="block", capacity=128)
        with pytest.raises(errors.FeedError, match="open already"):
            runtime.feed("mine", policy="block")

        def produce() -> None:
            with mine.publisher() as first, other.publisher() as second:
                for _ in range(10):
                    first.publish_quote("A.SIM", 1.0, 1.1)
                    second.publish_quote("B.SIM", 1.0, 1.1)
            runtime.seal()

        joined = in_thread(produce)
        result = runtime.run()
        joined()
    assert (result.status, result.ticks, result.strategies[0].delivered) == ("complete", 20, 10)
    assert result.stats["ticks"] == 20


class Ticking:
    """An adapter with a thread of its own."""

    made: ClassVar[list[Ticking]] = []

    def __init__(self, *, name: str, rate: int = 100) -> None:
        self.name, self.rate = name, rate
        self.instruments = ("A.SIM",)
        self.settings = {"policy": "block", "capacity": 16}
        self.thread: threading.Thread | None = None
        self.made.append(self)

    def start(self, feed: LiveFeed) -> None:
        def body() -> None:
            with feed.publisher() as publisher:
                for _ in range(self.rate):
                    publisher.publish_quote("A.SIM", 1.0, 1.1)

        self.thread = threading.Thread(target=body)
        self.thread.start()

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join()
            self.thread = None


def test_an_adapter_publishes_from_its_own_thread_once_the_run_begins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(adapters.OURS["feed"], "ticking", f"{__name__}:Ticking")
    table = '[feeds.mine]\nadapter = "ticking"\noptions = { rate = 250 }\n'
    (project / "config" / "live" / "runtime.toml").write_text(table + CONFIG[CONFIG.index("[venues") :])
    with bootstrapped(project) as runtime:
        (adapter,) = Ticking.made
        assert adapter.thread is None, "nothing publishes before the run begins"
        threading.Timer(0.3, runtime.seal).start()
        result = runtime.run()
    assert (result.status, result.ticks) == ("complete", 250)
    assert adapter.thread is None, "closed with the runtime"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('feeds.mine.options={ instruments = ["A.SIM"], policy = "hope" }', "policy is"),
        ('feeds.mine.options={ instruments = ["A.SIM"], capacity = 3 }', "power of two"),
        ('feeds.mine.options={ instruments = ["A.SIM"], colour = "red" }', "takes no 'colour'"),
    ],
)
def test_a_feed_that_cannot_be_opened_says_where_it_was_set(project: Path, override: str, message: str) -> None:
    with pytest.raises(errors.ConfigError, match=message) as caught:
        bootstrapped(project, override)
    assert "feeds.mine" in str(caught.value)
