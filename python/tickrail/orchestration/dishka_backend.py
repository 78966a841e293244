"""The one module that knows dishka: from a checked graph to a container of it.

dishka is handed functions with exactly the arguments that the graph has, so that it reads no signature of a user.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import dishka

from tickrail.orchestration.graph import Graph
from tickrail.orchestration.provider import Registration, Scope

__all__ = ["SCOPES", "assemble"]


class _Scopes(dishka.BaseScope):
    RUNTIME = dishka.new_scope("RUNTIME")
    SESSION = dishka.new_scope("SESSION")
    STRATEGY = dishka.new_scope("STRATEGY")


SCOPES = {Scope.RUNTIME: _Scopes.RUNTIME, Scope.SESSION: _Scopes.SESSION, Scope.STRATEGY: _Scopes.STRATEGY}


def assemble(graph: Graph, lock: AbstractContextManager[Any]) -> dishka.Container:
    """A container in the scope RUNTIME; all scopes of it share ``lock``, which is re-entrant.

    One lock for the tree: dishka's default lock deadlocks when a factory asks the container, and its child scopes have
    none at all. The loop never calls the container, so that contention does not matter.
    """
    provider = dishka.Provider()
    for item in graph.values():
        provider.provide(_maker(item), provides=item.key, scope=SCOPES[item.scope], cache=item.cached)
    return dishka.make_container(
        provider,
        scopes=_Scopes,
        start_scope=_Scopes.RUNTIME,
        lock_factory=lambda: lock,
        validation_settings=dishka.STRICT_VALIDATION,
    )


def _maker(item: Registration) -> Callable[..., Any]:
    source = item.source

    def given() -> Any:
        return source

    def make(**needs: Any) -> Any:
        return source(**needs)

    def make_and_finalise(**needs: Any) -> Iterator[Any]:
        yield from source(**needs)

    maker = given if item.given else make_and_finalise if item.finalises else make
    key: Any = item.key
    made: Any = maker
    made.__annotations__ = {**item.needs, "return": Iterator[key] if item.finalises else key}
    made.__signature__ = inspect.Signature([_argument(name, need) for name, need in item.needs.items()])
    return maker


def _argument(name: str, need: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=need)
