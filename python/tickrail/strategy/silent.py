"""Telemetry that says nothing: what a strategy has where no runtime gives it another."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from tickrail.ports.telemetry import Level, MetricKind

__all__ = ["SILENT", "Silent"]


class Silent:
    """Takes everything and keeps nothing."""

    def metric(self, name: str, value: float = 1.0, *, kind: MetricKind = "counter", **labels: str) -> None:
        """Nothing."""

    def event(self, name: str, **facts: object) -> None:
        """Nothing."""

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Nothing."""

    def span(self, name: str, **attributes: object) -> AbstractContextManager[None]:  # noqa: ARG002
        """A block."""
        return nullcontext()


SILENT = Silent()
