"""The state that compiled handlers share: one record, in memory that the run holds still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["new_state"]

_LINE = 64  # bytes of a cache line, which the native side asks for


def new_state(
    dtype: np.dtype[np.void], parameters: Mapping[str, Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.void]]:
    """Bytes that begin at a cache line, and the state as an array of one over them; parameters fill their fields.

    Raises:
        ValueError, TypeError: A parameter does not fit its field.
    """
    room = np.zeros(dtype.itemsize + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    storage = room[first : first + dtype.itemsize]
    state = storage.view(dtype)
    for name in set(dtype.names or ()) & set(parameters):
        state[0][name] = parameters[name]
    return storage, state
