"""What a container asks of whatever makes and keeps the objects of its scopes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from threading import RLock
from typing import Any, Protocol, TypeAlias

import msgspec

from tickrail.orchestration.finalising import FinaliserWatch
from tickrail.orchestration.graph import Graph
from tickrail.orchestration.provider import Scope

__all__ = ["Assemble", "Backend", "Tools"]


class Tools(msgspec.Struct, frozen=True):
    """What a backend is given.

    Attributes:
        lock: One for all scopes, re-entrant; held during every call of a backend.
        wait: Runs a coroutine on the I/O thread and waits for it: async sources are made, and finalised, by it.
        watch: To be held over each finaliser.
    """

    lock: RLock
    wait: Callable[[Coroutine[Any, Any, Any]], Any]
    watch: FinaliserWatch


class Backend(Protocol):
    """The objects of one scope.

    ``tests/conformance/test_container.py`` holds what is expected of one, through the container.
    """

    def get(self, key: Any) -> Any:
        """The object of a key of the graph, made if it is not there; raises what making it raised."""

    def enter(self, scope: Scope) -> Backend:
        """A narrower scope, which the container closes before this one."""

    def close(self) -> None:
        """Run the finalisers, newest first.

        Raises:
            BaseException: What finalisers raised. Called again, it goes on with those that did not run.
        """


Assemble: TypeAlias = Callable[[Graph, Tools], Backend]
"""From a checked graph to the backend of the scope RUNTIME."""
