"""The packages of the extra ``data``, imported when a format asks for them."""

from __future__ import annotations

import importlib
from typing import Any

from tickrail.errors import DataError

__all__ = ["require"]


def require(module: str) -> Any:
    """The module, or an error that says how to get it.

    Args:
        module: ``"pyarrow"``, ``"pyarrow.csv"``, ``"msgspec"``, ...

    Raises:
        DataError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        msg = f"this format is read by {package}, which is not installed"
        raise DataError(msg, hint="pip install 'tickrail[data]'") from None
