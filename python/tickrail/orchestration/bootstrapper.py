"""``RuntimeBootstrapper``: from the name of an environment to a ``Runtime`` that is ready to run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tickrail._native import InstrumentId, TickArray
from tickrail.config import LoadedConfig, StrategyConfig, load_config
from tickrail.config.origins import format_path
from tickrail.config.presence import require_presence
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
from tickrail.orchestration.runtime import Runtime
from tickrail.orchestration.services import default_services
from tickrail.orchestration.strategy_classes import import_strategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.execution import Venue
from tickrail.ports.state_store import StateStore
from tickrail.strategy.strategy import Strategy, inject, schema

__all__ = ["RuntimeBootstrapper", "main"]

T = TypeVar("T")


class RuntimeBootstrapper:
    """Builds a runtime in one order, everywhere: configuration, adapters, classes, services, strategies.

    Args:
        env: Name of the environment: a folder under ``root``.
        root: The configuration root; its parent is the project, where strategies are imported from.
        overrides: Texts ``a.b=v`` over everything else, as ``--set``.
        environ: Variables; ``None`` takes those of the process.
        modules: Providers of services, or ``module:attribute`` where one is found.
    """

    def __init__(
        self,
        env: str,
        *,
        root: str | Path = "config",
        overrides: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
        modules: Sequence[Provider | str] = (),
    ) -> None:
        self.env = env
        self.root = Path(root)
        self.overrides = tuple(overrides)
        self.environ = environ
        self.modules = tuple(modules)

    def bootstrap(self) -> Runtime:
        """Build it; nothing is left behind where that fails.

        Returns:
            A runtime with all strategies registered in the order of their tables, ready to run.

        Raises:
            ConfigError: The configuration is wrong, or names what is not there (a class, a parameter, an adapter, an
                instrument): all of it, each with its place.
            WiringError: The providers make no sound graph.
        """
        loaded = load_config(self.env, root=self.root, environ=self.environ, overrides=self.overrides)
        with ExitStack() as undo:
            return _Assembly(loaded, undo).build(self.modules)


class _Assembly:
    """The steps of one bootstrap; each registers how it is undone."""

    def __init__(self, loaded: LoadedConfig, undo: ExitStack) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.undo = undo
        self.problems: list[Problem] = []
        self.scopes: dict[str, Container] = {}

    def build(self, modules: Sequence[Provider | str]) -> Runtime:
        require_presence(self.loaded, feed_adapters=adapter_names("feed"), venue_adapters=adapter_names("venue"))
        self._import_path()
        arrays = self._open_feeds()
        table = self._table(arrays)
        classes = self._classes()
        strategies = self._strategies(classes, table)
        self._refuse()
        container = self._container(modules)
        self._inject(strategies, container)
        dispatcher = self._dispatcher(arrays, table, strategies, container)
        return Runtime(self.loaded, container, dispatcher, self._handed_over())

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
            given = {key: getattr(feed, key) for key in ("path", "start", "end")}
            settings = {**{key: value for key, value in given.items() if value is not None}, **feed.options}
            adapter = self._try(
                _place("feeds", name, feed.options),
                partial(make_adapter, "feed", feed.adapter, name=name, settings=settings),
            )
            if adapter is not None:
                self.undo.callback(adapter.close)
                array = self._try(("feeds", name, "path"), adapter.open)
                arrays.update({} if array is None else {name: array})
        return arrays

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
            settings = {"fee_rate": venue.fee_rate, **venue.options}
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
        services = [key for key in settings.params if key in schema(cls).services]
        for service in services:
            self._say(("strategies", name, "params", service), f"'{service}' is a service, which the container fills")
        params = {key: value for key, value in settings.params.items() if key not in services}
        try:
            return cls(**params)
        except ParameterError as error:
            for problem in error.problems or (Problem("", "", error.message),):
                path = ("strategies", name, "params", problem.path) if problem.path in params else ("strategies", name)
                self._say(path, f"{cls.__name__}: {problem.message}", problem.expected, problem.near_miss)
        except Exception as error:
            self._say(("strategies", name), f"making {cls.__name__} raised {type(error).__name__}: {error}")
        return None

    def _check_instruments(self, name: str, settings: StrategyConfig, table: Mapping[str, Any]) -> None:
        for wanted in () if settings.instruments == "*" or not table else settings.instruments:
            if wanted not in table:
                path = ("strategies", name, "instruments")
                expected = "one of " + ", ".join(list(table)[:10])
                self._say(path, f"no feed has the instrument '{wanted}'", expected, near_miss(wanted, table))

    def _container(self, modules: Sequence[Provider | str]) -> Container:
        given = [_provider(module) for module in modules]
        container = Container.build(*given, default_services(given))
        self.undo.callback(container.close)
        return container

    def _inject(self, strategies: Mapping[str, Strategy], container: Container) -> None:
        for name, strategy in strategies.items():
            wanted = schema(type(strategy)).services
            if not wanted:
                continue
            scope = self.scopes[name] = container.enter(Scope.STRATEGY)
            for field, key in wanted.items():
                if not scope.has(key):
                    shown = getattr(key, "__name__", str(key))
                    message = f"{type(strategy).__name__}.{field} needs {shown}, which nothing provides"
                    self._say(("strategies", name, "class"), message, "a provider in modules=[...] of the bootstrapper")
            if not self.problems:
                inject(strategy, {field: scope.get(key) for field, key in wanted.items()})
        self._refuse()

    def _dispatcher(
        self,
        arrays: Mapping[str, TickArray],
        table: Mapping[str, Mapping[str, Any]],
        strategies: Mapping[str, Strategy],
        container: Container,
    ) -> TickDispatcher:
        runtime = self.config.runtime
        dispatcher = TickDispatcher(
            table.values(),
            order_by=runtime.order_by,
            digest=runtime.digest,
            seed=runtime.seed,
            config_digest=self.loaded.digest,
            slice_ticks=runtime.slice_ticks,
            always_fresh=runtime.always_fresh,
        )
        for name, array in arrays.items():
            dispatcher.feed(name, array)
        store = container.get(StateStore)
        for name, strategy in strategies.items():
            settings = self.config.strategies[name]
            renew = partial(_renewed, type(strategy), name, settings.params, container, self.scopes)
            register = partial(
                dispatcher.register,
                strategy,
                name,
                instruments=None if settings.instruments == "*" else settings.instruments,
                max_ticks=settings.max_ticks,
                window_ns=settings.window_ns,
                renew=renew,
                store=store,
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

    def _refuse(self) -> None:
        if self.problems:
            raise ConfigProblems(self.problems)


def _renewed(
    cls: type[Strategy], name: str, params: Mapping[str, Any], container: Container, scopes: dict[str, Container]
) -> Strategy:
    """Another object for a restart, in a scope of its own; what the old one used is finalised first."""
    if name in scopes:
        scopes.pop(name).close()
    strategy = cls(**params)
    if wanted := schema(cls).services:
        scope = scopes[name] = container.enter(Scope.STRATEGY)
        inject(strategy, {field: scope.get(key) for field, key in wanted.items()})
    return strategy


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


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m tickrail.orchestration.bootstrapper --env E``: bootstrap, run, print the summary."""
    import argparse

    from tickrail.errors import TickrailError

    parser = argparse.ArgumentParser(prog="python -m tickrail.orchestration.bootstrapper", description=main.__doc__)
    parser.add_argument("--env", default=os.environ.get("TICKRAIL_ENV"), help="environment (default: TICKRAIL_ENV)")
    parser.add_argument("--root", default="config", help="configuration root")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=v", help="set one value")
    given = parser.parse_args(arguments)
    if given.env is None:
        parser.error("--env is missing, and TICKRAIL_ENV is not set")
    try:
        with RuntimeBootstrapper(given.env, root=given.root, overrides=given.overrides).bootstrap() as runtime:
            result = runtime.run()
    except TickrailError as error:
        sys.stderr.write(f"error: {error}\n")
        return 78
    sys.stdout.write(result.summary() + "\n")
    return 0 if result.ok else 130 if result.status == "interrupted" else 1


if __name__ == "__main__":
    raise SystemExit(main())
