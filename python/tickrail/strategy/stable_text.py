"""Values of parameters as text that is the same in every process."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

__all__ = ["stable_text"]

ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def stable_text(value: Any) -> str:
    """``repr`` of what is plain; of all else what does not change from process to process, for digests.

    Sets are sorted, as their order goes by the hash seed; arrays, of which ``repr`` shows the ends, are hashed whole; a
    function is its name, and an object without a representation its class, as where it lies says nothing.

    >>> stable_text([1.5, {"b", "a"}, print])
    "[1.5, {'a', 'b'}, <built-in function print>]"
    """
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)
    kind = type(value)
    if kind is dict:
        return "{" + ", ".join(f"{stable_text(key)}: {stable_text(one)}" for key, one in value.items()) + "}"
    if kind in (list, tuple):
        listed = ", ".join(map(stable_text, value))
        return f"[{listed}]" if kind is list else f"({listed},)" if len(value) == 1 else f"({listed})"
    if kind in (set, frozenset) and value:
        listed = "{" + ", ".join(sorted(map(stable_text, value))) + "}"
        return listed if kind is set else f"frozenset({listed})"
    if all(hasattr(value, name) for name in ("tobytes", "dtype", "shape")):
        return f"<array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}>"
    return ADDRESS.sub("", repr(value))
