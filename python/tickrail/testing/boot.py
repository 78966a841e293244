"""A booted configuration in milliseconds, from text or from a dict."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from tickrail.orchestration.bootstrapper import RuntimeBootstrapper
from tickrail.orchestration.provider import Provider
from tickrail.orchestration.runtime import Runtime

__all__ = ["Configuration", "boot", "toml_of", "write_config"]

Configuration: TypeAlias = str | Mapping[str, Any]
ENVIRONMENT: Final = "test"
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
FEEDS: Final = {"fake": {"adapter": "tickrail.testing.market_data:FakeMarketData"}}


@contextmanager
def boot(
    configuration: Configuration, *, modules: Sequence[Provider | str] = (), folder: Path | None = None
) -> Iterator[Runtime]:
    """A runtime of ``configuration``, closed at the end of the block.

    Args:
        configuration: TOML text, or tables as a dict; without feeds it gets one of made ticks.
        modules: Providers, as for the bootstrapper.
        folder: Where the files go; a temporary folder by default.
    """
    with TemporaryDirectory() as temporary:
        root = write_config(Path(temporary) if folder is None else folder, configuration)
        bootstrapper = RuntimeBootstrapper(ENVIRONMENT, root=root, environ={}, modules=modules)
        with bootstrapper.bootstrap() as runtime:
            yield runtime


def write_config(folder: Path, configuration: Configuration, *, environment: str = ENVIRONMENT) -> Path:
    """Write a configuration root below ``folder`` and say where it is."""
    if not isinstance(configuration, str):
        tables = dict(configuration)
        tables.setdefault("feeds", FEEDS)
        configuration = toml_of(tables)
    place = folder / "config" / environment
    place.mkdir(parents=True, exist_ok=True)
    (place / "all.toml").write_text(configuration, encoding="utf-8")
    return folder / "config"


def toml_of(tables: Mapping[str, Any]) -> str:
    """A dict of tables as TOML; keys of any text, values that TOML knows."""
    lines: list[str] = []
    _write(tables, (), lines)
    return "\n".join(lines) + "\n"


def _write(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (plain or not table):
        lines.append(f"[{'.'.join(map(_key, path))}]")
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write(value, (*path, key), lines)


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"{type(value).__name__} is no value of TOML")
