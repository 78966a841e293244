"""What the fields of a command may be, for a look without encoding: of a handler that is called at once."""

from __future__ import annotations

import enum
import types
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from tickrail._native import CommandFields

__all__ = ["fields_of"]

PLAIN: Final[dict[Any, tuple[str, ...]]] = {
    int: ("int",),
    float: ("float",),  # and an int, of which the wire makes one
    str: ("str",),
    bytes: ("bytes",),
    bool: ("bool",),
    type(None): ("None",),
}
"""Classes of which each object can be sent, nearly: the native half knows which cannot."""

Told: TypeAlias = tuple[list[str], list[type], list[object]]


def fields_of(cls: type[msgspec.Struct]) -> CommandFields:
    """The fields of ``cls``; what they hold beyond plain values, members of enumerations and literals is not known."""
    return CommandFields([(field.name, *_told(field.type)) for field in msgspec.structs.fields(cls)])


def _told(annotation: Any) -> Told:
    plain: list[str] = []
    classes: list[type] = []
    values: list[object] = []
    origin = get_origin(annotation)
    for part in get_args(annotation) if origin in (Union, types.UnionType) else (annotation,):
        if get_origin(part) is Literal:
            values.extend(get_args(part))
        elif isinstance(part, type) and part in PLAIN:
            plain.extend(PLAIN[part])
        elif isinstance(part, type) and issubclass(part, enum.Enum) and not issubclass(part, enum.Flag):
            classes.append(part)
    return plain, classes, values
