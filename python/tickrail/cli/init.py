"""``tickrail init``: a small project that works from its first minute."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Final

import click

from tickrail.cli.options import traceback_option

__all__ = ["init"]

SUFFIX: Final = ".tmpl"  # keeps test runners and linters away from the templates
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@click.command(short_help="Make a small working project.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the project; default: that of the folder.")
@traceback_option
def init(folder: Path, name: str | None) -> None:
    """Make a small working project in FOLDER, which must not exist or be empty.

    It holds a strategy, three environments and a test.
    """
    name = folder.absolute().name if name is None else name
    if NAME.fullmatch(name) is None:
        raise click.UsageError(
            f"'{name}' is no name for a project: a letter, then letters, digits, '.', '_' and '-' (--name)"
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise click.UsageError(f"'{folder}' is no folder")
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"'{folder}' is not empty; nothing was written")
    _write_whole(folder, name)
    click.echo(f"made {name} in {folder}; next:")
    click.echo(f"  cd {shlex.quote(str(folder))}")
    click.echo("  tickrail data generate data/demo.ticks --ticks 200000 --seed 1")
    click.echo("  tickrail run --env backtest")
    click.echo("  python -m pytest")


def _write_whole(folder: Path, name: str) -> None:
    """Write beside the target and move it there, so that a failure leaves nothing."""
    target = folder.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    moved: list[Path] = []
    try:
        staging.chmod(0o755)
        for place, text in _rendered(name):
            file = staging / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        _move(staging, target, moved)
    except BaseException:
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, target: Path, moved: list[Path]) -> None:
    if not target.exists():
        staging.replace(target)
        return
    for entry in sorted(staging.iterdir()):  # not over the folder itself: it may be where a shell stands
        moved.append(entry.replace(target / entry.name))


def _rendered(name: str) -> Iterator[tuple[PurePosixPath, str]]:
    for place, source in _templates(files("tickrail.cli") / "templates", PurePosixPath()):
        yield place, source.read_text(encoding="utf-8").replace("@NAME@", name)


def _templates(folder: Traversable, place: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _templates(entry, place / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield place / _real_name(entry.name), entry


def _real_name(name: str) -> str:
    bare = name.removesuffix(SUFFIX)
    return "." + bare.removeprefix("dot-") if bare.startswith("dot-") else bare
