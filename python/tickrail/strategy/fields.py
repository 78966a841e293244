"""The typed fields of a strategy's class: which annotations are parameters, which are services."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Final, NoReturn, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from tickrail.errors import ParameterError, Problem
from tickrail.strategy.inject import InjectedField, InjectMarker

__all__ = ["MISSING", "Field", "ParameterField", "own_fields", "place_descriptors", "resolve"]

CLASSVAR: Final = re.compile(r"\s*(\w+\.)?ClassVar\b")
Space: TypeAlias = Mapping[str, Any]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Default of a field that has none."""


class Field(msgspec.Struct, frozen=True):
    """One annotated field as its class wrote it.

    Attributes:
        name: The field.
        raw: The annotation, a type or its text.
        default: The value on the class, or ``MISSING``.
        owner: The class that wrote the annotation.
        space: The names that the class statement could see beyond its module's, for annotations that are text.
    """

    name: str
    raw: Any
    default: Any
    owner: type
    space: Space


class ParameterField:
    """Stands on the class in the place of a parameter and refuses to have it set.

    It has no ``__get__``: a read goes to the instance's dict. A ``__setattr__`` on the base class would make every
    ``self.x = ...`` of a handler slower by a Python call (850 ns against 33, measured on one busy machine), a property
    every read (158 against 82); handlers write their own attributes far more often than they read a parameter.
    """

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner

    def __set__(self, instance: object, value: object) -> NoReturn:
        self._refuse()

    def __delete__(self, instance: object) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ParameterError(
            f"{self.owner}.{self.name} is a parameter and cannot be changed after construction",
            strategy=self.owner,
            problems=[Problem(self.name, self.owner, "cannot be changed after construction")],
            hint=f"make a new {self.owner}({self.name}=...), or keep what changes in an attribute of another name",
        )


def own_fields(cls: type, space: Space) -> Iterator[Field]:
    """The fields that ``cls`` itself annotates, in order; ``ClassVar`` and names with an underscore are none."""
    for name, raw in inspect.get_annotations(cls).items():
        if not name.startswith("_") and not _is_classvar(raw):
            yield Field(name, raw, cls.__dict__.get(name, MISSING), cls, space)


def place_descriptors(cls: type, fields: Mapping[str, Field]) -> None:
    """Put on ``cls`` what guards its fields."""
    for name, field in fields.items():
        guard = InjectedField if _looks_injected(field) else ParameterField
        setattr(cls, name, guard(name, cls.__name__))


def resolve(field: Field) -> tuple[Any, bool]:
    """The type of a field, and whether the container fills it.

    Raises:
        ParameterError: The annotation names something that cannot be found.
    """
    kind = _evaluate(field)
    if get_origin(kind) is Annotated and any(isinstance(mark, InjectMarker) for mark in get_args(kind)[1:]):
        others = tuple(mark for mark in get_args(kind)[1:] if not isinstance(mark, InjectMarker))
        service = get_args(kind)[0]
        return (Annotated[(service, *others)] if others else service), True
    return kind, False


def _evaluate(field: Field) -> Any:
    found = field.raw
    while isinstance(found, str):  # a quoted name under "from __future__ import annotations" is text twice
        found = _look_up(field, found)
    return found


def _look_up(field: Field, text: str) -> Any:
    module = sys.modules.get(field.owner.__module__)
    names = dict(vars(module)) if module is not None else {}
    try:
        hints = get_type_hints(
            SimpleNamespace(__annotations__={field.name: text}),
            globalns=names,
            localns={**field.space, field.owner.__name__: field.owner},
            include_extras=True,
        )
    except Exception as error:
        owner = field.owner.__name__
        raise ParameterError(
            f"{owner}.{field.name}: the annotation {text!r} cannot be resolved: {error}",
            strategy=owner,
            problems=[Problem(field.name, owner, f"the annotation {text!r} cannot be resolved")],
            hint="import the name at the top of the module, outside of 'if TYPE_CHECKING'",
        ) from None
    return hints[field.name]


def _is_classvar(raw: Any) -> bool:
    if isinstance(raw, str):
        return CLASSVAR.match(raw) is not None
    return raw is ClassVar or get_origin(raw) is ClassVar


def _looks_injected(field: Field) -> bool:
    if isinstance(field.default, InjectMarker):
        return True
    if isinstance(field.raw, str):
        return re.match(r"\s*(\w+\.)*Inject\[", field.raw) is not None
    return get_origin(field.raw) is Annotated and any(
        isinstance(mark, InjectMarker) for mark in get_args(field.raw)[1:]
    )
