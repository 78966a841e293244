"""``tickrail info``: what a bug report needs."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from tickrail.cli.options import json_option, traceback_option

__all__ = ["info"]

PACKAGES: Final = ("numpy", "pydantic", "click", "rich", "dishka", "pyarrow", "msgspec", "numba")
CPUINFO: Final = Path("/proc/cpuinfo")


@click.command(short_help="Show versions, build, processor and paths.")
@json_option
@traceback_option
def info(as_json: bool) -> None:
    """Show versions, build, processor and paths."""
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for section, values in facts.items():
        click.echo(section)
        for name, value in values.items():
            click.echo(f"  {name:<14} {value}")


def _facts() -> dict[str, dict[str, Any]]:
    from tickrail import _native

    build = dict(_native.build_info())
    package = Path(__file__).resolve().parent.parent
    return {
        "tickrail": build | {"native": str(_native.__file__), "package": str(package)},
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "machine": {"system": platform.platform(), **_processor(), "folder": str(Path.cwd())},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    """Model, number of flags (numpy's exp and log depend on them), cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"cpu": platform.processor() or platform.machine(), "cpu_flags": 0}
    text = CPUINFO.read_text(errors="replace") if CPUINFO.exists() else ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            found["cpu"] = value.strip()
        if name.strip() in {"flags", "Features"}:
            found["cpu_flags"] = len(value.split())
            break
    return {**found, "cores": cores}
