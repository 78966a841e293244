"""The files of one environment: found, bounded, read, parsed."""

from __future__ import annotations

import codecs
import os
import re
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

import tomli

from tickrail.config.limits import is_plain, offences, too_deep
from tickrail.config.origins import Origin, Tree, format_path, near_miss
from tickrail.config.toml_lines import KeyLines
from tickrail.errors import ConfigError, Problem, UnknownEnvironment

__all__ = ["BASE", "FileKind", "environments", "find_environment", "is_within", "read_bounded", "read_folder", "reason"]

BASE: Final = "base"
MAX_FILES: Final = 1_024  # of a folder: ten times the strategies of a large installation, a file each
ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


# The reader takes quadratic time for a key of very many parts: 1 MiB of `a.a.a` holds it for minutes. Twice
# the depth that is allowed, so that hardly any text looks so; possessive, and begun anew in no key, hence linear.
LONG_KEY: Final = re.compile(
    r"""(?<![\w.-])(?<!\.[ \t])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""", re.ASCII
)


class FileKind(NamedTuple):
    """What a file should be."""

    words: str
    home: str
    most_bytes: int


# A thousand strategies take a tenth of it; more is a data file under the wrong name.
CONFIGURATION: Final = FileKind("a TOML file", "the configuration root", 1 << 20)


def environments(root: Path) -> list[str]:
    """The names of the environments under ``root``, sorted."""
    with os.scandir(root) as entries:
        return sorted(
            one.name for one in entries if one.name != BASE and ENVIRONMENT.fullmatch(one.name) and one.is_dir()
        )


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
            f"configuration root '{root}': {reason(error)}",
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
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_symlink()) for e in entries if e.name[-5:] == ".toml" and e.name[0] != ".")
        # Most folders hold no links, and then nothing can lead out: to resolve two paths is a tenth of a load.
        is_link = folder.is_symlink()
        resolved = os.path.realpath(root) if is_link or any(link for _, link in found) else ""
        within = not is_link or is_within(os.path.realpath(folder), resolved)
    except OSError as error:
        return [Problem("", str(folder), reason(error))]
    if not found and folder.name != BASE:
        return [Problem("", str(folder), "holds no configuration", "at least one *.toml file")]
    if len(found) > MAX_FILES:
        return [Problem("", str(folder), f"holds more than {MAX_FILES} files", "fewer: a file may hold many tables")]
    shown = f"{folder}{os.sep}"
    return [
        problem
        for name, is_link in found
        for problem in _read_file(shown + name, tree, resolved if is_link or not within else None)
    ]


def is_within(path: str, root: str) -> bool:
    """Whether a resolved path is ``root`` or lies below it."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _read_file(file: str, tree: Tree, root: str | None) -> list[Problem]:
    content = read_bounded(file, root, CONFIGURATION)
    if isinstance(content, Problem):
        return [content]
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [Problem("", f"{file}:{line}", f"byte {error.start} is not UTF-8", "a text file in UTF-8")]
    values = _parse(file, text)
    if isinstance(values, Problem):
        return [values]
    return _lay(file, values, text, tree)


def _lay(file: str, values: dict[str, Any], text: str, tree: Tree) -> list[Problem]:
    wrong = [] if is_plain(values) else list(offences((), values))
    if any(message == too_deep() for _, message in wrong):  # before anything walks the tables by recursion
        return [Problem(format_path(path), file, message) for path, message in wrong]
    origin, lines = Origin("file", file), KeyLines(text)
    for key, value in values.items():
        tree.set((key,), value, origin, lines)
    return [Problem(format_path(path), str(tree.origin(path)), message) for path, message in wrong]


def read_bounded(file: str, root: str | None, kind: FileKind) -> bytes | Problem:
    """The content of a regular file that is not too large.

    Args:
        file: The file.
        root: The resolved folder that its links may not lead out of; ``None`` where it has to be no link at all.
        kind: What it should be.
    """
    try:
        real = file if root is None else os.path.realpath(file, strict=True)
        if root is not None and not is_within(real, root):
            return Problem("", file, f"leads out of {kind.home}", "a file inside it")
        # Without O_NONBLOCK a pipe would hold the load; the real path is no link, unless somebody changed it just now.
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            return Problem("", file, f"is {what}", kind.words)
        try:
            content = _read(handle, status.st_size, kind.most_bytes)
        finally:
            os.close(handle)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        return Problem("", file, reason(error))
    if len(content) > kind.most_bytes:
        return Problem("", file, f"is larger than {_size(kind.most_bytes)}", f"{kind.words} (data belongs elsewhere)")
    return content


def _read(handle: int, size: int, most: int) -> bytes:
    """All of a file, or one byte more than ``most``; a buffer of the most bytes would cost more than all the rest."""
    content = os.read(handle, min(size, most) + 1)
    while len(content) != size:  # it changed meanwhile, has no size, as in /proc, or came in pieces
        more = os.read(handle, most + 1 - len(content))
        content += more
        if not more or len(content) > most:
            break
    return content


def _parse(file: str, text: str) -> dict[str, Any] | Problem:
    if LONG_KEY.search(text) is not None:
        return Problem("", file, too_deep())
    try:
        values = tomli.loads(text)
    except RecursionError:
        return Problem("", file, too_deep())
    except ValueError as error:
        message, line = _without_position(str(error), text)
        return Problem("", f"{file}:{line}" if line else file, f"invalid TOML: {message}")
    return values


def _without_position(message: str, text: str) -> tuple[str, int | None]:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if found is None:
        return _lower_first(message), None
    line = int(found[1]) if found[1] else text.rstrip("\n").count("\n") + 1
    return _lower_first(message[: found.start()]), line


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def reason(error: Exception) -> str:
    """What the system says about a file, in our words."""
    reasons = {
        FileNotFoundError: "does not exist",
        PermissionError: "may not be read",
        NotADirectoryError: "is no folder",
    }
    known = next((text for kind, text in reasons.items() if isinstance(error, kind)), None)
    return known or _lower_first(getattr(error, "strerror", None) or str(error))
