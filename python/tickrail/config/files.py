"""The files of one environment: found, bounded, read, parsed."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

from tickrail.config.limits import offences, too_deep
from tickrail.config.origins import Origin, Tree, format_path, near_miss
from tickrail.config.toml_lines import key_lines
from tickrail.errors import ConfigError, Problem, UnknownEnvironment

__all__ = ["BASE", "environments", "find_environment", "read_folder"]

BASE: Final = "base"
MAX_FILE_BYTES: Final = 1 << 20  # a thousand strategies take a tenth of it; more is a data file under the wrong name
ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def environments(root: Path) -> list[str]:
    """The names of the environments under ``root``, sorted."""
    names = (entry.name for entry in root.iterdir() if entry.is_dir())
    return sorted(name for name in names if name != BASE and ENVIRONMENT.fullmatch(name))


def find_environment(root: Path, env: str) -> Path:
    """The folder of an environment.

    Raises:
        ConfigError: The configuration root is not there.
        UnknownEnvironment: The environment is not.
    """
    try:
        known = environments(root)
    except OSError as error:
        raise ConfigError(
            f"configuration root '{root}': {_reason(error)}",
            hint="run in the project's folder, or name the root with --config-root; 'tickrail init' makes a project",
        ) from None
    if env in known:
        return root / env
    meant = near_miss(env, known)
    listed = ", ".join(known) or "none"
    raise UnknownEnvironment(
        f"unknown environment '{env}' under '{root}'"
        + (f"; did you mean '{meant}'?" if meant else "")
        + f" (there are: {listed})",
        environment=env,
        known=known,
        near_miss=meant,
        hint=None if meant else f"an environment is a folder with TOML files, as {root / 'backtest' / 'runtime.toml'}",
    )


def read_folder(root: Path, folder: Path, tree: Tree) -> list[Problem]:
    """Lay all ``*.toml`` files of a folder, in the order of their names, over ``tree``."""
    try:
        files = sorted(
            entry for entry in folder.iterdir() if entry.suffix == ".toml" and not entry.name.startswith(".")
        )
    except OSError as error:
        return [Problem("", str(folder), _reason(error))]
    if not files and folder.name != BASE:
        return [Problem("", str(folder), "holds no configuration", "at least one *.toml file")]
    resolved = root.resolve()
    return [problem for file in files for problem in _read_file(resolved, file, tree)]


def _read_file(root: Path, file: Path, tree: Tree) -> list[Problem]:
    content = _read_bytes(root, file)
    if isinstance(content, Problem):
        return [content]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [Problem("", f"{file}:{line}", f"byte {error.start} is not UTF-8", "a text file in UTF-8")]
    values = _parse(file, text)
    if isinstance(values, Problem):
        return [values]
    return _lay(file, values, text, tree)


def _lay(file: Path, values: dict[str, Any], text: str, tree: Tree) -> list[Problem]:
    wrong = list(offences((), values))
    if any(message == too_deep() for _, message in wrong):  # before anything walks the tables by recursion
        return [Problem(format_path(path), str(file), message) for path, message in wrong]
    origin, lines = Origin("file", str(file)), key_lines(text)
    for key, value in values.items():
        tree.set((key,), value, origin, lines)
    return [Problem(format_path(path), str(tree.origin(path)), message) for path, message in wrong]


def _read_bytes(root: Path, file: Path) -> bytes | Problem:
    try:
        if not os.path.realpath(file, strict=True).startswith(f"{root}{os.sep}"):
            return Problem("", str(file), "leads out of the configuration root", "a file inside it")
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            return Problem("", str(file), f"is {what}", "a TOML file")
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        return Problem("", str(file), _reason(error))
    if len(content) > MAX_FILE_BYTES:
        return Problem("", str(file), "is larger than 1 MiB", "configuration (data belongs elsewhere)")
    return content


def _parse(file: Path, text: str) -> dict[str, Any] | Problem:
    try:
        values = tomllib.loads(text)
    except RecursionError:
        return Problem("", str(file), too_deep())
    except ValueError as error:
        message, line = _without_position(str(error), text)
        return Problem("", f"{file}:{line}" if line else str(file), f"invalid TOML: {message}")
    return values


def _without_position(message: str, text: str) -> tuple[str, int | None]:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if found is None:
        return _lower_first(message), None
    line = int(found[1]) if found[1] else text.rstrip("\n").count("\n") + 1
    return _lower_first(message[: found.start()]), line


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _reason(error: Exception) -> str:
    reasons = {
        FileNotFoundError: "does not exist",
        PermissionError: "may not be read",
        NotADirectoryError: "is no folder",
    }
    known = next((text for kind, text in reasons.items() if isinstance(error, kind)), None)
    return known or _lower_first(getattr(error, "strerror", None) or str(error))
