"""What the models allow at a path, for layers that arrive as text and for messages."""

from __future__ import annotations

from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from tickrail.config.models import RuntimeConfig, RuntimeSettings
from tickrail.config.origins import Path

__all__ = [
    "ID_TABLES",
    "RETIRED",
    "SECTIONS",
    "field_type",
    "is_open",
    "keys_at",
    "retired",
    "takes_list",
    "takes_number",
    "takes_secret",
    "takes_text",
]

TEXTS: Final = (str, FilePath, SecretStr)
SECTIONS: Final = tuple(RuntimeConfig.model_fields)
ID_TABLES: Final = tuple(section for section in SECTIONS if section != "runtime")
#: Keys of earlier releases: section and key -> what to write instead. They are errors: a key that still stands in a
#: file and is read no more is believed to work.
RETIRED: Final[dict[tuple[str, str], str]] = {}


def keys_at(path: Path) -> tuple[str, ...]:
    """The keys that the table at ``path`` may hold; empty where any key may stand."""
    model = _model_at(path)
    return () if model is None else tuple(_fields(model))


def retired(path: Path) -> str | None:
    """What replaced the key at ``path``, where an earlier release had it."""
    return RETIRED.get((path[0], path[-1])) if path else None


def field_type(path: Path) -> Any:
    """The type of the value at ``path``; ``None`` where the models leave it open."""
    model = _model_at(path[:-1]) if path else None
    if model is not None:
        return _fields(model).get(path[-1])
    return _item_type(field_type(path[:-1])) if len(path) > 3 else None


def is_open(path: Path) -> bool:
    """Whether ``path`` lies in a table in which any value may stand: options, parameters."""
    return len(path) > 3 and path[0] in ID_TABLES and field_type(path) is None


def takes_secret(annotation: Any) -> bool:
    """Whether the value there is a secret."""
    return SecretStr in _members(annotation)


def takes_text(annotation: Any) -> bool:
    """Whether text stays text there, whatever it looks like: not where a number may stand as well."""
    members = _members(annotation)
    is_number = int in members or float in members
    return any(member in TEXTS for member in members) and not is_number and not takes_list(annotation)


def takes_list(annotation: Any) -> bool:
    """Whether a list may stand there."""
    return any(get_origin(member) in {list, tuple} for member in _members(annotation))


def takes_number(annotation: Any, value: object) -> bool:
    """Whether ``value`` is a number, and one may stand there beside a list."""
    return type(value) in {int, float} and type(value) in _members(annotation)


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(inner for member in get_args(annotation) for inner in _members(member))
    if get_origin(annotation) is Literal:
        return tuple(type(value) for value in get_args(annotation))
    return (annotation,)


def _item_type(annotation: Any) -> Any:
    """The type of the values of a table; ``None`` where any value may stand."""
    inner = next((get_args(member)[1] for member in _members(annotation) if get_origin(member) is dict), Any)
    return None if inner is Any else inner


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_at(path: Path) -> type[BaseModel] | None:
    if not path:
        return RuntimeConfig
    section = RuntimeConfig.model_fields.get(path[0])
    if section is None or len(path) > 2:
        return None
    if path[0] not in ID_TABLES:
        return RuntimeSettings if len(path) == 1 else None
    table: type[BaseModel] | None = get_args(section.annotation)[1] if len(path) == 2 else None
    return table
