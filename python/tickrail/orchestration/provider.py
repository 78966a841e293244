"""Providers: how the objects of the container are made, and how long they live."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Self, TypeVar, get_type_hints

from typing_extensions import TypeForm

from tickrail.errors import WiringError

__all__ = ["Provider", "Registration", "Scope", "key_name"]

T = TypeVar("T")
NOT_INJECTABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Scope(IntEnum):
    """How long an object lives: as long as the runtime, one session of it, or one strategy."""

    RUNTIME = 0
    SESSION = 1
    STRATEGY = 2


@dataclass(frozen=True, slots=True)
class Registration:
    """One way to make one thing.

    Attributes:
        key: What it is asked for by: a class, a Protocol.
        source: What makes it: a class, a function, or a generator function that yields once and cleans up after.
        scope: How long it lives.
        cached: Whether it is made once per scope, or anew at each request.
        needs: Argument -> key of what is passed for it.
        optional: Arguments with a default, left out where nothing provides them.
        place: ``file:line`` where it was registered.
        given: Whether ``source`` is the object itself.
    """

    key: Any
    source: Any
    scope: Scope
    cached: bool
    needs: Mapping[str, Any]
    optional: frozenset[str]
    place: str
    given: bool = False

    @property
    def finalises(self) -> bool:
        """Whether it cleans up when its scope is closed."""
        return inspect.isgeneratorfunction(self.source)


class Provider:
    """A list of registrations; nothing is made before it is asked for.

    >>> class Store: ...
    >>> class Report:
    ...     def __init__(self, store: Store) -> None:
    ...         self.store = store
    >>> provider = Provider().singleton(Store).scoped(Report)

    Arguments of classes and functions are found by their annotations. Those with a default are left out where nothing
    provides their type. A generator function yields the object, and what stands after the ``yield`` is its finaliser.
    """

    def __init__(self) -> None:
        self.registrations: list[Registration] = []

    def singleton(self, key: TypeForm[T], source: Callable[..., Any] | None = None) -> Self:
        """One for the whole runtime, made when it is first asked for."""
        return self._add(key, source, Scope.RUNTIME, cached=True)

    def scoped(
        self, key: TypeForm[T], source: Callable[..., Any] | None = None, *, scope: Scope = Scope.STRATEGY
    ) -> Self:
        """One for each strategy, or for each session."""
        return self._add(key, source, scope, cached=True)

    def factory(
        self, key: TypeForm[T], source: Callable[..., Any] | None = None, *, scope: Scope = Scope.RUNTIME
    ) -> Self:
        """A new one at each request; with ``scope``, it may use what lives that long."""
        return self._add(key, source, scope, cached=False)

    def value(self, key: TypeForm[T], value: T) -> Self:
        """An object that is there already; whoever made it closes it."""
        self.registrations.append(
            Registration(
                key, value, Scope.RUNTIME, cached=True, needs={}, optional=frozenset(), place=_place(), given=True
            )
        )
        return self

    def bind(self, port: TypeForm[T], adapter: Any) -> Self:
        """Whoever asks for ``port`` receives the ``adapter``, which is registered by itself."""
        place = _place()
        self.registrations.append(
            Registration(
                port, _identity, Scope.RUNTIME, cached=False, needs={"it": adapter}, optional=frozenset(), place=place
            )
        )
        return self

    def _add(self, key: Any, source: Any, scope: Scope, *, cached: bool) -> Self:
        made_by = key if source is None else source
        place = _place(depth=3)
        needs, optional = _arguments(made_by, key, place)
        self.registrations.append(Registration(key, made_by, scope, cached, needs, optional, place))
        return self


def key_name(key: Any) -> str:
    """A key as one would write it."""
    return key.__name__ if isinstance(key, type) else str(key).replace("typing.", "")


def _identity(it: Any) -> Any:
    return it


def _place(depth: int = 2) -> str:
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _arguments(source: Any, key: Any, place: str) -> tuple[dict[str, Any], frozenset[str]]:
    """What ``source`` takes, by name."""
    if inspect.iscoroutinefunction(source) or inspect.isasyncgenfunction(source):
        raise WiringError(
            f"{place}: {key_name(key)} is made by an async function, which the container does not take",
            hint="make it in a plain function and connect it when the strategy starts",
        )
    if not callable(source) or getattr(source, "_is_protocol", False) or inspect.isabstract(source):
        raise WiringError(
            f"{place}: {key_name(key)} cannot be made, it is abstract",
            hint=f"say what makes it: .singleton({key_name(key)}, Implementation)",
        )
    if inspect.isclass(source) and source.__init__ is object.__init__:
        return {}, frozenset()
    signature = _signature(source, key, place)
    hints = _hints(source, key, place)
    needs = {name: hints.get(name, parameter.annotation) for name, parameter in signature.items()}
    bare = [name for name, hint in needs.items() if hint is inspect.Parameter.empty]
    if required := [name for name in bare if signature[name].default is inspect.Parameter.empty]:
        raise WiringError(
            f"{place}: {key_name(key)}: argument {', '.join(required)} of {key_name(source)} has no annotation",
            hint="the container finds arguments by their types",
        )
    optional = frozenset(name for name in needs if signature[name].default is not inspect.Parameter.empty)
    return {name: hint for name, hint in needs.items() if name not in bare}, optional


def _signature(source: Any, key: Any, place: str) -> dict[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(source).parameters
    except (TypeError, ValueError):
        raise WiringError(f"{place}: {key_name(key)}: the arguments of {source!r} cannot be read") from None
    if positional := [p.name for p in parameters.values() if p.kind is inspect.Parameter.POSITIONAL_ONLY]:
        raise WiringError(
            f"{place}: {key_name(key)}: argument {', '.join(positional)} of {key_name(source)} is positional only",
            hint="the container passes arguments by name",
        )
    return {name: p for name, p in parameters.items() if p.kind not in NOT_INJECTABLE}


def _hints(source: Any, key: Any, place: str) -> dict[str, Any]:
    if inspect.isclass(source):
        target = source.__init__
    else:
        target = source if inspect.isroutine(source) else type(source).__call__
    try:
        return get_type_hints(target)
    except Exception as error:
        raise WiringError(
            f"{place}: {key_name(key)}: the annotations of {key_name(source)} cannot be resolved: {error}",
            hint="import the names outside of 'if TYPE_CHECKING'",
        ) from None
