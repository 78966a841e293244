"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["did_you_mean", "near_miss"]

CUTOFF: Final = 0.6  # below it, suggestions mislead more often than they help


def near_miss(name: str, known: Iterable[str], *, cutoff: float = CUTOFF) -> str | None:
    """The known name nearest to ``name``, whatever its case, or ``None``.

    >>> near_miss("fats", ["fast", "slow"])
    'fast'
    """
    import difflib  # late: only mistakes need it

    by_fold = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=cutoff)
    return by_fold[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'fast'?"``, or an empty text."""
    found = near_miss(name, known)
    return f"; did you mean '{found}'?" if found else ""
