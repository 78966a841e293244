"""A second backend of the container, in plain Python: the contract asks for nothing that dishka alone has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tickrail.orchestration.backend import Tools
from tickrail.orchestration.graph import Graph
from tickrail.orchestration.provider import Kind, Registration, Scope


class PlainBackend:
    def __init__(self, graph: Graph, tools: Tools, scope: Scope, parent: PlainBackend | None = None) -> None:
        self._graph = graph
        self._tools = tools
        self._scope = scope
        self._parent = parent
        self._made: dict[Any, Any] = {}
        self._finalisers: list[Callable[[], None]] = []

    def get(self, key: Any) -> Any:
        item = self._graph[key]
        if item.scope < self._scope and item.cached:
            assert self._parent is not None
            return self._parent.get(key)
        if key in self._made:
            return self._made[key]
        made = self._make(item)
        if item.cached:
            self._made[key] = made
        return made

    def enter(self, scope: Scope) -> PlainBackend:
        return PlainBackend(self._graph, self._tools, scope, self)

    def close(self) -> None:
        while self._finalisers:
            self._finalisers.pop()()

    def _make(self, item: Registration) -> Any:
        if item.kind is Kind.VALUE:
            return item.source
        made = item.source(**{name: self.get(need) for name, need in item.needs.items()})
        if not item.finalises:
            return self._tools.wait(made) if item.is_async else made
        found = self._tools.wait(_first(made)) if item.is_async else next(made)
        self._finalisers.append(lambda: self._finalise(item, made))
        return found

    def _finalise(self, item: Registration, generator: Any) -> None:
        with self._tools.watch.over(str(item.key), item.place):
            if item.is_async:
                self._tools.wait(_rest(generator))
            else:
                for _ in generator:
                    raise RuntimeError("yielded twice")


async def _first(generator: Any) -> Any:
    return await anext(generator)


async def _rest(generator: Any) -> None:
    async for _ in generator:
        raise RuntimeError("yielded twice")


def assemble(graph: Graph, tools: Tools) -> PlainBackend:
    return PlainBackend(graph, tools, Scope.RUNTIME)
