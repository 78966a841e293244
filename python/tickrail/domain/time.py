"""Points in time: int nanoseconds since 1970, UTC, and what people write in their place."""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np

__all__ = ["TimeLike", "format_ns", "parse_ns"]

TimeLike: TypeAlias = "int | str | date | datetime | np.datetime64"

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_NS: Final = 1_000_000_000
TEXT: Final = re.compile(r"(?P<seconds>[^.,]*?)(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?")
INT64: Final = range(-(2**63), 2**63)


def parse_ns(value: TimeLike) -> int:
    """A point in time as int ns UTC; where no zone is given, UTC is meant.

    >>> parse_ns("2024-01-31T09:30:00.5Z")
    1706693400500000000
    >>> parse_ns("2024-01-31") == parse_ns(date(2024, 1, 31))
    True

    Raises:
        ValueError: It is no time, or none that 64 bits of nanoseconds can hold (1677 to 2262).
        TypeError: It is of another type.
    """
    found = _parse(value)
    if found not in INT64:
        raise ValueError(f"{value!r} is outside of the years 1677 to 2262, which 64 bits of nanoseconds can hold")
    return found


def format_ns(ts_ns: int) -> str:
    """ISO 8601 in UTC, with as many digits as the time needs.

    >>> format_ns(1706693400500000000)
    '2024-01-31T09:30:00.5Z'
    """
    seconds, fraction = divmod(ts_ns, SECOND_NS)
    whole = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{whole}{digits}Z"


def _parse(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, datetime):
        return _from_datetime(value) + int(getattr(value, "nanosecond", 0))  # a pandas Timestamp has three more digits
    if isinstance(value, date):
        return _from_datetime(datetime.combine(value, time(), UTC))
    if (found := _from_numpy(value)) is not None:
        return found
    raise TypeError(f"a time is int nanoseconds, ISO text, a date or a datetime, not {type(value).__name__}")


def _from_numpy(value: Any) -> int | None:
    """``None`` where it is no time of numpy's, which it can only be once somebody has loaded that."""
    if "numpy" not in sys.modules:
        return None
    import numpy as np

    if isinstance(value, np.integer):
        return int(value)
    if not isinstance(value, np.datetime64):
        return None
    if np.isnat(value):
        raise ValueError("NaT is no time")
    return int(value.astype("datetime64[ns]").astype(np.int64))


def _from_text(text: str) -> int:
    found = TEXT.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError(text)
        whole = datetime.fromisoformat(found["seconds"] + (found["zone"] or ""))
    except ValueError:
        expected = "2024-01-31, 2024-01-31T09:30:00Z or nanoseconds since 1970 as an int"
        raise ValueError(f"{text!r} is no time; expected {expected}") from None
    return _from_datetime(whole) + int((found["fraction"] or "").ljust(9, "0"))


def _from_datetime(value: datetime) -> int:
    since = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1_000
