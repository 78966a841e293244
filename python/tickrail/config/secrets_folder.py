"""The layer of the secrets directory: one file a value, named by its path, as Kubernetes and Docker mount secrets."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import Final

from pydantic import SecretStr

from tickrail.config.files import FileKind, read_bounded, reason
from tickrail.config.origins import Origin, Path, Tree, format_path
from tickrail.config.schema import field_type, is_open, takes_secret
from tickrail.config.text_layers import PREFIX, SEPARATOR, UnknownKey, lay_text, lay_value, resolve_folded
from tickrail.errors import Problem

__all__ = ["SECRETS_VARIABLE", "lay_secrets"]

SECRETS_VARIABLE: Final = "TICKRAIL_SECRETS_DIR"
# A chain of certificates takes a tenth of it.
SECRET: Final = FileKind("a file with a secret", "the folder of secrets", 1 << 16)
MAX_SECRETS: Final = 1_024


def lay_secrets(tree: Tree, folder: FilePath) -> list[Problem]:
    """Lay the files ``A__B__C`` of a folder over ``tree``; what lands where the models leave it open is a secret."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != ".")
        root = os.path.realpath(folder)
    except OSError as error:
        return [Problem("", str(folder), reason(error), "the folder of secrets")]
    if len(names) > MAX_SECRETS:
        return [Problem("", str(folder), f"holds more than {MAX_SECRETS} files", "one file a secret")]
    setters: dict[Path, str] = {}
    return [problem for name in names for problem in _lay_file(tree, folder / name, root, setters)]


def _lay_file(tree: Tree, file: FilePath, root: str, setters: dict[Path, str]) -> list[Problem]:
    origin = Origin("secret", str(file))
    folded = file.name.upper().removeprefix(PREFIX).lower()
    if SEPARATOR not in folded:
        return [
            Problem("", str(origin), "names no value", "a path joined by two underscores, as venues__X__secrets__token")
        ]
    try:
        path = resolve_folded(tree, tuple(folded.split(SEPARATOR)))
    except UnknownKey as unknown:
        return [unknown.problem(origin)]
    if path in setters:
        return [Problem(format_path(path), str(origin), f"set by {setters[path]} as well", "one file")]
    setters[path] = file.name
    content = read_bounded(str(file), root, SECRET)
    if isinstance(content, Problem):
        return [Problem(format_path(path), str(origin), content.message, content.expected)]
    return _lay_content(tree, path, content, origin)


def _lay_content(tree: Tree, path: Path, content: bytes, origin: Origin) -> list[Problem]:
    try:
        secret = SecretStr(content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError as error:
        return [Problem(format_path(path), str(origin), f"byte {error.start} is not UTF-8", "text in UTF-8")]
    if not secret:
        return [Problem(format_path(path), str(origin), "is empty", "the secret")]
    if takes_secret(field_type(path)) or is_open(path):
        return lay_value(tree, path, secret, origin)
    return lay_text(tree, path, secret.get_secret_value(), origin)
