"""tickrail: the orchestration runtime for trading strategies.

    import tickrail

    class Breakout(tickrail.Strategy): ...                 # parameters are typed fields, handlers are methods
    result = tickrail.backtest(Breakout(level=1.1), "eurusd.ticks")

Names are loaded when they are first asked for, so that ``import tickrail`` costs little: arrays and tables of other
libraries, the container and the importers come with whoever uses them. Not classes or functions: ``Inject`` (marks a
field that the container fills), ``TICK_DTYPE``, ``QUOTE_DTYPE``, ``TRADE_DTYPE`` and ``BAR_DTYPE`` (numpy dtypes of the
64-byte record), ``__version__``.
"""

import importlib
import typing
import warnings

from tickrail._native import build_info

if typing.TYPE_CHECKING:
    from tickrail import data, errors
    from tickrail._native import (
        Bar,
        InstrumentId,
        OrderUpdate,
        Quote,
        SpawnHandle,
        SpawnResult,
        Tick,
        TickArray,
        TickBatch,
        TimerEvent,
        TimerHandle,
        Trade,
    )
    from tickrail.data.reading import read_ticks
    from tickrail.domain.account_terms import AccountTerms
    from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE
    from tickrail.domain.venue_terms import InstrumentTerms, VenueTerms
    from tickrail.errors import TickrailError
    from tickrail.orchestration.backtest import PullRun, backtest, open_run
    from tickrail.orchestration.bootstrapper import RuntimeBootstrapper
    from tickrail.orchestration.container import Container
    from tickrail.orchestration.live import open_live
    from tickrail.orchestration.provider import Provider, Scope
    from tickrail.orchestration.runtime import Runtime
    from tickrail.orchestration.tick_dispatcher import TickDispatcher
    from tickrail.report.result import Result
    from tickrail.strategy.inject import Inject, injected
    from tickrail.strategy.lifecycle import State
    from tickrail.strategy.strategy import Strategy

# In the order of their bytes, which a test can say in one line.
__all__ = [  # noqa: RUF022
    "AccountTerms",
    "BAR_DTYPE",
    "Bar",
    "Container",
    "Inject",
    "InstrumentId",
    "InstrumentTerms",
    "OrderUpdate",
    "Provider",
    "PullRun",
    "QUOTE_DTYPE",
    "Quote",
    "Result",
    "Runtime",
    "RuntimeBootstrapper",
    "Scope",
    "SpawnHandle",
    "SpawnResult",
    "State",
    "Strategy",
    "TICK_DTYPE",
    "TRADE_DTYPE",
    "Tick",
    "TickArray",
    "TickBatch",
    "TickDispatcher",
    "TickrailError",
    "TimerEvent",
    "TimerHandle",
    "Trade",
    "VenueTerms",
    "__version__",
    "backtest",
    "build_info",
    "data",
    "errors",
    "injected",
    "open_live",
    "open_run",
    "read_ticks",
]

_NATIVE = (
    "Bar InstrumentId OrderUpdate Quote SpawnHandle SpawnResult Tick TickArray TickBatch TimerEvent TimerHandle Trade"
)
_WHERE = {
    **dict.fromkeys(_NATIVE.split(), "_native"),
    **dict.fromkeys(("BAR_DTYPE", "QUOTE_DTYPE", "TICK_DTYPE", "TRADE_DTYPE"), "domain.ticks"),
    **dict.fromkeys(("InstrumentTerms", "VenueTerms"), "domain.venue_terms"),
    **dict.fromkeys(("backtest", "open_run", "PullRun"), "orchestration.backtest"),
    **dict.fromkeys(("Provider", "Scope"), "orchestration.provider"),
    **dict.fromkeys(("Inject", "injected"), "strategy.inject"),
    "AccountTerms": "domain.account_terms",
    "Container": "orchestration.container",
    "Result": "report.result",
    "Runtime": "orchestration.runtime",
    "RuntimeBootstrapper": "orchestration.bootstrapper",
    "State": "strategy.lifecycle",
    "Strategy": "strategy.strategy",
    "TickDispatcher": "orchestration.tick_dispatcher",
    "TickrailError": "errors",
    "open_live": "orchestration.live",
    "read_ticks": "data.reading",
}
_MODULES = ("data", "errors")

_build = build_info()
__version__ = _build["version"]

if _build["profile"] == "debug":
    warnings.warn(
        "tickrail is a debug build, many times slower than a release build; 'maturin develop --release' makes one",
        RuntimeWarning,
        stacklevel=2,
    )


def __getattr__(name: str) -> typing.Any:
    if name in _MODULES:
        return importlib.import_module(f"tickrail.{name}")  # which makes it an attribute
    if name not in _WHERE:
        raise AttributeError(f"module 'tickrail' has no attribute '{name}'", name=name, obj=__name__)
    value = getattr(importlib.import_module(f"tickrail.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
