"""The one module that knows dishka: from a checked graph to a container of it.

dishka is handed keys of our own making and functions with exactly the arguments that the graph has, so that it reads
no annotation and no signature of a user.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

import dishka

from tickrail.orchestration.backend import Tools
from tickrail.orchestration.graph import Graph
from tickrail.orchestration.provider import Kind, Registration, Scope, key_name

__all__ = ["DishkaBackend", "assemble"]


class _Scopes(dishka.BaseScope):
    RUNTIME = dishka.new_scope("RUNTIME")
    SESSION = dishka.new_scope("SESSION")
    STRATEGY = dishka.new_scope("STRATEGY")


SCOPES = {Scope.RUNTIME: _Scopes.RUNTIME, Scope.SESSION: _Scopes.SESSION, Scope.STRATEGY: _Scopes.STRATEGY}


def assemble(graph: Graph, tools: Tools) -> DishkaBackend:
    """A container in the scope RUNTIME; all scopes of it share the lock.

    One lock for the tree: dishka's default lock deadlocks when a factory asks the container, and its child scopes have
    none at all. The loop never calls the container, so that contention does not matter.
    """
    keys = {key: type(f"Key{number}", (), {"__slots__": ()}) for number, key in enumerate(graph)}
    provider = dishka.Provider()
    for item in graph.values():
        maker = _maker(item, keys, tools)
        provider.provide(maker, provides=keys[item.key], scope=SCOPES[item.scope], cache=item.cached)
    made = dishka.make_container(
        provider,
        scopes=_Scopes,
        start_scope=_Scopes.RUNTIME,
        lock_factory=lambda: tools.lock,
        validation_settings=dishka.STRICT_VALIDATION,
    )
    return DishkaBackend(made, keys)


class DishkaBackend:
    """The objects of one scope, kept by dishka."""

    def __init__(self, inner: dishka.Container, keys: Mapping[Any, type]) -> None:
        self._inner = inner
        self._keys = keys

    def get(self, key: Any) -> Any:
        """See ``Backend``."""
        return self._inner.get(self._keys[key])

    def enter(self, scope: Scope) -> DishkaBackend:
        """See ``Backend``."""
        return DishkaBackend(self._inner(scope=SCOPES[scope]).__enter__(), self._keys)

    def close(self) -> None:
        """See ``Backend``."""
        self._inner.close()


def _maker(item: Registration, keys: Mapping[Any, type], tools: Tools) -> Callable[..., Any]:
    made: Any = _finalising(item, tools) if item.finalises and item.kind is not Kind.VALUE else _making(item, tools)
    key: Any = keys[item.key]
    needs = {name: keys[need] for name, need in item.needs.items()}
    made.__annotations__ = {**needs, "return": Iterator[key] if inspect.isgeneratorfunction(made) else key}
    made.__signature__ = inspect.Signature([_argument(name, need) for name, need in needs.items()])
    return made  # type: ignore[no-any-return]


def _making(item: Registration, tools: Tools) -> Callable[..., Any]:
    source = item.source

    def given() -> Any:
        return source

    def make(**needs: Any) -> Any:
        return source(**needs)

    def make_on_io_thread(**needs: Any) -> Any:
        return tools.wait(source(**needs))

    return given if item.kind is Kind.VALUE else make_on_io_thread if item.is_async else make


def _finalising(item: Registration, tools: Tools) -> Callable[..., Any]:
    source, what, place = item.source, key_name(item.key), item.place

    def make_and_finalise(**needs: Any) -> Iterator[Any]:
        generator = source(**needs)
        yield next(generator)
        with tools.watch.over(what, place):
            _exhaust(generator)

    def make_and_finalise_on_io_thread(**needs: Any) -> Iterator[Any]:
        generator = source(**needs)
        yield tools.wait(_first(generator))
        with tools.watch.over(what, place):
            tools.wait(_exhaust_async(generator))

    return make_and_finalise_on_io_thread if item.is_async else make_and_finalise


def _exhaust(generator: Iterator[Any]) -> None:
    for _ in generator:
        raise RuntimeError("a provider yielded twice; it yields the object, once")


async def _first(generator: AsyncGenerator[Any, None]) -> Any:
    return await anext(generator)


async def _exhaust_async(generator: AsyncGenerator[Any, None]) -> None:
    async for _ in generator:
        raise RuntimeError("a provider yielded twice; it yields the object, once")


def _argument(name: str, need: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=need)
