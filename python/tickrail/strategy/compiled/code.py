"""From the handlers of a class to machine code that the loop can call."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from tickrail._native import ABI_LAYOUT, CompiledCode
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TRADE_DTYPE
from tickrail.errors import HandlerError
from tickrail.strategy.compiled.cache import cache_folder, write_whole
from tickrail.strategy.compiled.fingerprint import Unknown, fingerprint
from tickrail.strategy.compiled.form import UnsafeAddress, handlers_of, kinds_of
from tickrail.strategy.compiled.layouts import ANY_DTYPE, OUT_DTYPE, TIMER_DTYPE, UPDATE_DTYPE, layout_text
from tickrail.strategy.compiled.state import new_state
from tickrail.strategy.compiled.wishes import Out
from tickrail.strategy.compiled.wrapper import wrapper_source

__all__ = ["Compiled", "compile_strategy"]

_SLOTS: Final = {
    "on_tick": "HANDLE_TICK",
    "on_quote": "HANDLE_QUOTE",
    "on_trade": "HANDLE_TRADE",
    "on_bar": "HANDLE_BAR",
    "on_batch": "HANDLE_BATCH",
    "on_timer": "HANDLE_TIMER",
    "on_order_update": "HANDLE_UPDATE",
}
#: The C function that a raw address stands for.
_FUNCTIONS: Final = {"on_tick": "take", "on_batch": "batch", "on_timer": "timer", "on_order_update": "update"}
_SHOWN_LINES: Final = 6
#: What handlers were checked for before their machine code was kept: under stricter rules none of the old is taken.
_RULES: Final = "2: no handler writes into a tick"
#: What this process compiled or loaded last, by fingerprint: a sweep makes hundreds of strategies of one class.
_MODULES: Final[dict[str, ModuleType]] = {}
_MOST_MODULES: Final = 64
#: How lines of its messages begin that say nothing of the handler.
_OF_THE_COMPILER: Final = ("Failed in", "During:", "File ", "def ", "<source", "if ", "HANDLE_", "^", "elif ", "else:")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A strategy's machine code and state.

    Attributes:
        code: What the native loop takes.
        state: An array of one record, which the handlers share.
        handlers: The plain functions, by name.
        cached: Whether it was compiled before, in this process or another.
    """

    code: CompiledCode
    state: np.ndarray[Any, np.dtype[np.void]]
    handlers: Mapping[str, Any]
    cached: bool


def compile_strategy(cls: type, parameters: Mapping[str, Any]) -> Compiled:
    """Machine code for the handlers of ``cls``, over a new state.

    Raises:
        HandlerError: numba is not installed, a handler cannot be compiled, or a parameter does not fit its field.
    """
    handlers = handlers_of(cls)
    dtype: np.dtype[np.void] = cls.state_dtype  # type: ignore[attr-defined]
    try:
        storage, state = new_state(dtype, parameters)
    except (TypeError, ValueError) as error:
        raise HandlerError(
            f"{cls.__name__}: a parameter does not fit {dtype}: {error}", strategy=cls.__name__
        ) from None
    plain = {name: handler for name, handler in handlers.items() if not isinstance(handler, UnsafeAddress)}
    module, cached = _compiled(cls, plain, dtype) if plain else (None, False)
    addresses = (
        {name: function.address for name, function in vars(module).items() if hasattr(function, "address")}
        if module
        else {}
    )
    raw = {_FUNCTIONS[name]: one.address for name, one in handlers.items() if isinstance(one, UnsafeAddress)}
    if set(raw) & set(addresses):
        raise HandlerError(
            f"{cls.__name__} mixes compiled handlers of ticks with an unsafe address", strategy=cls.__name__
        )
    code = CompiledCode(
        storage,
        names=list(handlers),
        kinds=kinds_of(handlers),
        owner=(module, [one.owner for one in handlers.values() if isinstance(one, UnsafeAddress)]),
        abi_version=int(ABI_LAYOUT.split(",")[0].removeprefix("abi ")),
        layout=layout_text(),
        **addresses,
        **raw,
    )
    return Compiled(code, state, handlers, cached)


def _compiled(cls: type, handlers: Mapping[str, Any], dtype: np.dtype[np.void]) -> tuple[ModuleType, bool]:
    numba, numba_out = _numba(cls)
    source = wrapper_source(cls.__qualname__, handlers)
    try:
        name = fingerprint(source, _RULES, ABI_LAYOUT, numba.__version__, dtype, *handlers.values())[:32]
        folder = cache_folder()
    except Unknown:
        folder, name = None, "uncached"
    if (known := _MODULES.get(name)) is not None:
        return known, True
    space = {
        "ANY": ANY_DTYPE,
        "QUOTE": QUOTE_DTYPE,
        "TRADE": TRADE_DTYPE,
        "BAR": BAR_DTYPE,
        "TIMER": TIMER_DTYPE,
        "UPDATE": UPDATE_DTYPE,
        "STATE": dtype,
        "OUT": OUT_DTYPE,
        "CACHED": folder is not None,
        "untouched": numba_out.untouched,
        "ask_for": numba_out.ask_for,
        **{_SLOTS[key]: numba_out.handler(_py(one)) for key, one in handlers.items()},
    }
    with tempfile.TemporaryDirectory(prefix="tickrail-compiled-") as temporary:
        path = (folder or Path(temporary)) / f"wrapper_{name}.py"
        try:
            write_whole(path, source)
            module = _run(cls, path, space)
        except HandlerError:
            raise
        except Exception:
            # Whatever is wrong with what was kept on disk, or with the disk: it is only there to save time.
            module = _run_anew(cls, write_whole(Path(temporary) / path.name, source), {**space, "CACHED": False})
    if name != "uncached":
        _MODULES[name] = module
        if len(_MODULES) > _MOST_MODULES:
            _MODULES.pop(next(iter(_MODULES)))
    functions = [value for value in vars(module).values() if hasattr(value, "cache_hits")]
    return module, bool(functions) and all(function.cache_hits for function in functions)


def _py(handler: Any) -> Any:
    return getattr(handler, "py_func", handler)


def _numba(cls: type) -> tuple[Any, Any]:
    try:
        import numba

        from tickrail.strategy.compiled import numba_out
    except ImportError as error:
        raise HandlerError(
            f"{cls.__name__} is a compiled strategy, and numba is not installed ({error})",
            strategy=cls.__name__,
            hint="pip install 'tickrail[compiled]'",
        ) from None
    return numba, numba_out


def _run_anew(cls: type, path: Path, space: Mapping[str, Any]) -> ModuleType:
    """As ``_run``, where nothing but the handler can be wrong any more."""
    try:
        return _run(cls, path, space)
    except HandlerError:
        raise
    except (
        Exception
    ) as error:  # the compiler's own mistake, as with ``ticks.bid += 1``: nothing of it may surprise a run
        raise HandlerError(
            f"{cls.__name__}: a handler cannot be compiled: {type(error).__name__} within numba: {error}",
            strategy=cls.__name__,
            hint="an array of ticks is read-only: copy what is to be changed",
        ) from error


def _run(cls: type, path: Path, space: Mapping[str, Any]) -> ModuleType:
    from numba.core.errors import NumbaError

    spec = importlib.util.spec_from_file_location(f"tickrail_compiled.{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(space)
    # numba finds the module of a function by its name when it reads what it kept on disk.
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except HandlerError as error:
        raise HandlerError(f"{cls.__name__}: {error.message}", strategy=cls.__name__, hint=error.hint) from None
    except NumbaError as error:
        raise HandlerError(
            f"{cls.__name__}: a handler cannot be compiled:\n{_shortened(str(error))}",
            strategy=cls.__name__,
            hint="a handler knows numbers, arrays, what numba knows of numpy and math, and functions with @numba.njit",
        ) from None
    except KeyError as error:  # numba's answer to a field that a record does not have
        places = _lines_with(cls, error.args[0])
        raise HandlerError(
            f"{cls.__name__}: a handler reads {error}, which its record does not have\n{places}",
            strategy=cls.__name__,
            hint="on_tick sees all names of all kinds, the others those of their kind; see docs/reference/compiled.md",
        ) from None
    finally:
        del sys.modules[module.__name__]
    return module


def _shortened(message: str) -> str:
    """What is wrong, and the user's own line: the rest of the compiler's message is about the compiler."""
    plain = re.sub(r"\x1b\[\d*m", "", message)
    lines = [line.strip() for line in plain.splitlines()]
    wrong = [line for line in lines if line and not line.startswith(_OF_THE_COMPILER)]
    places = [found for found in re.findall(r"\bat (\S+) \((\d+)\)", plain) if "wrapper_" not in found[0]]
    own = re.search(r"No implementation of function Function\(<function _(\w+) at", plain)
    if own is not None and own[1] in vars(Out):
        wrong = _arguments_of(own[1])
    shown = [f"  {line}" for line in wrong[:_SHOWN_LINES]]
    for file, line in dict.fromkeys(places):
        shown.append(f"  {Path(file).name}:{line}: {linecache.getline(file, int(line)).strip()}")
    return "\n".join(shown)


def _arguments_of(wish: str) -> list[str]:
    """What a method of ``out`` is called with."""
    expected = ", ".join(list(inspect.signature(getattr(Out, wish)).parameters)[1:])
    line = f"out.{wish} was called with other arguments than it has; expected out.{wish}({expected})"
    return [line]


def _lines_with(cls: type, field: object) -> str:
    """Where the handlers of ``cls`` name the field."""
    places = []
    for function in map(_py, handlers_of(cls).values()):
        with suppress(OSError, TypeError):  # no source, as in an interactive session
            lines, first = inspect.getsourcelines(function)
            file = Path(function.__code__.co_filename).name
            places += [
                f"  {file}:{first + place}: {line.strip()}" for place, line in enumerate(lines) if f".{field}" in line
            ]
    return "\n".join(places)
