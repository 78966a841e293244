"""The simulated venue by configuration files: the same run as from a notebook, and what is wrong with its place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail import InstrumentTerms, RuntimeBootstrapper, VenueTerms
from tickrail.config import load_config
from tickrail.errors import ConfigProblems

S = 1_000_000_000
NAME = "X.SIM"
BASE = """
[feeds.x]
path = "data/x.ticks"
[venues.SIM]
[strategies.maker]
class = "venue_strategies:Maker"
"""
TERMS = """
[venues.SIM]
fill_model = "size"
order_latency_ns = [100_000_000, 1_500_000_000]
report_latency_ns = 200_000_000
reject_rate = 0.1
outages = [[1970-01-01T00:01:00Z, "1970-01-01T00:01:10"]]
sessions = ["00:00-00:03"]
maker_fee_rate = -0.0001
taker_fee_rate = 0.0004
fee_per_unit = 0.01
fee_minimum = 0.05
slippage_fraction = 0.0001
slippage_amount = 0.01
bar_path = "low_first"
[instruments."X.SIM"]
currency = "USD"
price_increment = 0.25
size_increment = 0.5
min_quantity = 0.5
max_quantity = 50.0
multiplier = 10.0
"""
VENUE = VenueTerms(
    fill_model="size",
    order_latency_ns=(100_000_000, 1_500_000_000),
    report_latency_ns=200_000_000,
    reject_rate=0.1,
    outages=((60 * S, 70 * S),),
    sessions=("00:00-00:03",),
    maker_fee_rate=-0.0001,
    taker_fee_rate=0.0004,
    fee_per_unit=0.01,
    fee_minimum=0.05,
    slippage_fraction=0.0001,
    slippage_amount=0.01,
    bar_path="low_first",
)
INSTRUMENT = InstrumentTerms(
    currency="USD", price_increment=0.25, size_increment=0.5, min_quantity=0.5, max_quantity=50.0, multiplier=10.0
)
MODULE = """
from tickrail import Strategy

class Looks(Strategy):
    seen = []
    def on_stop(self):
        held = self.portfolio
        self.seen.append((held.capital, held.currency, held.buying_power, dict(held.cash())))

class Maker(Strategy):
    quantity: float = 1.5
    def on_start(self):
        self.count = 0
    def on_quote(self, tick):
        self.count += 1
        if self.count % 2:
            self.buy(tick.instrument, self.quantity)
        else:
            self.sell(tick.instrument, self.quantity, limit=self.round_price(tick.instrument, tick.ask))
"""


def quotes() -> tickrail.TickArray:
    count = 300
    records = np.zeros(count, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = (np.arange(count) + 1) * S
    records["kind"] = 1
    records["bid"] = 100.0 + 0.25 * np.round(8 * np.sin(np.arange(count) / 9))
    records["ask"] = records["bid"] + 0.25
    records["bid_size"] = records["ask_size"] = 1.0 + np.arange(count) % 3
    return tickrail.TickArray.from_records(records, [NAME])


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    from tickrail._native import TickFileWriter

    for name, text in {"config/base/a.toml": BASE, "config/test/b.toml": TERMS}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "venue_strategies.py").write_text(MODULE)
    (tmp_path / "data").mkdir()
    with TickFileWriter(tmp_path / "data" / "x.ticks") as writer:
        writer.append_ticks(quotes())
        writer.commit()
    yield tmp_path
    sys.modules.pop("venue_strategies", None)


def run(project: Path, *overrides: str) -> tickrail.Result:
    with RuntimeBootstrapper("test", root=project / "config", overrides=overrides, environ={}).bootstrap() as runtime:
        return runtime.run()


def test_files_give_the_same_orders_and_fills_as_a_notebook(project: Path) -> None:
    from_files = run(project)
    space: dict[str, type[tickrail.Strategy]] = {"__name__": "m"}  # type: ignore[dict-item]
    exec(MODULE, space)
    from_notebook = tickrail.backtest(space["Maker"](), quotes(), venue=VENUE, terms={NAME: INSTRUMENT})
    assert len(from_files.fills) > 100
    assert from_files.orders.tobytes() == from_notebook.orders.tobytes()
    assert from_files.fills.tobytes() == from_notebook.fills.tobytes()
    assert from_files.money == from_notebook.money
    assert list(from_files.pnl) == ["USD"]


@pytest.mark.parametrize(
    "override",
    [
        'venues.SIM.fill_model="touch"',
        "venues.SIM.order_latency_ns=0",
        "venues.SIM.report_latency_ns=1_000_000_000",
        "venues.SIM.reject_rate=0.2",
        "venues.SIM.outages=[]",
        'venues.SIM.sessions=["00:00-00:04"]',
        "venues.SIM.maker_fee_rate=0.0",
        "venues.SIM.taker_fee_rate=0.0",
        "venues.SIM.fee_per_unit=0.02",
        "venues.SIM.fee_minimum=1.0",
        "venues.SIM.slippage_fraction=0.0",
        "venues.SIM.slippage_amount=0.0",
        'instruments."X.SIM".multiplier=1.0',
        'instruments."X.SIM".max_quantity=1.0',
        'instruments."X.SIM".min_quantity=2.0',
        'instruments."X.SIM".size_increment=1.0',
        'instruments."X.SIM".price_increment=0.3',
    ],
)
def test_every_key_shows_in_the_result(project: Path, override: str) -> None:
    plain, changed = run(project), run(project, override)
    assert changed.configuration_digest != plain.configuration_digest
    told = [(one.fills.tobytes(), one.errors and one.errors[0].message) for one in (plain, changed)]
    assert told[0] != told[1]


def test_what_is_not_said_does_not_enter_the_digest(project: Path) -> None:
    plain = load_config("test", root=project / "config", environ={}, overrides=["venues.Y.fee_rate=0.1"])
    said = load_config(
        "test", root=project / "config", environ={}, overrides=["venues.Y.fee_rate=0.1", "venues.Y.reject_rate=0.0"]
    )
    assert plain.digest == said.digest


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('venues.SIM.fill_model="touched"', "fill_model: wrong value; expected 'touch', 'through' or 'size'"),
        ("venues.SIM.order_latency_ns=-1", "order_latency_ns: expected at least 0 ns, and not -1"),
        ("venues.SIM.order_latency_ns=[2, 1]", "order_latency_ns: expected quantiles that do not fall"),
        ("venues.SIM.order_latency_ns=true", "order_latency_ns: expected ns as a whole number"),
        ("venues.SIM.order_latency_ns=[[2, 1], [1, 1]]", "pairs (time, ns) in the order of time"),
        ('venues.SIM.sessions=["9-17"]', "sessions: session '9-17': expected such as '09:00-17:30'"),
        ('venues.SIM.outages=[["2024-01-02", "2024-01-01"]]', "an outage from 2024-01-02 to 2024-01-01 has no length"),
        ("venues.SIM.reject_rate=1.5", "reject_rate: out of bounds; expected at most 1.0"),
        ("venues.SIM.latency=1", "latency: unknown key"),
        ('instruments."X.SIM".multiplier=0.0', "multiplier: out of bounds; expected more than 0.0"),
        ("venues.SIM.options={ fils = 1 }", "takes no 'fils'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(project: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        run(project, override)
    assert str(caught.value).startswith("--set venues.SIM" if "venues" in override else '--set instruments."X.SIM"')
    assert said in str(caught.value)


def test_a_variable_changes_a_term(project: Path) -> None:
    environ = {
        "TICKRAIL_VENUES__SIM__ORDER_LATENCY_NS": "[1, 2]",
        "TICKRAIL_VENUES__SIM__SESSIONS": "00:00-00:01,sat 01:00-02:00",
    }
    loaded = load_config("test", root=project / "config", environ=environ)
    venue = loaded.config.venues["SIM"]
    assert (venue.order_latency_ns, venue.sessions) == ((1, 2), ("00:00-00:01", "sat 01:00-02:00"))
    assert str(loaded.origin("venues.SIM.sessions")) == "env TICKRAIL_VENUES__SIM__SESSIONS"


def test_capital_currency_and_rates_from_files(project: Path) -> None:
    overrides = (
        'strategies.looks.class="venue_strategies:Looks"',
        "strategies.looks.capital=1000.0",
        "strategies.looks.leverage=3.0",
        "runtime.currency=EUR",
        "runtime.rates={ USD = 0.8 }",
    )
    assert run(project, *overrides).ok
    assert sys.modules["venue_strategies"].Looks.seen == [(1000.0, "EUR", 3000.0, {"EUR": 1000.0})]
    with pytest.raises(
        ConfigProblems, match=r"runtime.rates: the rate of USD is the price of 'Y.SIM', which no feed has"
    ):
        run(project, *overrides, 'runtime.rates={ USD = "Y.SIM" }')
    with pytest.raises(ConfigProblems, match=r"runtime.rates: a rate is 'USDEUR'; expected a number, an instrument"):
        run(project, *overrides, 'runtime.rates={ USD = "USDEUR" }')
    with pytest.raises(ConfigProblems, match=r"runtime.equity_every_ns: expected a whole part of a day"):
        run(project, "runtime.equity_every_ns=7")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fee_rate", 0.002),
        ("maker_fee_rate", -0.0005),
        ("taker_fee_rate", 0.003),
        ("fee_per_unit", 0.5),
        ("fee_minimum", 2.0),
        ("slippage_fraction", 0.003),
        ("slippage_amount", 0.75),
    ],
)
def test_an_instrument_may_cost_something_of_its_own(project: Path, key: str, value: float) -> None:
    """The same as if its venue said so, and nobody else pays it."""
    space: dict[str, type[tickrail.Strategy]] = {"__name__": "m"}  # type: ignore[dict-item]
    exec(MODULE, space)
    dear = INSTRUMENT.model_copy(update={key: value})
    own = tickrail.backtest(space["Maker"](), quotes(), venue=VENUE, terms={NAME: dear})
    both = {"maker_fee_rate": value, "taker_fee_rate": value} if key == "fee_rate" else {key: value}
    whole = tickrail.backtest(space["Maker"](), quotes(), venue=VENUE.model_copy(update=both), terms={NAME: INSTRUMENT})
    plain = tickrail.backtest(space["Maker"](), quotes(), venue=VENUE, terms={NAME: INSTRUMENT})
    assert own.fills.tobytes() == whole.fills.tobytes() != plain.fills.tobytes()
    from_files = run(project, f'instruments."X.SIM".{key}={value}')
    assert from_files.fills.tobytes() == own.fills.tobytes()
    assert from_files.configuration_digest != run(project).configuration_digest
