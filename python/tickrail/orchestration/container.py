"""The container: shared objects made when first asked for, and finalised in order.

A facade over dishka, which is imported when a container is built and shows in no signature here; what it adds is what
that library leaves open (``docs/concepts/container.md``): one re-entrant lock for all scopes, children closed before
their parents, closed means closed, every finaliser runs whatever another one raised, all problems of a graph at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

from typing_extensions import TypeForm

from tickrail.domain.near import did_you_mean
from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration.graph import Graph, check, collect
from tickrail.orchestration.provider import Provider, Scope, key_name

__all__ = ["Container", "Provider", "Scope"]

T = TypeVar("T")


class Container:
    """Makes and keeps the objects of one scope; ``enter`` opens a narrower one.

    >>> class Store: ...
    >>> with Container.build(Provider().singleton(Store)) as container:
    ...     container.get(Store) is container.get(Store)
    True

    Thread safety: any thread.
    """

    def __init__(self, inner: Any, graph: Graph, scope: Scope, parent: Container | None, lock: threading.RLock) -> None:
        self._inner = inner
        self._graph = graph
        self._parent = parent
        self._lock = lock
        self._children: list[Container] = []
        self._open = True
        self.scope = scope

    @classmethod
    def build(
        cls, *providers: Provider, overrides: Iterable[Provider] = (), values: Mapping[Any, Any] | None = None
    ) -> Container:
        """Check the graph and open the scope ``RUNTIME``; nothing is made yet.

        Args:
            providers: What there is; a key may be registered once.
            overrides: Replace registrations, as a test does with a fake.
            values: Objects that are there already, by key.

        Raises:
            WiringError: Naming all that is wrong with the graph.
        """
        from tickrail.orchestration.dishka_backend import assemble

        given = Provider()
        for key, value in (values or {}).items():
            given.value(key, value)
        graph = check(collect([*providers, given], overrides))
        lock = threading.RLock()
        return cls(assemble(graph, lock), graph, Scope.RUNTIME, None, lock)

    def get(self, key: TypeForm[T]) -> T:
        """The object that ``key`` names, made now if it is the first request.

        Raises:
            WiringError: Nothing provides it here.
            ContainerClosed: The container was closed.
        """
        with self._lock:
            self._require_open()
            self._require_known(key)
            made: T = self._inner.get(key)
            return made

    def has(self, key: Any, *, scope: Scope | None = None) -> bool:
        """Whether ``get(key)`` would find something here, or in a narrower ``scope`` once it is entered."""
        item = self._graph.get(key)
        return item is not None and item.scope <= (self.scope if scope is None else scope)

    def enter(self, scope: Scope) -> Container:
        """A narrower scope, closed at the latest with this one.

        Raises:
            WiringError: ``scope`` is not narrower than this one.
            ContainerClosed: This container was closed.
        """
        from tickrail.orchestration.dishka_backend import SCOPES

        with self._lock:
            self._require_open()
            if scope <= self.scope:
                raise WiringError(f"scope {scope.name} is not inside of scope {self.scope.name}")
            child = Container(self._inner(scope=SCOPES[scope]), self._graph, scope, self, self._lock)
            self._children.append(child)
            return child

    def close(self) -> None:
        """Run all finalisers, those of narrower scopes first, each scope's newest first. Idempotent.

        Raises:
            BaseExceptionGroup: What finalisers raised, after all of them have run.
        """
        with self._lock:
            if not self._open:
                return
            errors: list[BaseException] = []
            self._close_into(errors)
            if self._parent is not None:
                self._parent._children.remove(self)
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} finalisers failed in scope {self.scope.name}", errors)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _close_into(self, errors: list[BaseException]) -> None:
        self._open = False
        for child in reversed(self._children):
            child._close_into(errors)
        self._children.clear()
        while not self._finalise(errors):
            pass  # each round that raises has used up at least one finaliser, so that this ends

    def _finalise(self, errors: list[BaseException]) -> bool:
        try:
            self._inner.close()
        except BaseExceptionGroup as group:
            errors.extend(group.exceptions)
            return False
        except BaseException as error:  # KeyboardInterrupt within a finaliser: the others still run
            errors.append(error)
            return False
        return True

    def _require_open(self) -> None:
        if not self._open:
            raise ContainerClosed(
                f"the container of scope {self.scope.name} is closed",
                hint="keep the object, not the container, or open a new scope",
            )

    def _require_known(self, key: Any) -> None:
        item = self._graph.get(key)
        if item is None:
            near = did_you_mean(key_name(key), map(key_name, self._graph))
            raise WiringError(f"nothing provides {key_name(key)}{near}", hint="register it in a Provider")
        if item.scope > self.scope:
            raise WiringError(
                f"{key_name(key)} lives in scope {item.scope.name} and cannot be had in scope {self.scope.name}",
                hint=f"enter(Scope.{item.scope.name}) first",
            )
