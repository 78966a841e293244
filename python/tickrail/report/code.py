"""Fingerprints of the code of strategies, so that a result tells which version of them made it."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["code_of"]

#: As it was when a process first asked: what is edited afterwards is not what runs.
KNOWN: Final[MutableMapping[type, dict[str, str]]] = WeakKeyDictionary()


def code_of(kind: type) -> dict[str, str]:
    """``class`` as ``module:Class``, and ``source``, the SHA-256 of its module's file.

    Where there is no such file (a cell of a notebook) it is that of the class alone; empty where nobody has its text.
    """
    found = KNOWN.get(kind)
    if found is None:
        text = _source(kind)
        found = KNOWN[kind] = {
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "source": hashlib.sha256(text).hexdigest() if text else "",
        }
    return found


def _source(kind: type) -> bytes:
    try:
        return Path(getattr(sys.modules.get(kind.__module__), "__file__", None) or "").read_bytes()
    except OSError:
        pass
    try:
        return inspect.getsource(kind).encode()
    except (OSError, TypeError, SyntaxError):
        return b""
