"""``load_config``: the layers of one environment, merged, checked, frozen and hashed.

Low to high: defaults, ``base/*.toml``, ``<env>/*.toml`` (files in the order of their names), environment variables,
overrides (``--set``), arguments. Tables merge; everything else, arrays among it, is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tickrail.config.decision import decision_digest
from tickrail.config.files import BASE, find_environment, read_folder
from tickrail.config.models import RuntimeConfig
from tickrail.config.origins import DEFAULT, Origin, Tree, format_path
from tickrail.config.text_layers import lay_arguments, lay_overrides, lay_variables
from tickrail.config.toml_lines import parse_key
from tickrail.config.validation import validate
from tickrail.errors import ConfigProblems, Problem

__all__ = ["LoadedConfig", "load_config"]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration that knows where it came from.

    Attributes:
        config: The frozen models; paths of feeds are absolute.
        origins: Path as TOML writes it -> who set it. Values at their defaults are not listed.
        digest: SHA-256 over what decides results: not over paths, the run directory or slice lengths.
        env: The environment.
        root: The configuration root, absolute.
    """

    config: RuntimeConfig
    origins: Mapping[str, Origin]
    digest: bytes
    env: str
    root: Path

    @property
    def project(self) -> Path:
        """The folder that relative paths start from: the parent of the root."""
        return self.root.parent

    def origin(self, path: str) -> Origin:
        """Who set the value at ``path``, or the innermost table around it; the default where nobody did."""
        parts = parse_key(path)
        places = (format_path(parts[:depth]) for depth in range(len(parts), 0, -1))
        return next((self.origins[place] for place in places if place in self.origins), DEFAULT)

    def problem(self, path: str, message: str, *, expected: str | None = None, near_miss: str | None = None) -> Problem:
        """A problem found later (a class, a parameter, an adapter), said with the place that set the value."""
        return Problem(path, str(self.origin(path)), message, expected, near_miss)


def load_config(
    env: str,
    *,
    root: str | Path = "config",
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    arguments: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Load, merge and check the configuration of one environment.

    Args:
        env: Name of a folder under ``root``.
        root: The configuration root; its parent is where relative paths of feeds start.
        environ: Variables; ``None`` takes those of the process.
        overrides: Texts ``a.b=v``, in order.
        arguments: Values by dotted path, the highest layer.

    Returns:
        The configuration with its origins and its digest.

    Raises:
        ConfigError: There is no such root.
        UnknownEnvironment: There is no such environment.
        ConfigProblems: Whatever is wrong with the rest, all of it.
    """
    base = Path(root)
    folder = find_environment(base, env)
    tree = Tree()
    problems = read_folder(base, base / BASE, tree) if (base / BASE).exists() else []
    problems += read_folder(base, folder, tree)
    unread = bool(problems)
    problems += lay_variables(tree, os.environ if environ is None else environ)
    problems += lay_overrides(tree, overrides)
    problems += lay_arguments(tree, arguments or {})
    said = {problem.path for problem in problems}
    config, found = validate(tree)
    found.sort(key=lambda item: _rank(tree.origin(item[0])))
    problems += [p for _, p in found if p.path not in said and not (unread and p.message == "missing")]
    if problems or config is None:
        raise ConfigProblems(problems)
    origins = {format_path(path): origin for path, origin in tree.origins.items()}
    where = base.absolute()
    placed = _place_feeds(config, where.parent)
    return LoadedConfig(placed, MappingProxyType(origins), decision_digest(config), env, where)


def _rank(origin: Origin) -> tuple[int, str, int]:
    layers = ("default", "file", "env", "set", "argument")
    return layers.index(origin.kind), "" if origin.kind == "file" else origin.name, origin.line or 0


def _place_feeds(config: RuntimeConfig, project: Path) -> RuntimeConfig:
    feeds = {
        name: feed if feed.path is None else feed.model_copy(update={"path": project / feed.path})
        for name, feed in config.feeds.items()
    }
    return config.model_copy(update={"feeds": type(config.feeds)(feeds)})
