"""Spans of OpenTelemetry, where the process has it; nothing where it has not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tickrail.domain.context import CORRELATION

__all__ = ["span"]

API: Final = "opentelemetry.trace"


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[None]:
    """Measure the block as a span, with the correlation id of the context.

    Spans go nowhere before the process has set up OpenTelemetry, and whoever does that has imported it: so nothing is
    imported here, and a process without it pays a look into a dict.
    """
    api = sys.modules.get(API)
    if api is None:
        yield
        return
    tracer = api.get_tracer("tickrail")
    with tracer.start_as_current_span(name) as current:
        for key, value in attributes.items():
            current.set_attribute(key, value)
        if correlation := CORRELATION.get():
            current.set_attribute("tickrail.correlation_id", correlation)
        yield
