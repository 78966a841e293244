"""Providers: how the objects of the container are made, and how long they live."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Annotated, Any, Final, Self, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from typing_extensions import TypeForm

from tickrail.errors import WiringError

__all__ = [
    "Kind",
    "Mark",
    "Named",
    "Provider",
    "Registration",
    "Scope",
    "identity",
    "key_name",
    "normal_key",
    "with_mark",
]

T = TypeVar("T")
NOT_INJECTABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Scope(IntEnum):
    """How long an object lives: as long as the runtime, one session of it, or one strategy."""

    RUNTIME = 0
    SESSION = 1
    STRATEGY = 2


class Kind(Enum):
    """What a registration is."""

    SOURCE = "source"
    VALUE = "value"
    BINDING = "binding"
    MEMBER = "member"
    COLLECTION = "collection"
    DECORATOR = "decorator"


class Mark(msgspec.Struct, frozen=True):
    """What tells keys of one type apart, in ``Annotated[T, mark]``."""


class Named(Mark, frozen=True):
    """One of several of a type: ``fast: Annotated[Feed, Named("fast")]`` is what ``name="fast"`` registered."""

    name: str

    def __str__(self) -> str:
        return f"'{self.name}'"


class Registration(msgspec.Struct, frozen=True):
    """One way to make one thing.

    Attributes:
        key: What it is asked for by: a class, a Protocol, one of these ``Annotated`` with a name.
        source: What makes it: a class, a function, or a generator function that yields once and cleans up after; a
            function and a generator may be ``async``.
        scope: How long it lives.
        cached: Whether it is made once per scope, or anew at each request.
        needs: Argument -> key of what is passed for it.
        optional: Arguments with a default, left out where nothing provides them.
        place: ``file:line`` where it was registered.
        kind: What it is.
    """

    key: Any
    source: Any
    scope: Scope
    cached: bool
    needs: Mapping[str, Any] = msgspec.field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    place: str = ""
    kind: Kind = Kind.SOURCE

    @property
    def finalises(self) -> bool:
        """Whether it cleans up when its scope is closed."""
        return inspect.isgeneratorfunction(self.source) or inspect.isasyncgenfunction(self.source)

    @property
    def is_async(self) -> bool:
        """Whether it is made on the I/O thread."""
        return inspect.iscoroutinefunction(self.source) or inspect.isasyncgenfunction(self.source)


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

    def singleton(self, key: TypeForm[T], source: Callable[..., Any] | None = None, *, name: str = "") -> Self:
        """One for the whole runtime, made when it is first asked for; ``name`` tells several of a type apart."""
        return self._add(key, source, Scope.RUNTIME, name=name)

    def scoped(
        self,
        key: TypeForm[T],
        source: Callable[..., Any] | None = None,
        *,
        scope: Scope = Scope.STRATEGY,
        name: str = "",
    ) -> Self:
        """One for each strategy, or for each session."""
        return self._add(key, source, scope, name=name)

    def factory(
        self,
        key: TypeForm[T],
        source: Callable[..., Any] | None = None,
        *,
        scope: Scope = Scope.RUNTIME,
        name: str = "",
    ) -> Self:
        """A new one at each request; with ``scope``, it may use what lives that long."""
        return self._add(key, source, scope, name=name, cached=False)

    def value(self, key: TypeForm[T], value: T, *, name: str = "") -> Self:
        """An object that is there already; whoever made it closes it."""
        key = _named(key, name)
        made = Registration(key, value, Scope.RUNTIME, cached=True, place=_place(), kind=Kind.VALUE)
        self.registrations.append(made)
        return self

    def bind(self, port: TypeForm[T], adapter: Any, *, name: str = "") -> Self:
        """Whoever asks for ``port`` receives the ``adapter``, which is registered by itself."""
        needs = {"it": normal_key(adapter)}
        made = Registration(_named(port, name), identity, Scope.RUNTIME, True, needs, place=_place(), kind=Kind.BINDING)
        self.registrations.append(made)
        return self

    def collect(
        self, key: TypeForm[T], source: Callable[..., Any] | None = None, *, scope: Scope = Scope.RUNTIME
    ) -> Self:
        """One more of those that ``tuple[T, ...]`` and ``Sequence[T]`` ask for, in the order of registration."""
        return self._add(key, source, scope, kind=Kind.MEMBER)

    def decorate(self, key: TypeForm[T], source: Callable[..., Any], *, name: str = "") -> Self:
        """Whoever asks for ``key`` receives what ``source`` makes of it; it lives as long as what it wraps.

        ``source`` takes the wrapped object by an argument annotated with ``key``, with or without its name; of several,
        the last registered is outermost.
        """
        return self._add(key, source, Scope.RUNTIME, name=name, kind=Kind.DECORATOR)

    def _add(
        self,
        key: Any,
        source: Any,
        scope: Scope,
        *,
        name: str = "",
        cached: bool = True,
        kind: Kind = Kind.SOURCE,
    ) -> Self:
        made_by = key if source is None else source
        key, place = _named(key, name), _place(depth=3)
        needs, optional = _arguments(made_by, key, place)
        made = Registration(key, made_by, scope, cached, needs, optional, place, kind)
        if made.is_async and not cached:
            raise WiringError(
                f"{place}: {key_name(key)} is made by an async function, and at each request",
                hint="singleton or scoped: what is async is made at bootstrap, on the I/O thread",
            )
        self.registrations.append(made)
        return self


def normal_key(key: Any) -> Any:
    """The key without what does not tell keys apart."""
    origin = get_origin(key)
    if origin is Sequence or origin is tuple:  # those of typing are others, and mean the same
        return origin[get_args(key)] if get_args(key) else key
    if origin is not Annotated:
        return key
    kind, *rest = get_args(key)
    mark = next((mark for mark in rest if isinstance(mark, Mark)), None)
    return kind if mark is None else with_mark(kind, mark)


def with_mark(key: Any, mark: Mark) -> Any:
    """The key of one among several of a type."""
    return Annotated[key, mark]


def key_name(key: Any) -> str:
    """A key as one would write it."""
    if get_origin(key) is Annotated:
        kind, *marks = get_args(key)
        return " ".join([key_name(kind), *map(str, marks)])
    return _written(key) if get_args(key) else str(getattr(key, "__name__", key)).replace("typing.", "")


def _written(key: Any) -> str:
    origin, arguments = get_origin(key), get_args(key)
    if not isinstance(origin, type):
        return str(key).replace("typing.", "")
    return f"{origin.__name__}[{', '.join('...' if one is ... else key_name(one) for one in arguments)}]"


def _named(key: Any, name: str) -> Any:
    return with_mark(key, Named(name)) if name else normal_key(key)


def identity(it: Any) -> Any:
    """What makes a binding: the adapter itself."""
    return it


def _place(depth: int = 2) -> str:
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _arguments(source: Any, key: Any, place: str) -> tuple[dict[str, Any], frozenset[str]]:
    """What ``source`` takes, by name."""
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
    return {name: normal_key(hint) for name, hint in needs.items() if name not in bare}, optional


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
        return get_type_hints(target, include_extras=True)
    except Exception as error:
        raise WiringError(
            f"{place}: {key_name(key)}: the annotations of {key_name(source)} cannot be resolved: {error}",
            hint="import the names outside of 'if TYPE_CHECKING'",
        ) from None
