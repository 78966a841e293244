"""The steps from a loaded configuration to the parts of a runtime; each step notes how it is undone.

Every step goes on after a mistake, so that one error names all of them; nothing is started, and no service is made
before all is well.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tickrail._native import InstrumentId, TickArray
from tickrail.config import LoadedConfig, StrategyConfig
from tickrail.config.origins import format_path
from tickrail.config.presence import presence_problems
from tickrail.domain.instruments import merge_tables
from tickrail.domain.near import near_miss
from tickrail.errors import (
    ConfigProblems,
    DataError,
    HandlerError,
    ParameterError,
    Problem,
    StrategyImportError,
    WiringError,
)
from tickrail.orchestration.adapters import adapter_names, make_adapter
from tickrail.orchestration.container import Container, Provider, Scope
from tickrail.orchestration.provider import key_name
from tickrail.orchestration.runtime import Runtime
from tickrail.orchestration.services import default_services
from tickrail.orchestration.strategy_classes import import_strategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.execution import Venue
from tickrail.strategy.strategy import Strategy, inject, schema

__all__ = ["Assembly", "Parts"]

T = TypeVar("T")
DATA_HINT = "'tickrail data generate' and 'tickrail data import' make tick files"


@dataclass(frozen=True, slots=True)
class Parts:
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


class Assembly:
    """One bootstrap.

    Args:
        loaded: The configuration.
        undo: Where each step puts what undoes it.
    """

    def __init__(self, loaded: LoadedConfig, undo: ExitStack) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.undo = undo
        self.problems: list[Problem] = []
        self._wiring: WiringError | None = None
        self._absent: set[str] = set()
        self._opened: frozenset[str] = frozenset()

    def build(self, modules: Sequence[Provider | str]) -> Runtime:
        """The runtime, with services in its strategies."""
        parts = self.parts(modules)
        self._inject(parts.strategies, parts.container)
        dispatcher = self._dispatcher(parts)
        return Runtime(self.loaded, parts.container, dispatcher, self._handed_over())

    def parts(self, modules: Sequence[Provider | str]) -> Parts:
        """Everything short of making services and starting.

        Raises:
            ConfigError: Whatever is wrong, all of it.
            WiringError: Nothing else is wrong, but the providers make no sound graph.
        """
        self.problems += presence_problems(
            self.loaded, feed_adapters=adapter_names("feed"), venue_adapters=adapter_names("venue")
        )
        self._absent = {problem.path for problem in self.problems}
        self._import_path()
        arrays = self._open_feeds()
        table = self._table(arrays)
        strategies = self._strategies(self._classes(), table)
        container = self._container(modules)
        self._check_services(strategies, container)
        self._refuse()
        assert container is not None, "a graph that cannot be built is a problem"
        return Parts(container, strategies, arrays, table)

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
                partial(make_adapter, "feed", feed.adapter, name=name, settings=settings),
            )
            if adapter is not None:
                self.undo.callback(adapter.close)
                array = self._try(("feeds", name, "path"), adapter.open)
                arrays.update({} if array is None else {name: array})
        self._opened = frozenset(arrays)
        return arrays

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
        venues = self._venues()
        for name, row in rows.items():
            if (said := self.config.instruments.get(name)) is not None:
                row.update({key: getattr(said, key) for key in said.model_fields_set})
            venue = venues.get(InstrumentId(name).venue)
            row["fee_rate"] = 0.0 if venue is None else venue.fee_rate(InstrumentId(name))
        return rows

    def _venues(self) -> dict[str, Venue]:
        venues: dict[str, Venue] = {}
        for name, venue in self.config.venues.items():
            if self._is_absent("venues", name):
                continue
            settings = {"fee_rate": venue.fee_rate, **venue.options, **venue.secrets}
            made = self._try(
                _place("venues", name, venue.options),
                partial(make_adapter, "venue", venue.adapter, name=name, settings=settings),
            )
            venues.update({} if made is None else {name: made})
        return venues

    def _classes(self) -> dict[str, type[Strategy]]:
        classes: dict[str, type[Strategy]] = {}
        for name, strategy in self.config.strategies.items():
            if strategy.enabled:
                path = ("strategies", name, "class")
                found = self._try(path, partial(import_strategy, strategy.class_, self.loaded.project))
                classes.update({} if found is None else {name: found})
        return classes

    def _strategies(self, classes: Mapping[str, type[Strategy]], table: Mapping[str, Any]) -> dict[str, Strategy]:
        strategies: dict[str, Strategy] = {}
        for name, cls in classes.items():
            settings = self.config.strategies[name]
            self._check_instruments(name, settings, table)
            strategy = self._make(name, cls, settings)
            strategies.update({} if strategy is None else {name: strategy})
        return strategies

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
            given = [_provider(module) for module in (*self.config.runtime.modules, *modules)]
            container = Container.build(*given, default_services(given))
        except WiringError as error:
            self._wiring = error
            return None
        self.undo.callback(container.close)
        return container

    def _check_services(self, strategies: Mapping[str, Strategy], container: Container | None) -> None:
        for name, strategy in strategies.items():
            for field, key in schema(type(strategy)).services.items():
                if container is not None and not container.has(key, scope=Scope.STRATEGY):
                    message = f"{type(strategy).__name__}.{field} needs {key_name(key)}, which nothing provides"
                    expected = "a provider in runtime.modules, or in modules=[...] of the bootstrapper"
                    self._say(("strategies", name, "class"), message, expected)

    def _inject(self, strategies: Mapping[str, Strategy], container: Container) -> None:
        for strategy in strategies.values():
            if wanted := schema(type(strategy)).services:
                scope = container.enter(Scope.STRATEGY)
                scope.resolve_async(wanted.values())
                inject(strategy, {field: scope.get(key) for field, key in wanted.items()})

    def _dispatcher(self, parts: Parts) -> TickDispatcher:
        runtime = self.config.runtime
        dispatcher = TickDispatcher(
            parts.table.values(),
            order_by=runtime.order_by,
            digest=runtime.digest,
            seed=runtime.seed,
            config_digest=self.loaded.digest,
            slice_ticks=runtime.slice_ticks,
            always_fresh=runtime.always_fresh,
            sample_every=runtime.sample_every,
        )
        for name, array in parts.arrays.items():
            dispatcher.feed(name, array)
        for name, strategy in parts.strategies.items():
            settings = self.config.strategies[name]
            register = partial(
                dispatcher.register,
                strategy,
                name,
                instruments=None if settings.instruments == "*" else settings.instruments,
                max_ticks=settings.max_ticks,
                window_ns=settings.window_ns,
            )
            self._try(("strategies", name, "class"), register)
        self._refuse()
        return dispatcher

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
        self.problems.append(self.loaded.problem(format_path(path), message, expected=expected, near_miss=near))

    def _lacks_data(self) -> bool:
        return any(path.endswith(".path") for path in self._absent)

    def _refuse(self) -> None:
        if self._wiring is not None and not self.problems:
            raise self._wiring
        if self._wiring is not None:
            self.problems += [_wiring_problem(line) for line in self._wiring.problems or [self._wiring.message]]
        if self.problems:
            raise ConfigProblems(self.problems, hint=DATA_HINT if self._lacks_data() else None)


def _wiring_problem(line: str) -> Problem:
    """A problem of the container among those of the configuration; its place is where it was registered."""
    place, colon, message = line.partition(": ")
    return Problem("", place, message) if colon else Problem("", "container", line)


def _place(section: str, name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Where an adapter that cannot be made was most likely set wrong."""
    return (section, name, "options") if options else (section, name)


def _provider(module: Provider | str) -> Provider:
    if isinstance(module, Provider):
        return module
    name, _, attribute = module.partition(":")
    try:
        found = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise WiringError(f"module '{module}' cannot be had: {error}", hint="module:attribute of a Provider") from None
    if not isinstance(found, Provider):
        raise WiringError(f"'{module}' is a {type(found).__name__}; expected a Provider")
    return found
