"""Import, start-up, importers, mapped files: each in processes of its own."""

import tempfile
from pathlib import Path

from benches import processes


class Start:
    """What a user waits for before anything happens."""

    timeout = 120
    unit = "ms"

    def track_import_ms(self) -> float:
        return processes.import_ms(5)

    def track_start_up_ms(self) -> float:
        return processes.start_up_ms(5)


class Importing:
    """Rows a second into a tick file."""

    params = ("csv", "parquet")
    param_names = ("kind",)
    timeout = 300
    unit = "rows/s"

    def track_rows_per_second(self, kind: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return processes.import_rows_per_second(kind, 1_000_000, Path(folder))[0]


class Mapped:
    """The same cost and memory at any length; the 100 million are left to ``python -m benches``."""

    params = (1_000_000, 10_000_000)
    param_names = ("ticks",)
    timeout = 300

    def setup(self, ticks: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.figures = processes.mapped(ticks, Path(folder))

    def track_ns_per_tick(self, ticks: int) -> float:
        return self.figures["ns"]

    def track_growth_mb(self, ticks: int) -> float:
        return self.figures["grown_mb"]
