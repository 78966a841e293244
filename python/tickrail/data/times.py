"""Times as people give them, turned into int ns UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

__all__ = ["TimeLike", "to_iso", "to_ns"]

#: A moment: int ns since the Unix epoch, ISO 8601 text, or a ``datetime`` (pandas timestamps are). No zone means UTC.
TimeLike: TypeAlias = int | str | datetime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS: Final = 9


def to_ns(moment: TimeLike) -> int:
    """Nanoseconds since the Unix epoch, UTC; nothing is rounded, and what has no zone is UTC.

    >>> to_ns("2024-01-01"), to_ns("2024-01-01T00:00:00.000000001Z")
    (1704067200000000000, 1704067200000000001)

    Raises:
        ValueError: Text that is no ISO 8601 date or time, or more than nine digits of a second.
        TypeError: Neither int, str nor datetime.
    """
    if isinstance(moment, bool):
        msg = "a time is int ns, ISO 8601 text or a datetime, not bool"
        raise TypeError(msg)
    if isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        return _parse(moment)
    if isinstance(moment, datetime):
        return _of_datetime(moment)
    msg = f"a time is int ns, ISO 8601 text or a datetime, not {type(moment).__name__}"
    raise TypeError(msg)


def to_iso(ns: int) -> str:
    """``ns`` as ISO 8601 text in UTC with nine digits of a second.

    >>> to_iso(1_704_067_200_000_000_001)
    '2024-01-01T00:00:00.000000001Z'
    """
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _of_datetime(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = aware - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    # pandas timestamps carry nanoseconds beyond the microseconds, in the moment and, by its version, in the difference.
    return micros * 1_000 + int(getattr(moment, "nanosecond", 0))


def _parse(text: str) -> int:
    head, dot, tail = text.strip().partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        if len(digits) > _DIGITS or (dot and not digits):
            raise ValueError
        whole = datetime.fromisoformat(head + tail[len(digits) :])
    except ValueError:
        msg = f"{text!r} is no time: expected ISO 8601 such as 2024-01-31, 2024-01-31T09:30:00 or ...T09:30:00.25Z"
        raise ValueError(msg) from None
    return _of_datetime(whole) + int(digits.ljust(_DIGITS, "0") or 0)
