"""``/livez``, ``/readyz`` and ``/metrics`` of a run by HTTP, as ``runtime.http`` asks for them.

The server is native (``rust/core/src/control``): probes are answered while the interpreter is
held; only metrics need it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from tickrail._native import Probes
from tickrail.config import LoadedConfig
from tickrail.orchestration.forks import close_sockets, keep_from_children
from tickrail.orchestration.tick_dispatcher import TickDispatcher

if TYPE_CHECKING:
    from tickrail.report.stats import RuntimeStats

__all__ = ["open_probes"]

NOT_INSTALLED: Final = "metrics need prometheus_client, which is not installed: pip install 'tickrail[obs]'\n"
NS: Final = 1_000_000_000

Scrape = Callable[[], tuple[int, str, bytes]]


def open_probes(dispatcher: TickDispatcher, loaded: LoadedConfig, telemetry: object) -> Probes:
    """Listen at ``runtime.http`` until the answer is closed.

    Args:
        dispatcher: The loop, with its strategies.
        loaded: The configuration.
        telemetry: What strategies told.

    Raises:
        OSError: Nothing can listen there; the message has the address.
    """
    settings = loaded.config.runtime
    assert settings.http is not None
    host, _, port = settings.http.rpartition(":")
    # At rest a simulation waits for the coroutines of its strategies, and that is no hanging.
    rest_ns = max(settings.handler_deadline_ns, int(settings.spawn_timeout_s * NS) + NS)
    try:
        probes = Probes(
            dispatcher._native,
            host.strip("[]"),
            int(port),
            run=f"{loaded.env}-{os.getpid()}",
            scrape=_scrape(dispatcher.stats, telemetry),
            call_deadline_ns=settings.handler_deadline_ns,
            rest_deadline_ns=rest_ns,
        )
    except OSError as error:
        raise OSError(f"nothing can listen at {settings.http}: {error.strerror or error}") from None
    keep_from_children(probes, _forked)
    return probes


def _forked(probes: Probes) -> None:
    probes.forget()
    port = probes.port
    close_sockets(lambda name: isinstance(name, tuple) and name[1:2] == (port,))


def _scrape(stats: Callable[[], RuntimeStats], telemetry: object) -> Scrape:
    if find_spec("prometheus_client") is None:
        return lambda: (501, "text/plain; charset=utf-8", NOT_INSTALLED.encode())
    prometheus: Any = importlib.import_module("tickrail.adapters.observability.prometheus")
    scrape: Scrape = prometheus.exposition(prometheus.RuntimeCollector(stats, telemetry=telemetry))
    return scrape
