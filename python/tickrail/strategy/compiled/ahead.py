"""Records that are asked for while those before them are worked on.

The loop looks through some hundred records and then hands them over. Looking is little work, so the loop would wait
for memory there, and memory for the handler afterwards. The wrapper therefore asks for one record of the next look with
each that it gives to the handler.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from tickrail.domain.ticks import TICK_DTYPE

__all__ = ["ask_for"]

_BYTES: Final = TICK_DTYPE.itemsize
#: To read; into the second cache, which has room for a look; data.
_HOW: Final = (0, 2, 1)


def _prefetch(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    word, size = ir.IntType(32), ir.IntType(64)
    address = builder.gep(args[0], [builder.mul(args[1], size(_BYTES))])
    kind = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
    builder.call(builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind), [address, *map(word, _HOW)])
    return size(0)


@intrinsic
def ask_for(_context, ticks, index):
    """Asks for record ``index`` of those at ``ticks``. It may lie anywhere: nothing is read that a program can see."""
    return types.int64(types.voidptr, types.int64), _prefetch
