"""The native reader of text as Python drives it: kinds of cells, batches, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tickrail import _native
from tickrail.errors import ImportFormatError

COLUMNS = [("time", "ms.", 5), ("price", "number", 0), ("note", "skip", 0), ("symbol", "word", 0), ("n", "integer", 0)]
TEXT = b'1.5,2.25,x,A,7\n,,,,\n"2",1e1,,"B",-1\n'
MISSING = -(2**63) + 1


def batches(text: bytes, columns: list[tuple[str, str, int]] = COLUMNS, size: int = 7, **form: object) -> list:  # type: ignore[type-arg]
    reader = _native.CsvReader(columns, origin="a.csv", **form)  # type: ignore[arg-type]
    found = []
    for start in range(0, len(text) + size, size):
        reader.feed(text[start : start + size])
        while (batch := reader.batch()) is not None:
            found.append(batch)
    return found


def test_each_kind_of_cell_and_what_stands_for_nothing() -> None:
    (batch,) = batches(TEXT, size=1_000)
    assert (len(batch), batch.first_line) == (3, 1)
    assert batch.column("time").tolist() == [1_500_005, MISSING, 2_000_005]
    np.testing.assert_array_equal(batch.column("price"), [2.25, np.nan, 10.0])
    assert batch.column("n").tolist() == [7, 0, -1]
    assert (batch.words("symbol"), batch.column("symbol").tolist()) == (["A", "B"], [0, -1, 1])
    with pytest.raises(KeyError, match="no column note"):
        batch.column("note")
    with pytest.raises(TypeError, match="price has no words"):
        batch.words("price")


def test_blocks_of_any_size_give_the_same() -> None:
    whole = [row for batch in batches(TEXT * 50, size=10_000) for row in batch.column("time").tolist()]
    for size in (1, 2, 3, 64):
        parts = batches(TEXT * 50, size=size)
        assert [row for batch in parts for row in batch.column("time").tolist()] == whole
        lines = np.cumsum([1, *(len(batch) for batch in parts)])[:-1]
        assert [batch.first_line for batch in parts] == lines.tolist()


def test_batches_are_changed_and_cut_without_touching_the_old() -> None:
    (batch,) = batches(TEXT, size=1_000)
    other = batch.with_times("time", np.array([1, 2, 3])).with_words("symbol", np.array([0, -1, 0], np.int32), ["C.D"])
    assert other.column("time").tolist() == [1, 2, 3]
    assert (other.words("symbol"), other.column("symbol").tolist()) == (["C.D"], [0, -1, 0])
    assert batch.words("symbol") == ["A", "B"]
    cut = other.rows(1, 3)
    assert (len(cut), cut.first_line, cut.column("time").tolist()) == (2, 2, [2, 3])
    for start, end in ((2, 1), (0, 4)):
        with pytest.raises(ValueError, match="there are no rows"):
            batch.rows(start, end)
    with pytest.raises(ValueError, match="2 values for 3 rows"):
        batch.with_times("time", np.array([1, 2]))
    with pytest.raises(ValueError, match=r"(?i)dictionary"):
        batch.with_words("symbol", np.array([0, 5, 0], np.int32), ["C.D"])


def test_arrow_libraries_read_a_batch() -> None:
    pa = pytest.importorskip("pyarrow")
    (batch,) = batches(TEXT, size=1_000)
    table = pa.table(batch)
    assert table.column_names == ["time", "price", "symbol", "n"]
    assert table.column("symbol").to_pylist() == ["A", None, "B"]
    assert table.column("time").type == pa.timestamp("ns")


def test_flags_of_every_spelling() -> None:
    pa = pytest.importorskip("pyarrow")
    (batch,) = batches(b"True,1\nfalse,1\n,1\n", [("f", "flag", 0), ("n", "number", 0)], size=100)
    assert pa.table(batch).column("f").to_pylist() == [True, False, None]
    with pytest.raises(TypeError, match="column f is of type Boolean"):
        batch.column("f")


def test_faults_name_file_line_and_column() -> None:
    reader = _native.CsvReader(COLUMNS, origin="a.csv")
    reader.feed(b"1,2,x,A,7\n1,2,x,A,seven\n")
    reader.feed(b"")
    first = reader.batch()
    assert first is not None
    assert len(first) == 1
    for _ in range(2):
        with pytest.raises(
            ImportFormatError, match=r"^a\.csv:2: column 'n': expected a whole number; there is 'seven'"
        ):
            reader.batch()


@pytest.mark.parametrize(
    ("columns", "form", "message"),
    [
        ([("a", "float", 0)], {}, 'there is no kind of cell "float"'),
        ([("a", "h", 0)], {}, 'there is no kind of cell "h"'),
        (COLUMNS, {"delimiter": "::"}, "expected one ASCII character"),
        (COLUMNS, {"delimiter": "\n"}, "no ends of lines or quotation marks"),
        ([], {}, "a table has columns"),
    ],
)
def test_settings_that_make_no_table(columns: list[tuple[str, str, int]], form: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.CsvReader(columns, **form)  # type: ignore[arg-type]
