"""The base of delivery: a plain loop in native code, over one re-used object. Built by ``make bench-delivery``."""

import importlib.machinery
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

LIBRARY = Path(__file__).with_name("_bench_base.so")


class BaseLoop(Protocol):
    """Hands every record (bytes of ``TICK_DTYPE``) to each handler, in turn; returns how many."""

    def __call__(self, records: npt.NDArray[np.uint8], handlers: Sequence[Callable[[Any], object]], /) -> int: ...


class NotBuilt(Exception):
    """The library of the base is not there."""


def load(library: Path = LIBRARY) -> BaseLoop:
    """The loop of ``rust/bench``.

    Raises:
        NotBuilt: It has to be built first.
    """
    if not library.exists():
        raise NotBuilt(f"{library.name} is not built; `make bench-delivery` builds it and prints the table")
    loader = importlib.machinery.ExtensionFileLoader("_bench_base", str(library))
    spec = importlib.util.spec_from_file_location("_bench_base", library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    loop: BaseLoop = module.run
    return loop
