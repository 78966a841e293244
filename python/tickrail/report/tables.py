"""The arrays of a result as Arrow tables, which polars and pandas take as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["TABLES", "errors_table", "table_of"]

TABLES: Final = ("orders", "fills", "trades", "positions", "equity", "refusals", "errors")
"""Names of the tables."""
#: Columns of times; nanoseconds, UTC.
TIMES: Final = ("ts_ns", "made_ns", "changed_ns", "opened_ns", "closed_ns", "expires_ns")
#: Times that say there is none.
NO_TIMES: Final = (0, 2**63 - 1)


def table_of(array: npt.NDArray[np.void], names: Mapping[str, Sequence[str] | Mapping[int, str]]) -> Any:
    """One column a field: codes by their names (as a dictionary), times as timestamps, NaN as it is.

    Args:
        array: A structured array.
        names: Of the codes in a field.

    Raises:
        ModuleNotFoundError: pyarrow is not installed (extra ``data``).
    """
    import pyarrow as pa

    columns = {}
    for field in array.dtype.names or ():
        values = np.ascontiguousarray(array[field])
        if field in names:
            columns[field] = _named(pa, values, names[field])
        elif field in TIMES:
            nothing = np.isin(values, NO_TIMES)
            columns[field] = pa.array(values, pa.timestamp("ns", "UTC"), mask=nothing)
        else:
            columns[field] = pa.array(values)
    return pa.table(columns)


def errors_table(errors: Sequence[Any]) -> Any:
    """What strategies raised, one row each: the fields of ``StrategyError.to_dict``."""
    import pyarrow as pa

    rows = [error.to_dict() for error in errors]
    text = pa.string()
    kinds = {"strategy": text, "handler": text, "type": text, "message": text, "position": pa.uint64()}
    kinds |= {"ts_ns": pa.timestamp("ns", "UTC"), "tick": text, "traceback": text}
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})


def _named(pa: Any, codes: npt.NDArray[Any], names: Sequence[str] | Mapping[int, str]) -> Any:
    known = list(names.items()) if isinstance(names, Mapping) else list(enumerate(names))
    places = np.zeros(max([code for code, _ in known], default=-1) + 1, np.int32)
    for place, (code, _) in enumerate(known):
        places[code] = place
    texts = pa.array([name for _, name in known], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(places[codes] if len(codes) else np.empty(0, np.int32)), texts)
