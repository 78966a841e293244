"""The steps from a loaded configuration to the parts of a runtime; each step notes how it is undone.

Every step goes on after a mistake, so that one error names all of them; nothing is started, and no service is made
before all is well.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from functools import partial
from typing import Any, TypeVar

import msgspec

from tickrail._native import InstrumentId, Probes, TickArray
from tickrail.config import LimitConfig, LoadedConfig, StrategyConfig
from tickrail.config.models import FeedConfig
from tickrail.config.origins import format_path
from tickrail.config.presence import presence_problems
from tickrail.domain.account_terms import AccountTerms
from tickrail.domain.ending import Ending, EndLimits
from tickrail.domain.instruments import merge_tables
from tickrail.domain.near import near_miss
from tickrail.domain.order_limits import LIMIT_KEYS, OrderLimits
from tickrail.domain.supervision import HandlerLimits, Supervision
from tickrail.errors import (
    ConfigProblems,
    DataError,
    HandlerError,
    ParameterError,
    Problem,
    StrategyImportError,
    WiringError,
)
from tickrail.orchestration.adapters import adapter_names, close_adapter, make_adapter
from tickrail.orchestration.checks import Check, PreStart, findings
from tickrail.orchestration.container import Container, Provider, Scope
from tickrail.orchestration.feed_keys import delivery_problems, sim_clock_problems
from tickrail.orchestration.funding import account_problems
from tickrail.orchestration.injection import Injection, is_bus
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.kept_trading import is_kept, trading_file
from tickrail.orchestration.lane_check import check_lane, processor_problem
from tickrail.orchestration.live import SAMPLE_EVERY, SLICE_TICKS
from tickrail.orchestration.live_feeds import LiveFeeds
from tickrail.orchestration.named_parts import attribute_at, provider_at
from tickrail.orchestration.phases import Phase, Phases, attribute
from tickrail.orchestration.port_check import check_capabilities
from tickrail.orchestration.probes import open_probes
from tickrail.orchestration.provider import key_name
from tickrail.orchestration.replayed_feed import ReplayedFeed
from tickrail.orchestration.run_lock import RunLock
from tickrail.orchestration.runtime import Runtime
from tickrail.orchestration.services import default_services
from tickrail.orchestration.start_order import Circle, start_order
from tickrail.orchestration.strategy_classes import import_strategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.orchestration.trading import costs_at, terms_of
from tickrail.ports.execution import Venue
from tickrail.ports.market_data import LiveFeedPort
from tickrail.ports.state_store import StateStorePort
from tickrail.ports.telemetry import TelemetryPort
from tickrail.strategy.strategy import Strategy, schema

__all__ = ["Assembly", "Parts"]

T = TypeVar("T")
DATA_HINT = "'tickrail data generate' and 'tickrail data import' make tick files"


class Parts(msgspec.Struct, frozen=True):
    """What a runtime is put together from; nothing of it runs.

    Attributes:
        container: The services; none is made yet.
        strategies: In the order of their tables, without their services.
        arrays: The ticks of each feed.
        table: The instruments of all of them.
    """

    container: Container
    strategies: Mapping[str, Strategy]
    arrays: Mapping[str, TickArray]
    table: Mapping[str, Mapping[str, Any]]
    live: LiveFeeds


class Rank(IntEnum):
    """Where problems stand among the others, whenever they were found."""

    PRESENCE = 0
    FEEDS = 1
    STRATEGIES = 2
    SERVICES = 3
    CHECKS = 4


class Assembly:
    """One bootstrap.

    Args:
        loaded: The configuration.
        undo: Where each step puts what undoes it.

    Attributes:
        made: What the runtime was put together from, once it is built.
    """

    made: Parts

    def __init__(self, loaded: LoadedConfig, undo: ExitStack) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.undo = undo
        self.io = IoThread()
        undo.callback(self.io.close)
        self.phases = Phases(self.config.runtime.phase_deadline_ns)
        self._told: list[tuple[int, Problem, Phase]] = []
        self._place_of_problem = (Rank.PRESENCE, Phase.VALIDATION)
        self._venues_made: dict[str, Venue] = {}
        self._wiring: WiringError | None = None
        self._absent: set[str] = set()
        self._opened: frozenset[str] = frozenset()
        self._live: dict[str, LiveFeedPort] = {}
        self._outside: dict[str, Any] = {}

    def build(self, modules: Sequence[Provider | str], checks: Sequence[Check | str] = ()) -> Runtime:
        """The runtime, with services in its strategies."""
        parts = self.made = self.parts(modules)
        with self.phases.enter(Phase.CHECKS):
            self._ask(checks, parts)
        with self.phases.enter(Phase.INITIALISE):
            if self.config.runtime.state_dir is not None:
                lock = RunLock(self.config.runtime.state_dir, self.loaded.digest.hex())
                self.undo.callback(lock.release)
            dispatcher = self._dispatcher(parts)
            self._register(parts, dispatcher, self._inject(parts, dispatcher))
            if is_kept(self.loaded.env):
                dispatcher.keep_trading(trading_file(self.config.runtime.run_dir, self.loaded.env))
            probes = self._probes(dispatcher, parts.container)
        undo = self._handed_over()
        return Runtime(self.loaded, parts.container, dispatcher, undo, parts.live, phases=self.phases, probes=probes)

    def parts(self, modules: Sequence[Provider | str]) -> Parts:
        """Everything short of making services and starting.

        Raises:
            ConfigError: Whatever is wrong, all of it.
            WiringError: Nothing else is wrong, but the providers make no sound graph.
        """
        for problem in presence_problems(
            self.loaded,
            feed_adapters=adapter_names("feed", (feed.adapter for feed in self.config.feeds.values())),
            venue_adapters=adapter_names("venue", (venue.adapter for venue in self.config.venues.values())),
            enforced=LIMIT_KEYS,
        ):
            self._told.append((Rank.PRESENCE, problem, Phase.VALIDATION))
            self._absent.add(problem.path)
        self._import_path()
        with self._stage(Rank.SERVICES, Phase.CONTAINER):
            container = self._container(modules)
        with self._stage(Rank.STRATEGIES, Phase.STRATEGIES):
            strategies = self._strategies(self._classes())
        with self.phases.enter(Phase.VALIDATION):
            self._place_of_problem = (Rank.FEEDS, Phase.VALIDATION)
            arrays = self._open_feeds()
            table = self._table(arrays)
            self._check_account(table)
            self._check_outside()
            self._place_of_problem = (Rank.STRATEGIES, Phase.VALIDATION)
            for name in strategies:
                self._check_instruments(name, self.config.strategies[name], table)
            self._check_capabilities(strategies)
            self._check_lanes(strategies)
            self._place_of_problem = (Rank.SERVICES, Phase.VALIDATION)
            self._check_services(strategies, container)
            self._refuse()
        assert container is not None, "a graph that cannot be built is a problem"
        said = {name: self.config.feeds[name].delivery() for name in self._live}
        return Parts(container, strategies, arrays, table, LiveFeeds(self._live, said))

    @contextmanager
    def _stage(self, rank: Rank, phase: Phase) -> Iterator[None]:
        """A phase whose problems are told with those of the others, at ``rank`` among them."""
        self._place_of_problem = (rank, phase)
        with self.phases.enter(phase):
            yield

    def _handed_over(self) -> ExitStack:
        """What undoes the bootstrap, now in the hands of the runtime."""
        return self.undo.pop_all()

    def _import_path(self) -> None:
        project = str(self.loaded.project)
        if project not in sys.path:
            sys.path.insert(0, project)
            self.undo.callback(lambda: sys.path.remove(project) if project in sys.path else None)
            importlib.invalidate_caches()

    def _open_feeds(self) -> dict[str, TickArray]:
        arrays: dict[str, TickArray] = {}
        for name, feed in self.config.feeds.items():
            if self._is_absent("feeds", name):
                continue
            given = {key: getattr(feed, key) for key in ("path", "start", "end")}
            settings = {
                **{key: value for key, value in given.items() if value is not None},
                **feed.options,
                **feed.secrets,
            }
            adapter = self._try(
                _place("feeds", name, feed.options),
                partial(make_adapter, "feed", feed.adapter, name=name, settings=settings, prefixes=self._prefixes),
            )
            if adapter is not None:
                self.undo.callback(close_adapter, "feed", name, adapter)
                self._take_feed(name, feed, adapter, arrays)
        if arrays and self._live:
            recorded = next(iter(arrays))
            self._say(("feeds", recorded, "adapter"), "is recorded, while other feeds are live", "one or the other")
        if self._live and self.config.runtime.clock == "sim":
            for key, message, expected in sim_clock_problems(self.config, self._live):
                self._say(key, message, expected)
        self._opened = frozenset({*arrays, *self._live})
        return arrays

    def _take_feed(self, name: str, feed: FeedConfig, adapter: Any, arrays: dict[str, TickArray]) -> None:
        """A feed among the live ones, or its ticks among ``arrays``."""
        if hasattr(adapter, "start"):
            self._live[name] = adapter
            if feed.speed is not None:
                message = f"adapter '{feed.adapter}' publishes at a pace of its own"
                self._say(("feeds", name, "speed"), message, "an adapter of recorded ticks, or no speed")
        else:
            array = self._try(("feeds", name, "path"), adapter.open)
            if array is None:
                return
            if feed.speed is None:
                arrays[name] = array
                return
            self._live[name] = ReplayedFeed(name, array, feed.speed)
            self.undo.callback(self._live[name].close)
        for found in delivery_problems(feed, self._live[name].settings):
            self._say(("feeds", name, found.key), found.message, found.expected)

    def _is_absent(self, section: str, name: str) -> bool:
        """Whether something of this table is known to be missing: what follows from that is not said again."""
        return any(format_path((section, name, key)) in self._absent for key in ("adapter", "path", "end"))

    def _table(self, arrays: Mapping[str, TickArray]) -> dict[str, dict[str, Any]]:
        order_by = self.config.runtime.order_by
        for name, array in arrays.items():
            if array.order_by != order_by:
                self._say(("feeds", name), f"is ordered by {array.order_by}, but runtime.order_by is {order_by}")
        tables = ((name, array.instrument_table) for name, array in arrays.items())
        rows = self._try(("feeds",), lambda: merge_tables(tables)) or {}
        rows.update(self._try(("feeds",), LiveFeeds(self._live).table) or {})
        venues = self._venues()
        for name, row in rows.items():
            venue = venues.get(InstrumentId(name).venue)
            row.update(costs_at(venue if isinstance(venue, Venue) else None, InstrumentId(name)))
            if (said := self.config.instruments.get(name)) is not None:
                row.update(said.row())
        return rows

    @property
    def _account(self) -> AccountTerms:
        runtime = self.config.runtime
        # Unchecked: the settings have the same types, and to build the checks once more is a part of a start.
        terms: dict[str, Any] = {"rates": dict(runtime.rates), "equity_every_ns": runtime.equity_every_ns}
        return AccountTerms.model_construct(currency=runtime.currency, **terms)

    def _check_account(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        if all(feed in self._opened for feed in self.config.feeds):
            for key, said in account_problems(self._account, list(table.values())):
                self._say(("runtime", key), said)

    def _venues(self) -> dict[str, Venue]:
        venues: dict[str, Venue] = {}
        for name, venue in self.config.venues.items():
            if self._is_absent("venues", name):
                continue
            offered = {} if venue.account is None else {"account": venue.account}
            make = partial(make_adapter, "venue", venue.adapter, name=name, settings=venue.settings(), offered=offered)
            made = self._try(_place("venues", name, venue.options), partial(make, prefixes=self._prefixes))
            venues.update({} if made is None else {name: made})
        self._venues_made = venues
        self._outside = {name: made for name, made in venues.items() if not isinstance(made, Venue)}
        for name, made in self._outside.items():
            self.undo.callback(close_adapter, "venue", name, made)
        return venues

    def _check_outside(self) -> None:
        """Orders leave the process in a live run alone."""
        for name in () if self._live else self._outside:
            message = f"adapter '{self.config.venues[name].adapter}' sends orders out of the process"
            self._say(("venues", name, "adapter"), message, "live feeds with it, or a simulated venue")

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return self.config.runtime.adapter_prefixes

    def _classes(self) -> dict[str, type[Strategy]]:
        classes: dict[str, type[Strategy]] = {}
        for name, strategy in self.config.strategies.items():
            if strategy.enabled:
                path = ("strategies", name, "class")
                found = self._try(path, partial(import_strategy, strategy.class_, self.loaded.project))
                classes.update({} if found is None else {name: found})
        return classes

    def _strategies(self, classes: Mapping[str, type[Strategy]]) -> dict[str, Strategy]:
        made = {name: self._make(name, cls, self.config.strategies[name]) for name, cls in classes.items()}
        strategies = {name: strategy for name, strategy in made.items() if strategy is not None}
        return {name: strategies[name] for name in self._start_order(strategies)}

    def _start_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """As declared, but each after those that it names."""
        known = self.config.strategies
        after = {name: known[name].after for name in names}
        for name, wanted in after.items():
            for one in wanted:
                if one not in known:
                    path = ("strategies", name, "after")
                    self._say(path, f"no strategy '{one}'", "an id of [strategies]", near_miss(one, known))
        try:
            return start_order(after)
        except Circle as circle:
            self._say(("strategies", circle.path[0], "after"), f"strategies wait for each other: {circle}")
            return tuple(after)

    def _check_capabilities(self, strategies: Mapping[str, Strategy]) -> None:
        """What the classes of strategies require of the venues of their instruments."""
        for venue, adapter in self._venues_made.items():
            wanted = {
                name: type(strategy).requires
                for name, strategy in strategies.items()
                if self._trades_at(name, venue) and type(strategy).requires
            }
            for problem in check_capabilities(adapter, wanted):
                self._say(("venues", venue, "adapter"), f"adapter '{self.config.venues[venue].adapter}' {problem}")

    def _check_lanes(self, strategies: Mapping[str, Strategy]) -> None:
        """Lanes of strategies that can have none, and processors that this process may not use."""
        for name, strategy in strategies.items():
            lane = self.config.strategies[name].lane
            if lane is None:
                continue
            self._try(("strategies", name, "lane"), partial(check_lane, name, strategy))
            if self._live and (problem := processor_problem(lane)) is not None:
                self._say(("strategies", name, "lane", "processor"), problem)

    def _trades_at(self, strategy: str, venue: str) -> bool:
        wanted = self.config.strategies[strategy].instruments
        return wanted == "*" or any(one.rpartition(".")[2] == venue for one in wanted)

    def _ask(self, checks: Sequence[Check | str], parts: Parts) -> None:
        """Whatever the user's checks find, all of them together."""
        self._place_of_problem = (Rank.CHECKS, Phase.CHECKS)
        start = PreStart(self.config, parts.container, parts.strategies, parts.table)
        for given in (*self.config.runtime.checks, *checks):
            shown = given if isinstance(given, str) else getattr(given, "__qualname__", repr(given))
            check = self._try(("runtime", "checks"), partial(attribute_at, given)) if isinstance(given, str) else given
            for said in findings(check, start) if check is not None else ():
                self._say(("runtime", "checks"), f"{shown}: {said}")
        self._refuse()

    def _make(self, name: str, cls: type[Strategy], settings: StrategyConfig) -> Strategy | None:
        given = {**dict.fromkeys(settings.params, "params"), **dict.fromkeys(settings.secrets, "secrets")}
        services = [key for key in given if key in schema(cls).services]
        for service in services:
            path = ("strategies", name, given[service], service)
            self._say(path, f"'{service}' is a service, which the container fills")
        values = {**settings.params, **settings.secrets}
        params = {key: value for key, value in values.items() if key not in services}
        try:
            return cls(**params)
        except ParameterError as error:
            for problem in error.problems or (Problem("", "", error.message),):
                inside = (given[problem.path], problem.path) if problem.path in params else ()
                message = f"{cls.__name__}: {problem.message}"
                self._say(("strategies", name, *inside), message, problem.expected, problem.near_miss)
        except Exception as error:
            self._say(("strategies", name), f"making {cls.__name__} raised {type(error).__name__}: {error}")
        return None

    def _check_instruments(self, name: str, settings: StrategyConfig, table: Mapping[str, Any]) -> None:
        path = ("strategies", name, "instruments")
        known = all(feed in self._opened for feed in self.config.feeds) and format_path(path) not in self._absent
        for wanted in settings.instruments if known and settings.instruments != "*" else ():
            if wanted not in table:
                expected = "one of " + ", ".join(list(table)[:10])
                self._say(path, f"no feed has the instrument '{wanted}'", expected, near_miss(wanted, table))

    def _container(self, modules: Sequence[Provider | str]) -> Container | None:
        try:
            given = [provider_at(module) for module in (*self.config.runtime.modules, *modules)]
            container = Container.build(*given, default_services(given, self.config.runtime), io=self.io)
        except WiringError as error:
            self._wiring = error
            return None
        self.undo.callback(container.close)
        return container

    def _check_services(self, strategies: Mapping[str, Strategy], container: Container | None) -> None:
        for name, strategy in strategies.items():
            for field, key in schema(type(strategy)).services.items():
                if container is not None and not container.has(key, scope=Scope.STRATEGY) and not is_bus(key):
                    message = f"{type(strategy).__name__}.{field} needs {key_name(key)}, which nothing provides"
                    expected = "a provider in runtime.modules, or in modules=[...] of the bootstrapper"
                    self._say(("strategies", name, "class"), message, expected)

    def _inject(self, parts: Parts, dispatcher: TickDispatcher) -> Injection:
        injection = Injection(parts.container, dispatcher)
        for name, strategy in parts.strategies.items():
            injection.into(strategy, name)
        self.undo.callback(injection.let_go, dispatcher.strategies)
        return injection

    def _dispatcher(self, parts: Parts) -> TickDispatcher:
        runtime = self.config.runtime
        dispatcher = TickDispatcher(
            parts.table.values(),
            order_by=runtime.order_by,
            digest=runtime.digest,
            seed=runtime.seed,
            config_digest=self.loaded.digest,
            slice_ticks=min(runtime.slice_ticks, SLICE_TICKS) if parts.live else runtime.slice_ticks,
            live="spin_then_park" if parts.live else None,
            clock=runtime.clock,
            always_fresh=runtime.always_fresh,
            sample_every=_sample_every(runtime.sample_every, is_live=bool(parts.live)),
            venues=terms_of(self._venues_made),
            run_id=runtime.run_id,
            account=self._account,
            io=self.io,
            spawn_timeout_s=runtime.spawn_timeout_s,
            end_limits=EndLimits(drain_ns=runtime.drain_deadline_ns, orders_ns=runtime.orders_deadline_ns),
            handler_limits=HandlerLimits(slow_ns=runtime.slow_handler_ns, deadline_ns=runtime.handler_deadline_ns),
        )
        for name, array in parts.arrays.items():
            dispatcher.feed(name, array)
        for name in parts.live.adapters:
            place = _place("feeds", name, self.config.feeds[name].options)
            self._try(place, partial(parts.live.open, name, dispatcher))
        return dispatcher

    def _register(self, parts: Parts, dispatcher: TickDispatcher, injection: Injection) -> None:
        store = parts.container.get(StateStorePort)
        for name, strategy in parts.strategies.items():
            settings = self.config.strategies[name]
            values = {**settings.params, **settings.secrets}
            register = partial(
                dispatcher.register,
                strategy,
                name,
                instruments=None if settings.instruments == "*" else settings.instruments,
                max_ticks=settings.max_ticks,
                window_ns=settings.window_ns,
                renew=partial(injection.renewed, type(strategy), name, values),
                store=store,
                max_lag_records=settings.max_lag_records,
                max_lag_ns=settings.max_lag_ns,
                when_lagging=settings.when_lagging,
                supervision=_supervision(settings),
                ending=Ending(orders=settings.orders_at_stop, positions=settings.positions_at_stop),
                capital=settings.capital,
                leverage=settings.leverage,
                lane=settings.lane,
            )
            self._try(("strategies", name, "class"), register)
        if self._outside:
            dispatcher.send_away(self._outside)
        for name, limits in self.config.limits.items():
            self._try(("limits", name), partial(dispatcher.limit, name, self._bound(limits)))
        self._refuse()

    def _probes(self, dispatcher: TickDispatcher, container: Container) -> Probes | None:
        """Let the run be watched by HTTP where it is wanted."""
        if self.config.runtime.http is None:
            return None
        opened = partial(open_probes, dispatcher, self.loaded, container.get(TelemetryPort))
        probes = self._try(("runtime", "http"), opened)
        if probes is None:
            self._refuse()
        else:
            self.undo.callback(probes.close)
        return probes

    def _bound(self, limits: LimitConfig) -> OrderLimits:
        """Without strategies that are switched off."""
        if limits.strategies == "*":
            return limits
        enabled = tuple(one for one in limits.strategies if self.config.strategies[one].enabled)
        return limits.model_copy(update={"strategies": enabled})

    def _try(self, path: tuple[str, ...], act: Callable[[], T]) -> T | None:
        """What ``act`` returns, or ``None`` and a problem at ``path``."""
        try:
            return act()
        except StrategyImportError as error:
            self._say(path, error.message, error.expected, error.near_miss)
        except (DataError, WiringError, HandlerError, ParameterError) as error:
            self._say(path, error.message)
        except OSError as error:
            self._say(path, f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        return None

    def _say(self, path: tuple[str, ...], message: str, expected: str | None = None, near: str | None = None) -> None:
        problem = self.loaded.problem(format_path(path), message, expected=expected, near_miss=near)
        rank, phase = self._place_of_problem
        self._told.append((rank, problem, phase))

    def _lacks_data(self) -> bool:
        return any(path.endswith(".path") for path in self._absent)

    def _refuse(self) -> None:
        if self._wiring is not None and not self._told:
            attribute(self._wiring, Phase.CONTAINER)
            raise self._wiring
        if self._wiring is not None:
            lines = self._wiring.problems or [self._wiring.message]
            self._told += [(Rank.SERVICES, _wiring_problem(line), Phase.CONTAINER) for line in lines]
        if self._told:
            ordered = sorted(self._told, key=lambda told: told[0])
            error = ConfigProblems(
                [problem for _, problem, _ in ordered], hint=DATA_HINT if self._lacks_data() else None
            )
            attribute(error, min((phase for _, _, phase in self._told), key=list(Phase).index))
            raise error


def _supervision(settings: StrategyConfig) -> Supervision:
    return Supervision(
        on_error=settings.on_error,
        critical=settings.critical,
        max_restarts=settings.max_restarts,
        within_ns=settings.restart_window_ns,
        backoff_ns=settings.restart_backoff_ns,
        max_backoff_ns=max(settings.restart_max_backoff_ns, settings.restart_backoff_ns),
    )


def _wiring_problem(line: str) -> Problem:
    """A problem of the container among those of the configuration; its place is where it was registered."""
    place, colon, message = line.partition(": ")
    return Problem("", place, message) if colon else Problem("", "container", line)


def _sample_every(said: int | None, *, is_live: bool) -> int:
    """A live run is measured, below half a nanosecond a tick, unless its configuration says otherwise."""
    return said if said is not None else SAMPLE_EVERY if is_live else 0


def _place(section: str, name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Where an adapter that cannot be made was most likely set wrong."""
    return (section, name, "options") if options else (section, name)
