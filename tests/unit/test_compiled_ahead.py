"""The wrapper of a compiled handler asks for memory before its turn."""

from __future__ import annotations

import pytest

from tickrail._native import MOST_OFFERED
from tickrail.strategy.compiled.wrapper import wrapper_source


def test_each_record_handed_over_asks_for_one_of_the_next_look() -> None:
    source = wrapper_source("Some", ["on_quote", "on_trade"])
    loop = source.index("while taken < count:")
    assert source[loop:].splitlines()[1].strip() == f"ask_for(ticks, taken + {MOST_OFFERED})"


def test_asking_is_one_instruction_that_reads_nothing() -> None:
    numba = pytest.importorskip("numba")
    from tickrail.strategy.compiled.ahead import ask_for

    signature = numba.types.int64(numba.types.voidptr, numba.types.int64)

    @numba.cfunc(signature)
    def asked(ticks: int, index: int) -> int:
        return ask_for(ticks, index)  # type: ignore[no-any-return]

    assert "call void @llvm.prefetch" in asked.inspect_llvm()
    assert "mul i64 %arg.index, 64" in asked.inspect_llvm() or "shl" in asked.inspect_llvm()
    assert asked.ctypes(None, 1 << 40) == 0, "nothing lies there, and nothing happens"
