"""Every form of delivery against a plain native loop; none where it is not built (``make bench-delivery``)."""

from benches import native_loop
from benches.delivery_table import measure, rows

ROUNDS = 5


def _names() -> list[str]:
    try:
        return [row.name for row in rows(native_loop.load())]
    except native_loop.NotBuilt:
        return []


class Forms:
    """Base and form in turn, in one process."""

    params = _names()
    param_names = ("path",)
    timeout = 300

    def setup(self, name: str) -> None:
        row = next(row for row in rows(native_loop.load()) if row.name == name)
        self.figure = next(iter(measure(row, ROUNDS)))

    def track_ratio(self, name: str) -> float:
        return self.figure.ratio

    def track_ns(self, name: str) -> float:
        return self.figure.ns


Forms.track_ratio.unit = "bases"  # type: ignore[attr-defined]
Forms.track_ns.unit = "ns"  # type: ignore[attr-defined]
