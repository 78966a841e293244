"""Importing what a configuration names: only from where it may come, and never for longer than it may take."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from tickrail.domain.threads import begin
from tickrail.errors import WiringError

__all__ = ["IMPORT_TIMEOUT_S", "ImportHangs", "guarded_import", "require_allowed"]

IMPORT_TIMEOUT_S: Final = 10.0
"""The heaviest library that anybody imports takes some seconds on a cold disk."""
OURS: Final = "tickrail"


class ImportHangs(WiringError):
    """An import did not return in time."""


def require_allowed(module: str, prefixes: Sequence[str]) -> None:
    """Refuse a module that is neither ours nor below one of ``prefixes``, before anything of it is run.

    Raises:
        WiringError: It is not.
    """
    for prefix in (OURS, *prefixes):
        if module == prefix or module.startswith(f"{prefix}."):
            return
    listed = ", ".join(prefixes) or "none"
    raise WiringError(
        f"module '{module}' is not on the list of places that adapters come from (there: {listed})",
        hint="add its package to runtime.adapter_prefixes",
    )


def guarded_import(module: str, timeout_s: float = IMPORT_TIMEOUT_S) -> ModuleType:
    """Import on a thread of its own, and give up waiting after ``timeout_s``.

    An import that hangs cannot be ended from outside; its thread is a daemon, and does not keep the process alive. A
    module that is there already costs no thread.

    Raises:
        ImportHangs: It did not return in time.
        BaseException: Whatever importing raised.
    """
    if (known := sys.modules.get(module)) is not None and not _is_being_imported(known):
        return known
    raised: list[BaseException] = []
    worker = threading.Thread(target=_import, args=(module, raised), name=f"tickrail-import-{module}", daemon=True)
    begin(worker)
    worker.join(timeout_s)
    if worker.is_alive():
        raise ImportHangs(
            f"importing '{module}' has not returned within {timeout_s:g} s",
            hint="do at import time only what takes no time: no connection, no waiting, no calculation",
        )
    if raised:
        raise raised[0]
    return sys.modules[module]


def _import(module: str, raised: list[BaseException]) -> None:
    try:
        importlib.import_module(module)
    except BaseException as error:  # whoever waits raises it
        raised.append(error)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
