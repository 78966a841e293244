"""What configuration names as ``module:attribute``: providers of services, checks before the start."""

from __future__ import annotations

import importlib
from typing import Any

from tickrail.errors import TickrailError, WiringError
from tickrail.orchestration.provider import Provider

__all__ = ["attribute_at", "provider_at"]


def attribute_at(path: str) -> Any:
    """What stands at ``path``.

    Raises:
        WiringError: Nothing does.
    """
    name, _, attribute_name = path.partition(":")
    try:
        return getattr(importlib.import_module(name), attribute_name)
    except (ImportError, AttributeError) as error:
        raise WiringError(f"'{path}' cannot be had: {error}", hint="module:function") from None


def provider_at(module: Provider | str) -> Provider:
    """The provider at ``module``, or itself.

    Raises:
        WiringError: There is none.
    """
    if isinstance(module, Provider):
        return module
    name, _, attribute = module.partition(":")
    try:
        found = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise WiringError(f"module '{module}' cannot be had: {error}", hint="module:attribute of a Provider") from None
    except (Exception, SystemExit) as error:  # whatever a module of the user's does when it is imported
        said = error.message if isinstance(error, TickrailError) else str(error)
        raise WiringError(f"module '{module}' cannot be had: {type(error).__name__}: {said}") from error
    if not isinstance(found, Provider):
        raise WiringError(f"'{module}' is a {type(found).__name__}; expected a Provider")
    return found
