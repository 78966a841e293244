"""Ticks that machine code is shown stay as they are: whoever compiles a handler that writes into one is told the line.

The records are those of the tick array itself, which other strategies read and which may be a file mapped read-only. An
array of them is given a type that numba does not write to; one record has no such type, so its writes are looked for in
the typed code, also in the functions that are called. That happens while the handler is compiled, before anything is
kept on disk.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numba
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.imputils import impl_ret_borrowed
from numba.core.ir_utils import build_definitions
from numba.core.typed_passes import NopythonTypeInference
from numba.extending import intrinsic

from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TRADE_DTYPE
from tickrail.errors import HandlerError
from tickrail.strategy.compiled.layouts import ANY_DTYPE, TIMER_DTYPE, UPDATE_DTYPE

__all__ = ["HandlerCompiler", "untouched"]

_GIVEN: Final = frozenset(
    numba.from_dtype(dtype) for dtype in (ANY_DTYPE, QUOTE_DTYPE, TRADE_DTYPE, BAR_DTYPE, TIMER_DTYPE, UPDATE_DTYPE)
)
_WRITES: Final = (ir.SetAttr, ir.SetItem, ir.StaticSetItem)


def _borrowed(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return impl_ret_borrowed(context, builder, signature.return_type, args[0])


@intrinsic
def untouched(_context, array):
    """The same array, of a type that may only be read."""
    signature = array.copy(readonly=True)(array)
    return signature, _borrowed


@register_pass(mutates_CFG=False, analysis_only=True)
class _RefuseWrites(AnalysisPass):
    _name = "tickrail_refuse_writes"

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        _check(state.func_ir.blocks, state.typemap, state.calltypes, set())
        return False


class HandlerCompiler(CompilerBase):
    """numba's own, and the look for writes once the types are known."""

    def define_pipelines(self) -> list[Any]:
        """The passes, as numba asks for them."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_RefuseWrites, NopythonTypeInference)
        passes.finalize()
        return [passes]


def _check(blocks: Mapping[int, Any], types_of: Mapping[str, Any], calls: Mapping[Any, Any], seen: set[Any]) -> None:
    definitions = build_definitions(blocks)
    for block in blocks.values():
        for statement in block.body:
            if not isinstance(statement, _WRITES):
                continue
            name = statement.target.name
            if types_of[name] in _GIVEN and not _is_its_own(name, definitions, types_of):
                _refuse(types_of[name], statement.loc)
    for call, signature in calls.items():
        callee = types_of.get(call.func.name) if isinstance(call, ir.Expr) and call.op == "call" else None
        if isinstance(callee, types.Dispatcher):
            _check_called(callee.dispatcher, tuple(signature.args), seen)


def _check_called(dispatcher: Any, args: tuple[Any, ...], seen: set[Any]) -> None:
    result = dispatcher.overloads.get(args)
    if result is None or (dispatcher, args) in seen:
        return
    seen.add((dispatcher, args))
    if isinstance(result.type_annotation, str):  # read from the disk, without its types: find them anew
        again = numba.njit(dispatcher.py_func)
        again.compile(args)
        result = again.overloads[args]
    typed = result.type_annotation
    _check(typed.blocks, typed.typemap, typed.calltypes, seen)


def _is_its_own(name: str, definitions: Mapping[str, list[Any]], types_of: Mapping[str, Any]) -> bool:
    """Whether the record is proven to be part of the state, or of an array that may be written to."""
    visited: set[str] = set()
    while name not in visited:
        visited.add(name)
        found = definitions.get(name, [])
        if len(found) != 1:
            return False
        (value,) = found
        if isinstance(value, ir.Var):
            name = value.name
            continue
        if not isinstance(value, ir.Expr) or value.op not in {"cast", "getattr", "getitem", "static_getitem"}:
            return False
        name = value.value.name
        holder = types_of[name]
        if isinstance(holder, types.Array) and not holder.mutable:
            return False
        if isinstance(holder, types.Array) or (isinstance(holder, types.Record) and holder not in _GIVEN):
            return True
    return False


def _refuse(kind: Any, place: Any) -> None:
    what = {numba.from_dtype(TIMER_DTYPE): "timer", numba.from_dtype(UPDATE_DTYPE): "order update"}.get(kind, "tick")
    line = linecache.getline(place.filename, place.line).strip()
    raise HandlerError(
        f"a compiled handler writes into its {what}, which others read:\n"
        f"  {Path(place.filename).name}:{place.line}: {line}",
        hint="copy the numbers into variables of your own, or into fields of the state",
    )
