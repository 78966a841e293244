"""``Backoff``: how long to wait before somebody is asked again who did not answer."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["Backoff"]


class Backoff:
    """Waits that double from ``first_s`` to ``most_s``, each shortened by up to a half: not all clients come at once.

    >>> waits = Backoff(1.0, 30.0, "seed")
    >>> 0.5 <= waits.next_s() <= 1.0 <= waits.next_s() <= 2.0
    True
    """

    def __init__(self, first_s: float, most_s: float, seed: str) -> None:
        self._first_s, self._most_s, self._seed = first_s, most_s, seed
        self._tries = self._waits = 0

    def next_s(self) -> float:
        """The next wait."""
        wait_s: float = min(self._most_s, self._first_s * 2.0 ** min(self._tries, 60))
        self._tries += 1
        self._waits += 1
        return wait_s * (0.5 + 0.5 * _fraction(f"{self._seed} {self._waits}"))

    def rest(self) -> None:
        """Begin with the shortest again."""
        self._tries = 0


def _fraction(text: str) -> float:
    """A number from 0 to below 1, the same for the same text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2.0**48
