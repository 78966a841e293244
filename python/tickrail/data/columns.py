"""Records decoded into columns, for people who want a table; copies, where the array's own exports copy nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tickrail.domain.ticks import Kind, dtype_of

if TYPE_CHECKING:
    from tickrail._native import TickArray

_NUMBERS = {
    "QUOTE": ("bid", "ask", "bid_size", "ask_size"),
    "TRADE": ("price", "size"),
    "BAR": ("open", "high", "low", "close", "volume"),
}
_SIDES = ("NONE", "BUY", "SELL")


def to_columns(ticks: TickArray, kind: str | None = None) -> dict[str, npt.NDArray[Any]]:
    """Decode the records of one kind; see ``TickArray.to_columns``.

    Args:
        ticks: The records.
        kind: ``"quote"``, ``"trade"`` or ``"bar"``; records of others are left out. ``None``: all must be of one kind.

    Returns:
        ``ts_event`` and ``ts_init`` (int ns), ``instrument`` (its row in ``ticks.instruments``), ``sequence`` (but for
        bars), ``side`` (codes, of trades) and the kind's numbers, each contiguous and your own.

    Raises:
        ValueError: ``kind`` is ``None`` and there are several kinds, or it names none.
    """
    records = ticks.numpy()
    name = _only_kind(records) if kind is None else kind.upper()
    dtype = dtype_of(name)
    picked = records[records["kind"] == Kind[name]].view(dtype)
    names = ["ts_event", "ts_init", "instrument"]
    names += [] if name == "BAR" else ["sequence"]
    names += ["side"] if name == "TRADE" else []
    names += _NUMBERS[name]
    return {column: np.ascontiguousarray(picked[column]) for column in names}


def to_arrow(ticks: TickArray, kind: str | None = None) -> Any:
    """Decode the records of one kind into a ``pyarrow.Table``; see ``TickArray.to_arrow``.

    Times become UTC timestamps in ns, instruments a dictionary of their ids, sides one of NONE, BUY, SELL.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        msg = "to_arrow() needs pyarrow: pip install 'tickrail[data]'; to_columns() needs only numpy"
        raise ModuleNotFoundError(msg, name=error.name) from None
    columns: dict[str, Any] = dict(to_columns(ticks, kind))
    for name in ("ts_event", "ts_init"):
        columns[name] = pa.array(columns[name]).cast(pa.timestamp("ns", tz="UTC"))
    ids = pa.array([str(instrument) for instrument in ticks.instruments], pa.string())
    columns["instrument"] = pa.DictionaryArray.from_arrays(pa.array(columns["instrument"].astype(np.int32)), ids)
    if "side" in columns:
        codes = pa.array(columns["side"].astype(np.int8))
        columns["side"] = pa.DictionaryArray.from_arrays(codes, pa.array(_SIDES))
    return pa.table(columns)


def _only_kind(records: npt.NDArray[np.void]) -> str:
    codes = np.unique(records["kind"]).tolist()
    names = [Kind(code).name for code in codes] or ["QUOTE"]
    if len(names) == 1:
        return names[0]
    msg = f"the records are of several kinds ({', '.join(names)}): name one, as in to_columns('quote')"
    raise ValueError(msg)
