"""The record of a run: what made its result, so that another one can be told from it."""

from __future__ import annotations

import functools
import platform
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail._native import build_info

__all__ = ["machine", "record_of"]

CPUINFO: Final = Path("/proc/cpuinfo")


@functools.cache
def machine() -> dict[str, Any]:
    """Processor, system and versions: results of numpy's exp, log, pow and matrix products change with the first.

    ``cpu_flags`` are sorted, and empty where the system does not say.
    """
    facts = _cpu_facts()
    return {
        "cpu": facts.get("model name") or platform.processor(),  # which begins a process
        "cpu_flags": sorted(facts.get("flags", facts.get("Features", "")).split()),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "numpy": np.__version__,
    }


def record_of(result: Any) -> dict[str, Any]:
    """Everything that decides a result, and its digest, ready for JSON."""
    return {
        "digest": result.digest,
        "configuration_digest": result.configuration_digest,
        "seed": result.seed,
        "run_id": result.run_id,
        "parent": result.parent,
        "sources": dict(result.sources),
        "code": {name: dict(said) for name, said in result.code.items()},
        "capital": dict(result.capital),
        "instruments": [dict(row) for row in result.facts],
        "status": result.status,
        "build": dict(build_info()),
        **machine(),
    }


def _cpu_facts() -> dict[str, str]:
    """The first processor's lines; all of one machine say the same."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
