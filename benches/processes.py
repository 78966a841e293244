"""Cases that need a process of their own: import, start-up, importers, memory and cost per tick of mapped files."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

IMPORT = """
import time, numpy, pydantic
start = time.perf_counter()
import tickrail
print((time.perf_counter() - start) * 1e3)
"""

# Anonymous memory only: pages of a mapped file belong to the page cache and go when somebody needs the room.
MAPPED = """
import json, sys, time, tickrail
from benches.handlers import Counting
from benches.delivery import run

def anonymous_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

ticks = tickrail.read_ticks(sys.argv[1])
run([Counting()], ticks.between(None, int(ticks.numpy()["ts_event"][10_000])))
before, start = anonymous_mb(), time.perf_counter()
result = run([Counting()], ticks)
seconds = time.perf_counter() - start
assert result.stats["ticks"] == len(ticks), result.stats
print(json.dumps({"ns": seconds / len(ticks) * 1e9, "grown_mb": anonymous_mb() - before}))
"""

FLOOR = """
import sys, time
import pyarrow.csv, pyarrow.parquet
path, out = sys.argv[1:]
start, block = time.perf_counter(), bytes(64 * 4_096)
if path.endswith(".csv"):
    names = list("abcdefgh")
    read = pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=4 << 20)
    types = dict(zip("abcfg", ("int64", "float64", "float64", "int64", "bool")))
    convert = pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(types))
    batches = pyarrow.csv.open_csv(path, read_options=read, convert_options=convert)
else:
    batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=131_072)
with open(out, "wb", buffering=0) as file:
    for batch in batches:
        for _ in range(0, len(batch), 4_096):
            file.write(block)
print(time.perf_counter() - start)
"""


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints for ``code``."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def command(*arguments: str) -> None:
    """A ``tickrail`` command in a fresh process."""
    subprocess.run([sys.executable, "-m", "tickrail", *arguments], capture_output=True, text=True, check=True)


def import_ms(rounds: int) -> float:
    """``import tickrail`` beyond numpy and pydantic, the median of fresh processes."""
    return statistics.median(float(python(IMPORT)) for _ in range(rounds))


def start_up_ms(rounds: int) -> float:
    """``python -m tickrail info``, whole, less an interpreter that does nothing."""
    seconds = [(_seconds("-m", "tickrail", "info") - _seconds("-c", "pass")) for _ in range(rounds)]
    return statistics.median(seconds) * 1e3


def _seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - start


def mapped(ticks: int, folder: Path) -> dict[str, float]:
    """Nanoseconds per tick and growth of anonymous memory over a mapped file of so many ticks."""
    path = tick_file(ticks, folder)
    figures: dict[str, float] = json.loads(python(MAPPED, str(path)))
    return figures


def tick_file(ticks: int, folder: Path) -> Path:
    """A generated file, made once."""
    path = folder / f"{ticks}.ticks"
    if not path.exists():
        command("data", "generate", str(path), "--ticks", str(ticks), "--seed", "7", "--instrument", "EURUSD.SIM")
    return path


def import_rows_per_second(kind: str, rows: int, folder: Path) -> tuple[float, float]:
    """``tickrail data import`` of a generated file, less what the command takes for a file of one row; and the floor.

    The floor is what an importer on pyarrow pays: it reads the columns, and as many bytes are written. Parquet is read
    so, CSV by a reader of our own.
    """
    few, many = (source(kind, count, folder) for count in (1, rows))
    taken, least = [], []
    for _ in range(3):
        taken.append(_import_seconds(kind, many, folder) - _import_seconds(kind, few, folder))
        least.append(float(python(FLOOR, str(many), str(folder / "floor.bin"))))
    return rows / statistics.median(taken), rows / statistics.median(least)


def _import_seconds(kind: str, path: Path, folder: Path) -> float:
    target = folder / "imported.ticks"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    command("data", "import", str(path), "--out", str(target), *IMPORT_OPTIONS[kind])
    return time.perf_counter() - start


IMPORT_OPTIONS = {
    "csv": ("--format", "binance", "--layout", "aggTrades", "--instrument", "BTCUSDT.BINANCE"),
    "parquet": ("--format", "arrow", "--kind", "quote", "--instrument", "EURUSD.SIM"),
}


def source(kind: str, rows: int, folder: Path) -> Path:
    """A file to import, made once."""
    path = folder / f"{rows}.{kind}"
    if not path.exists():
        {"csv": _write_csv, "parquet": _write_parquet}[kind](path, rows)
    return path


def _write_csv(path: Path, rows: int) -> None:
    """Binance aggTrades: id, price, quantity, first id, last id, ms, buyer was the maker, best match."""
    with path.open("w") as out:
        for start in range(0, rows, 100_000):
            out.writelines(
                f"{i},{60_000 + i % 1_000}.{i % 100:02},0.{i % 9_000 + 1_000},{i},{i},{1_700_000_000_000 + i},"
                f"{'True' if i % 3 else 'False'},True\n"
                for i in range(start, min(rows, start + 100_000))
            )


def _write_parquet(path: Path, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    step = np.arange(rows, dtype=np.int64)
    bid = 1.1 + (step % 1_000) * 1e-5
    columns: dict[str, Any] = {
        "ts_event": pa.array(1_700_000_000_000_000_000 + step * 1_000_000, pa.timestamp("ns", "UTC")),
        "bid": bid,
        "ask": bid + 1e-4,
        "bid_size": np.full(rows, 1e6),
        "ask_size": np.full(rows, 1e6),
    }
    pq.write_table(pa.table(columns), path)
