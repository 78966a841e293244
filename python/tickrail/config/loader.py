"""``load_config``: the layers of one environment, merged, checked, frozen and hashed.

Low to high: defaults, ``base/*.toml``, ``<env>/*.toml`` (files in the order of their names), the secrets directory,
environment variables, overrides (``--set``), arguments. Tables merge; everything else, arrays among it, is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tickrail.config.decision import decision_digest
from tickrail.config.files import BASE, find_environment, read_folder
from tickrail.config.models import RuntimeConfig
from tickrail.config.origins import DEFAULT, Origin, Tree, format_path
from tickrail.config.secrets_folder import SECRETS_VARIABLE, lay_secrets
from tickrail.config.text_layers import lay_arguments, lay_overrides, lay_variables
from tickrail.config.toml_lines import parse_key
from tickrail.config.validation import validate
from tickrail.errors import ConfigProblems, Problem

__all__ = ["LoadedConfig", "load_config", "try_config"]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration that knows where it came from.

    Attributes:
        config: The frozen models; its paths are absolute.
        origins: Path as TOML writes it -> who set it. Values at their defaults are not listed.
        digest: SHA-256 over what decides results: not over paths, the run directory or slice lengths.
        env: The environment.
        root: The configuration root, absolute.
        shown_root: The same as it was given, for messages.
    """

    config: RuntimeConfig
    origins: Mapping[str, Origin] = field(repr=False, compare=False)
    digest: bytes
    env: str
    root: Path
    shown_root: Path

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
    secrets_dir: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    arguments: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Load, merge and check the configuration of one environment.

    Args:
        env: Name of a folder under ``root``.
        root: The configuration root; its parent is where relative paths of feeds start.
        secrets_dir: Folder with a file a value; ``None`` takes the variable ``TICKRAIL_SECRETS_DIR``, if it is set.
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
    loaded, problems = try_config(
        env, root=root, secrets_dir=secrets_dir, environ=environ, overrides=overrides, arguments=arguments
    )
    # Some of it may be secret, and a traceback that shows locals would print it.
    del environ, overrides, arguments
    if problems or loaded is None:
        raise ConfigProblems(problems)
    return loaded


def try_config(
    env: str,
    *,
    root: str | Path = "config",
    secrets_dir: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    arguments: Mapping[str, Any] | None = None,
) -> tuple[LoadedConfig | None, list[Problem]]:
    """The same, and where something is wrong, what is left of the configuration without that.

    What is left is good for looking for more problems and for nothing else.

    Returns:
        The configuration, or ``None`` where nothing is left of it; all problems.

    Raises:
        ConfigError: There is no such root.
        UnknownEnvironment: There is no such environment.
    """
    base = Path(root)
    folder = find_environment(base, env)
    tree = Tree()
    variables = os.environ if environ is None else environ
    problems = read_folder(base, base / BASE, tree) if (base / BASE).exists() else []
    problems += read_folder(base, folder, tree)
    unread = bool(problems)
    secrets = secrets_dir if secrets_dir is not None else variables.get(SECRETS_VARIABLE)
    problems += lay_secrets(tree, Path(secrets)) if secrets else []
    problems += lay_variables(tree, variables)
    problems += lay_overrides(tree, overrides)
    problems += lay_arguments(tree, arguments or {})
    said = {problem.path for problem in problems}
    config, found = validate(tree)
    problems += [p for p in found if p.path not in said and not (unread and p.message == "missing")]
    if config is None:
        return None, sorted(problems, key=partial(_rank, base))
    where = base.absolute()
    placed = _placed(config, where.parent)
    digest = b"" if problems else decision_digest(config)
    loaded = LoadedConfig(placed, tree.named_origins(), digest, env, where, base)
    return loaded, sorted(problems, key=partial(_rank, base))


def _rank(root: Path, problem: Problem) -> tuple[int, str, int]:
    """Layer, file and line; the sort keeps the order of equals, which is that of the command line."""
    for layer, prefix in enumerate(("secret ", "env ", "--set", "argument "), start=3):
        if problem.origin.startswith(prefix):
            return layer, "", 0
    file, _, line = problem.origin.rpartition(":")
    if not line.isdecimal():
        file, line = problem.origin, "0"
    if file == str(DEFAULT):
        return 0, "", 0
    return 1 if Path(file).parent == root / BASE else 2, file, int(line)


def _placed(config: RuntimeConfig, project: Path) -> RuntimeConfig:
    """The same with absolute paths."""
    feeds = {
        name: feed.model_copy(update={"path": feed.path and project / feed.path}) for name, feed in config.feeds.items()
    }
    folders = {name: getattr(config.runtime, name) for name in ("run_dir", "state_dir", "account_dir")}
    placed = {name: project / folder for name, folder in folders.items() if folder is not None}
    runtime = config.runtime.model_copy(update=placed)
    return config.model_copy(update={"runtime": runtime, "feeds": type(config.feeds)(feeds)})
