"""The container: shared objects made when first asked for, and finalised in order.

A facade over dishka, which is imported when the first object is made and shows in no signature here; what it adds is
what that library leaves open (``docs/concepts/container.md``): one re-entrant lock for all scopes, children closed
before their parents, closed means closed, every finaliser runs whatever another one raised, all problems of a graph at
once, overrides in place, async sources beside plain ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self, TypeVar

from msgspec.structs import replace
from typing_extensions import TypeForm

from tickrail.domain.near import did_you_mean
from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration.backend import Assemble, Backend, Tools
from tickrail.orchestration.finalising import FINALISER_DEADLINE_S, FinaliserWatch, OnLate, log_late
from tickrail.orchestration.graph import Graph, affected_by, check, collect, replace_in
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.provider import Kind, Named, Provider, Registration, Scope, key_name, normal_key, with_mark

__all__ = ["Container", "Named", "Provider", "Scope"]

T = TypeVar("T")
#: How long an async source may take to make its object, or to finalise it: what takes longer will not come.
ASYNC_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.02


class Container:
    """Makes and keeps the objects of one scope; ``enter`` opens a narrower one.

    >>> class Store: ...
    >>> with Container.build(Provider().singleton(Store)) as container:
    ...     container.get(Store) is container.get(Store)
    True

    Thread safety: any thread.
    """

    def __init__(self, tree: _Tree, layer: _Layer, scope: Scope, parent: Container | None) -> None:
        self._tree = tree
        self._lock = tree.lock
        self._layer = layer
        self._beneath: list[_Layer] = []
        self._parent = parent
        self._open = True
        self._done = False
        self._made: dict[Any, Any] = layer.made
        self.scope = scope

    @classmethod
    def build(
        cls,
        *providers: Provider,
        overrides: Iterable[Provider] = (),
        values: Mapping[Any, Any] | None = None,
        io: IoThread | None = None,
        finaliser_deadline_s: float = FINALISER_DEADLINE_S,
        on_late: OnLate = log_late,
        backend: Assemble | None = None,
    ) -> Container:
        """Check the graph and open the scope ``RUNTIME``; nothing is made yet.

        Args:
            providers: What there is; a key may be registered once.
            overrides: Replace registrations, as a test does with a fake.
            values: Objects that are there already, by key.
            io: Where async sources run; ``None`` is a thread of the container's own, started when one is needed.
            finaliser_deadline_s: How long a finaliser may take before ``on_late`` is told.
            on_late: Told of finalisers that take longer, on a thread of its own; they are waited for all the same, and
                the deadline of the whole shutdown is what ends them.
            backend: What makes and keeps the objects; ``None`` is dishka.

        Raises:
            WiringError: Naming all that is wrong with the graph.
        """
        graph = check(collect([*providers, _values(values)], overrides))
        tree = _Tree(io, FinaliserWatch(finaliser_deadline_s, on_late), backend)
        return cls(tree, _Layer(graph, tree.assemble), Scope.RUNTIME, None)

    def get(self, key: TypeForm[T], *, name: str = "") -> T:
        """The object that ``key`` names, made now if it is the first request.

        Args:
            key: A class, a Protocol, ``tuple[T, ...]`` for all that are collected under ``T``.
            name: Which of several of this type.

        Raises:
            WiringError: Nothing provides it here.
            ContainerClosed: The container was closed.
        """
        if not name:
            try:
                known: T = self._made[key]
                return known
            except (KeyError, TypeError):  # TypeError: a key that cannot be hashed is named below
                pass
        made: T = self._get(key, name)
        return made

    def has(self, key: Any, *, name: str = "", scope: Scope | None = None) -> bool:
        """Whether ``get(key)`` would find something here, or in a narrower ``scope`` once it is entered."""
        item = self._layer.graph.get(_key(key, name))
        return item is not None and item.scope <= (self.scope if scope is None else scope)

    def resolve_async(self, keys: Iterable[Any] | None = None) -> None:
        """Make now what async sources make and ``keys`` need, however far; the rest stays unmade until it is asked for.

        The bootstrapper does so for what strategies need, so that nothing waits for the I/O thread later.

        Args:
            keys: ``None`` is everything that lives as long as this container or longer.

        Raises:
            WiringError: Nothing provides one of the keys here.
            TimeoutError: A source took too long, and was cancelled.
        """
        self._require_open()
        graph = self._layer.graph
        wanted = (
            [key for key in graph if graph[key].scope <= self.scope] if keys is None else list(map(normal_key, keys))
        )
        for key in _needed(wanted, graph):
            if graph[key].is_async and graph[key].scope <= self.scope:
                self.get(key)

    def enter(self, scope: Scope) -> Container:
        """A narrower scope, closed at the latest with this one.

        Raises:
            WiringError: ``scope`` is not narrower than this one.
            ContainerClosed: This container was closed.
        """
        with self._tree.held():
            self._require_open()
            if scope <= self.scope:
                raise WiringError(f"scope {scope.name} is not inside of scope {self.scope.name}")
            mine = self._layer
            layer = _Layer(mine.graph, lambda _: mine.backend.enter(scope), mine.root)
            child = Container(self._tree, layer, scope, self)
            mine.children.append(child)
            return child

    @contextmanager
    def override(self, *providers: Provider, values: Mapping[Any, Any] | None = None) -> Iterator[Self]:
        """Replace registrations in place, until the end of the block: for tests.

        ``with container.override(values={Port: fake}):`` - whatever needs what is replaced is made anew inside, and
        finalised at its end; everything else stays the object that it was. Scopes that were entered before keep what
        they have. Blocks may be nested, on one thread.

        Raises:
            WiringError: This is not the scope ``RUNTIME``, something replaces nothing, or the graph is unsound with it.
            ContainerClosed: The container was closed.
        """
        given = [*providers, _values(values)]
        with self._tree.held():
            self._require_open()
            if self._parent is not None:
                raise WiringError(f"overrides are for scope RUNTIME, and this is {self.scope.name}")
            outer = self._layer
            layer = self._tree.layer_over(outer, given)
            self._beneath.append(outer)
            self._layer, self._made = layer, layer.made
        try:
            yield self
        finally:
            self._end_override(layer)

    def close(self) -> None:
        """Run all finalisers, those of narrower scopes first, each scope's newest first. Idempotent.

        Raises:
            BaseExceptionGroup: What finalisers raised, after all of them have run.
        """
        errors: list[BaseException] = []
        with self._tree.held():
            if self._done:
                return
            self._close_into(errors)
            if self._parent is None:
                self._tree.close(errors)
            else:
                self._parent._forget(self)
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} finalisers failed in scope {self.scope.name}", errors)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._open

    @property
    def graph(self) -> Mapping[Any, Registration]:
        """The registrations by key, as they are after the check."""
        return self._layer.graph

    def needed_by(self, keys: Iterable[Any]) -> list[Any]:
        """``keys`` and all that they need, however far; what is needed first."""
        return _needed(map(normal_key, keys), self._layer.graph)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _get(self, key: Any, name: str) -> Any:
        wanted = _key(key, name)
        with self._tree.held():
            self._require_open()
            self._require_known(wanted)
            layer = self._layer
            item = layer.graph[wanted]
            # What was there before needs nobody to make it: a run with such services alone loads no backend.
            made = item.source if item.kind is Kind.VALUE else layer.find(wanted)
            if layer.graph[wanted].cached and self._open:
                layer.made[wanted] = made
                if not name:
                    layer.made[key] = made
            return made

    def _close_into(self, errors: list[BaseException]) -> None:
        """Whatever interrupts it, calling it again goes on where it was."""
        self._open = False
        while True:
            self._layer.close_into(errors)
            if not self._beneath:
                break
            self._layer = self._beneath.pop()
        self._made = {}
        self._done = True

    def _end_override(self, layer: _Layer) -> None:
        errors: list[BaseException] = []
        with self._tree.held():
            if self._layer is layer:  # else the container was closed inside the block
                layer.close_into(errors)
                self._layer = self._beneath.pop()
                self._made = self._layer.made
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} finalisers failed after an override", errors)

    def _forget(self, child: Container) -> None:
        for layer in (self._layer, *self._beneath):
            if child in layer.children:
                layer.children.remove(child)

    def _require_open(self) -> None:
        if not self._open:
            raise ContainerClosed(
                f"the container of scope {self.scope.name} is closed",
                hint="keep the object, not the container, or open a new scope",
            )

    def _require_known(self, key: Any) -> None:
        graph = self._layer.graph
        item = graph.get(key) if isinstance(key, Hashable) else None
        if item is None:
            near = did_you_mean(key_name(key), map(key_name, graph))
            raise WiringError(f"nothing provides {key_name(key)}{near}", hint="register it in a Provider")
        if item.scope > self.scope:
            raise WiringError(
                f"{key_name(key)} lives in scope {item.scope.name} and cannot be had in scope {self.scope.name}",
                hint=f"enter(Scope.{item.scope.name}) first",
            )


class _Layer:
    """The objects of one scope under one graph; a backend is made for it when one is needed.

    What lives as long as the runtime, needs nothing and finalises nothing is made here: a run whose services are all so
    (a store, a telemetry) does not load dishka, which would be half of its start.
    """

    def __init__(self, graph: Graph, assemble: Callable[[Graph], Backend], root: _Layer | None = None) -> None:
        self.graph = graph
        self.root = self if root is None else root
        self.made: dict[Any, Any] = {}
        self.children: list[Container] = []
        self._assemble = assemble
        self._backend: Backend | None = None
        self._simple: dict[Any, Any] = {}

    @property
    def backend(self) -> Backend:
        if self._backend is None:
            self._backend = self._assemble(self._for_backend() if self.root is self else self.graph)
        return self._backend

    def find(self, key: Any) -> Any:
        """The object of a key."""
        return self.root.simple(key) if _is_simple(self.graph[key]) else self.backend.get(key)

    def simple(self, key: Any) -> Any:
        """An object that is made here, in the outermost scope."""
        if key not in self._simple:
            item = self.graph[key]
            self._simple[key] = item.source if item.kind is Kind.VALUE else item.source()
        return self._simple[key]

    def _for_backend(self) -> Graph:
        return {
            key: replace(item, source=partial(self.simple, key), cached=False, kind=Kind.SOURCE)
            if _is_simple(item)
            else item
            for key, item in self.graph.items()
        }

    def close_into(self, errors: list[BaseException]) -> None:
        """Children first, the newest first; then the own finalisers, each whatever another one raised."""
        while self.children:
            self.children[-1]._close_into(errors)
            self.children.pop()
        self.made.clear()
        self._simple.clear()
        while self._backend is not None:
            try:
                self._backend.close()
                self._backend = None
            except BaseExceptionGroup as group:
                errors.extend(group.exceptions)
            except BaseException as error:  # KeyboardInterrupt within a finaliser: the others still run
                errors.append(error)
            # Each round that raises has used up at least one finaliser, so that this ends.


class _Tree:
    """What all scopes of one container share."""

    def __init__(self, io: IoThread | None, watch: FinaliserWatch, backend: Assemble | None) -> None:
        self.lock = threading.RLock()
        self._own_io = io is None
        self._io = IoThread(name="tickrail-container-io") if io is None else io
        self._backend = backend
        self._tools = Tools(self.lock, self._wait, watch)
        self._waiting = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """The lock; the I/O thread, which its holder may be waiting for, does not wait for it then."""
        if self._io.is_current:
            while not self.lock.acquire(timeout=POLL_S):
                if self._waiting:
                    raise WiringError(
                        "the container cannot be asked by an async source: it waits for that source",
                        hint="take what you need as an argument",
                    )
        else:
            self.lock.acquire()
        try:
            yield
        finally:
            self.lock.release()

    def assemble(self, graph: Graph) -> Backend:
        """The backend of the scope ``RUNTIME`` of a graph."""
        if self._backend is None:
            from tickrail.orchestration.dishka_backend import assemble

            self._backend = assemble
        return self._backend(graph, self._tools)

    def layer_over(self, outer: _Layer, overrides: Iterable[Provider]) -> _Layer:
        """A layer in which ``overrides`` hold; what they do not touch comes from ``outer``."""
        overrides = list(overrides)
        changed = {item.key for provider in overrides for item in provider.registrations}
        graph = check(replace_in(outer.graph, overrides))
        touched = affected_by(changed, graph)
        for key, item in graph.items():
            if key not in touched and item.scope is Scope.RUNTIME:
                source = partial(_from_outer, outer, key)
                graph[key] = replace(item, source=source, needs={}, cached=False, kind=Kind.SOURCE)
        return _Layer(graph, self.assemble)

    def close(self, errors: list[BaseException]) -> None:
        """End the I/O thread, where it is the container's own."""
        if self._own_io and self._io.started:
            try:
                self._io.close()
            except BaseException as error:
                errors.append(error)

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._waiting += 1
        try:
            return self._io.call(coroutine, ASYNC_TIMEOUT_S)
        finally:
            self._waiting -= 1


def _is_simple(item: Registration) -> bool:
    if item.scope is not Scope.RUNTIME or not item.cached:
        return False
    return item.kind is Kind.VALUE or not (
        item.kind is not Kind.SOURCE or item.needs or item.finalises or item.is_async
    )


def _from_outer(outer: _Layer, key: Any) -> Any:
    return outer.find(key)


def _values(values: Mapping[Any, Any] | None) -> Provider:
    given = Provider()
    for key, value in (values or {}).items():
        given.value(key, value)
    return given


def _key(key: Any, name: str) -> Any:
    return with_mark(key, Named(name)) if name else normal_key(key)


def _needed(keys: Iterable[Any], graph: Graph) -> list[Any]:
    """``keys`` and all that they need, what is needed first."""
    order: list[Any] = []
    seen: set[Any] = set()
    waiting = [(key, False) for key in reversed(list(keys))]
    while waiting:
        key, ready = waiting.pop()
        if ready:
            order.append(key)
        elif key in graph and key not in seen:
            seen.add(key)
            waiting.append((key, True))
            waiting += [(need, False) for need in reversed(list(graph[key].needs.values()))]
    return order
