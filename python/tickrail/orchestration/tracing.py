"""Spans of OpenTelemetry, where the process has it; nothing where it has not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tickrail.domain.context import current_correlation

__all__ = ["is_traced", "span"]

API: Final = "opentelemetry.trace"
TRACER: Final = "tickrail"


def is_traced() -> bool:
    """Whether spans may go anywhere: for whoever does something so often that an empty ``span`` would show."""
    return API in sys.modules


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[None]:
    """Measure the block as a span, with the correlation id of the context; what it raises is noted in it.

    Only the API is used. Spans go nowhere before the process has set up OpenTelemetry, and whoever does that has
    imported it: so nothing is imported here, and a process without it pays a look into a dict.
    """
    api = sys.modules.get(API)
    if api is None:
        yield
        return
    with api.get_tracer(TRACER).start_as_current_span(name) as current:
        for key, value in attributes.items():
            current.set_attribute(key, value)
        if correlation := current_correlation():
            current.set_attribute("tickrail.correlation_id", correlation)
        yield
