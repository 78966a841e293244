"""Market data at rest: tick files, arrays, importers, the generator."""

from tickrail.data.generator import generate_file, generate_ticks, iter_ticks
from tickrail.data.importing import ImportReport, import_ticks
from tickrail.data.reading import read_ticks

__all__ = ["ImportReport", "generate_file", "generate_ticks", "import_ticks", "iter_ticks", "read_ticks"]
