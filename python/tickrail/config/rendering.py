"""A loaded configuration as lines of TOML, as plain values, and as the difference to another one. Secrets are stars."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path as FilePath
from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from tickrail.config.loader import LoadedConfig
from tickrail.config.origins import DEFAULT, Origin, Path, format_path, quoted

__all__ = ["Difference", "Entry", "differences", "entries", "plain", "toml_text"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a configuration.

    Attributes:
        path: Where it stands, as TOML writes it.
        value: It; paths within the project are relative, a secret is a ``SecretStr``.
        origin: Who set it.
    """

    path: str
    value: Any
    origin: Origin

    @property
    def line(self) -> str:
        """The value as a line of TOML."""
        return f"{self.path} = {toml_text(self.value)}"

    @property
    def provenance(self) -> str:
        """Who set it, over whom: ``env X (over config/base/a.toml:3)``."""
        newest, *older = map(str, self.origin.history())
        return newest + (f" (over {', '.join(older)})" if older else "")


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that two configurations do not share; one of them may lack it."""

    path: str
    before: Entry | None
    after: Entry | None


def entries(loaded: LoadedConfig) -> list[Entry]:
    """Every value, defaults among them, in the order of the models; what is not set and has no default is left out."""
    table = loaded.config.model_dump(mode="python", by_alias=True)
    return [
        Entry(path, _within(value, loaded.project), loaded.origins.get(path, DEFAULT))
        for parts, value in _leaves((), table)
        for path in [format_path(parts)]
    ]


def plain(value: Any) -> Any:
    """Tables, lists, text and numbers, for JSON; a secret is stars."""
    return to_jsonable_python(value)


def differences(before: LoadedConfig, after: LoadedConfig) -> list[Difference]:
    """What ``after`` has changed, added or lacks; that of ``before`` first where only one has it."""
    old, new = ({entry.path: entry for entry in entries(loaded)} for loaded in (before, after))
    both = [*old, *(path for path in new if path not in old)]
    return [
        Difference(path, old.get(path), new.get(path))
        for path in both
        if path not in old or path not in new or old[path].value != new[path].value
    ]


def toml_text(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, str | FilePath | SecretStr):
        return quoted(str(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{format_path((key,))} = {toml_text(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    return json.dumps(value)  # of true, false and numbers, the two agree


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves((*path, key), item)
        if not value and len(path) == 2:  # a table without a value: an id that is there all the same
            yield path, {}
    elif value is not None:
        yield path, value


def _within(value: Any, project: FilePath) -> Any:
    return value.relative_to(project) if isinstance(value, FilePath) and value.is_relative_to(project) else value
