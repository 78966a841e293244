"""Log records with strategy and correlation id, as lines for people or as JSON for machines; telemetry that logs."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, TypeAlias

from tickrail.domain.context import current_correlation, current_strategy
from tickrail.domain.threads import begin
from tickrail.ports.telemetry import Level, MetricKind

__all__ = ["ContextFilter", "JsonFormatter", "LogTelemetry", "PipeHandler", "install", "remove"]

Format: TypeAlias = Literal["text", "json"]
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s%(context)s: %(message)s"
STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "strategy",
    "correlation_id",
    "context",
}
LINES: Final = 10_000
"""Most lines that wait to be written: some megabytes."""
CLOSE_S: Final = 1.0
"""How long nobody may read at the end before what waits is given up."""
CLOSE_MOST: Final = 10
"""As many times as that at most, however slowly somebody reads."""
LOGGER: Final = logging.getLogger("tickrail.telemetry")


class ContextFilter(logging.Filter):
    """Puts ``strategy`` and ``correlation_id`` on every record; lets all of them pass.

    Args:
        run: Id of the run: the correlation of what belongs to no command, and what numbers of commands begin with.
    """

    def __init__(self, run: str = "") -> None:
        super().__init__()
        self._run = run

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by a handler for each record, on the thread that logs."""
        facts = vars(record)
        facts.setdefault("strategy", current_strategy())
        facts.setdefault("correlation_id", current_correlation(self._run))
        shown = [str(facts[name]) for name in ("strategy", "correlation_id") if facts[name]]
        facts["context"] = f" [{' '.join(shown)}]" if shown else ""
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    It has time, level, logger, message, strategy, correlation id, and whatever was given as ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Never raises for what JSON does not know: that is shown by its ``repr``."""
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "strategy": getattr(record, "strategy", ""),
            "correlation_id": getattr(record, "correlation_id", ""),
        }
        for key, value in vars(record).items():
            if key not in STANDARD:
                facts.setdefault(key, value)
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return json.dumps(facts, default=_shown, ensure_ascii=False)


class LogTelemetry:
    """Telemetry as log lines: events and spans on level ``info``, metrics on ``debug``. The default of paper and live.

    Attributes:
        counters: Sums of counters, for who asks.
        dropped: Calls that could not be written down.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.dropped = 0

    def metric(self, name: str, value: float = 1.0, *, kind: MetricKind = "counter", **labels: str) -> None:
        """Write it down; counters are summed too."""
        try:
            if kind == "counter":
                self.counters[name] += value  # type: ignore[assignment]  # a sum of floats
        except Exception:
            self.dropped += 1
            return
        self._write(logging.DEBUG, "metric %s = %s", name, value, extra={"metric_kind": kind, **labels})

    def event(self, name: str, **facts: object) -> None:
        """Write it down."""
        self._write(logging.INFO, "%s", name, extra=facts)

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Write it down; ``message`` is text, never a format."""
        known = isinstance(level, str)
        self._write(LEVELS.get(level, logging.INFO) if known else logging.INFO, "%s", message, extra=facts)

    @contextmanager
    def span(self, name: str, **attributes: object) -> Iterator[None]:
        """Write down when it ended."""
        try:
            yield
        finally:
            self._write(logging.INFO, "span %s", name, extra=attributes)

    def _write(self, level: int, message: str, *arguments: object, extra: dict[str, Any]) -> None:
        try:
            facts = {key if key not in STANDARD else f"{key}_": value for key, value in extra.items()}
            LOGGER.log(level, message, *arguments, extra=facts, stacklevel=3)
        except Exception:  # a formatter of the user's, a repr that raises: telemetry never does
            self.dropped += 1


class PipeHandler(logging.Handler):
    """Writes lines to a descriptor on a thread of its own: a pipe that nobody reads keeps no dispatch thread.

    At most ``LINES`` wait; what comes beyond that is dropped and counted, and the next line that goes out says so.
    What nobody has read at the end is counted too: ``tickrail run`` says it with the result.

    Args:
        descriptor: Stays its owner's.

    Attributes:
        dropped: Lines that were not written.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.dropped = 0
        self._told = 0
        self._written = 0
        self._is_given_up = False
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="tickrail-log", daemon=True)
        begin(self._writer)

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if self._lines.qsize() < LINES:
            self._lines.put(line)
        else:
            self.dropped += 1  # under the handler's lock

    def close(self) -> None:
        """Write what waits, as long as somebody reads it, and count what is left. Idempotent."""
        if self._writer.is_alive() and not self._is_given_up:
            self._lines.put(None)
            written = -1
            for _ in range(CLOSE_MOST):
                if not self._writer.is_alive() or written == self._written:
                    break
                written = self._written
                self._writer.join(CLOSE_S)
            if self._writer.is_alive():
                self._is_given_up = True
                self.dropped += self._lines.qsize()  # the line that is being written for the one that ends them
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None and not self._is_given_up:
            lost = self.dropped - self._told
            if lost:
                line = f"{line}\ntickrail: {lost:,} log records were dropped, as nobody read them"
                self._told += lost
            data = f"{line}\n".encode(errors="replace")
            try:
                while data:
                    # Not by the stream, whose lock would be held while the interpreter ends.
                    count = os.write(self._descriptor, data)
                    self._written += count
                    data = data[count:]
            except OSError:  # nobody will ever read it
                self.dropped += 1


def install(form: Format, *, level: int = logging.INFO, stream: TextIO | None = None, run: str = "") -> logging.Handler:
    """Let the loggers of tickrail write to ``stream`` (standard error by default); ``remove`` ends it.

    ``run`` is the id of the run: see ``ContextFilter``.
    """
    handler = _handler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    handler.addFilter(ContextFilter(run))
    ours = logging.getLogger("tickrail")
    ours.addHandler(handler)
    if ours.level == logging.NOTSET:
        ours.setLevel(level)
    return handler


def _handler(stream: TextIO) -> logging.Handler:
    try:
        return PipeHandler(stream.fileno())
    except (AttributeError, OSError, ValueError):  # no descriptor: it is in memory, and nobody has to read it
        return logging.StreamHandler(stream)


def remove(handler: logging.Handler) -> None:
    """Take a handler of ``install`` away."""
    logging.getLogger("tickrail").removeHandler(handler)
    handler.close()


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
