"""Adapters, found by name and never imported by anybody else.

A name is one of ours, one that an installed package announces by an entry point of the group ``tickrail.adapters``
(as ``feed.NAME`` or ``venue.NAME``), or ``module:Class`` below a prefix that the configuration allows. Nothing is
imported before a configuration names it, and a module from elsewhere is refused before any of it runs.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tickrail.domain.near import did_you_mean
from tickrail.errors import ExecutionError, FeedError, TickrailError, WiringError
from tickrail.orchestration.finalising import FINALISER_DEADLINE_S, FinaliserWatch, log_late
from tickrail.orchestration.guarded_import import IMPORT_TIMEOUT_S, guarded_import, require_allowed
from tickrail.orchestration.port_check import check_port, port_of_execution
from tickrail.ports.execution import Venue
from tickrail.ports.market_data import FeedPort, LiveFeedPort

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "Kind", "adapter_names", "close_adapter", "make_adapter"]

Kind: TypeAlias = Literal["feed", "venue"]

GROUP: Final = "tickrail.adapters"
OURS: Final[dict[Kind, dict[str, str]]] = {
    "feed": {
        "binance": "tickrail.adapters.live.binance_stream:BinanceStreamFeed",
        "published": "tickrail.adapters.live.published:PublishedFeed",
        "ticks": "tickrail.adapters.backtest.ticks:TickFileFeed",
    },
    "venue": {
        "loopback": "tickrail.adapters.live.loopback:LoopbackExecution",
        "simulated": "tickrail.adapters.backtest.simulated:SimulatedVenue",
    },
}

logger = logging.getLogger(__name__)


def adapter_names(kind: Kind, wanted: Iterable[str] | None = None) -> tuple[str, ...]:
    """Names of the adapters of this installation, sorted.

    Args:
        kind: ``feed`` or ``venue``.
        wanted: What is looked for: where all of that is ours, no package is asked for more. A look at what they
            announce reads a file of each that is installed.
    """
    if wanted is not None and all(name in OURS[kind] for name in wanted):
        return tuple(sorted(OURS[kind]))
    prefix = f"{kind}."
    announced = (found.name.removeprefix(prefix) for found in _announced() if found.name.startswith(prefix))
    return tuple(sorted({*OURS[kind], *announced}))


def _announced() -> Iterator[EntryPoint]:
    """What installed packages announce."""
    from importlib.metadata import entry_points  # late: it brings the parser of mails with it

    yield from entry_points(group=GROUP)


def make_adapter(
    kind: Kind,
    adapter: str,
    *,
    name: str,
    settings: Mapping[str, Any],
    prefixes: Sequence[str] = (),
    offered: Mapping[str, Any] | None = None,
    timeout_s: float = IMPORT_TIMEOUT_S,
) -> Any:
    """Construct the adapter of a table and check that it is what its port asks for.

    Args:
        kind: ``feed`` or ``venue``.
        adapter: Its name, or ``module:Class``.
        name: Id of the table, passed as ``name``.
        settings: Passed as keywords.
        prefixes: Where ``module:Class`` may come from, beside tickrail itself.
        offered: Passed too, each if it takes it by that name.
        timeout_s: How long importing it may take.

    Raises:
        WiringError: There is none of that name, it may not be imported or cannot be in time, it takes no such
            keyword, or it is not what its port says: all of that at once.
    """
    factory = _find(kind, adapter, prefixes, timeout_s)
    takes = inspect.signature(factory).parameters
    if kind == "venue" and settings.get("fee_rate") == 0.0 and "fee_rate" not in takes:
        settings = {key: value for key, value in settings.items() if key != "fee_rate"}  # nobody has set it
    given = {key: value for key, value in (offered or {}).items() if key in takes} | {"name": name, **settings}
    _check_settings(factory, adapter, given)
    made = factory(**given)
    port = _port_of(kind, made)
    problems = check_port(made, port)
    if problems:
        raise WiringError(f"adapter '{adapter}' is no {port.__name__}: {'; '.join(problems)}", problems=problems)
    return made


def close_adapter(kind: Kind, name: str, adapter: Any) -> None:
    """Close the adapter of a table.

    Raises:
        FeedError: That of a feed has failed; it names the table, as the user's code is to be looked at and not ours.
        ExecutionError: Likewise, of a venue.
    """
    try:
        with FinaliserWatch(FINALISER_DEADLINE_S, log_late).over(f"{kind}s.{name}", type(adapter).__qualname__):
            adapter.close()
    except TickrailError:
        raise
    except Exception as error:
        failed = FeedError if kind == "feed" else ExecutionError
        said = f"{type(error).__name__}: {error}"
        raise failed(f"{kind}s.{name}: its adapter could not be closed: {said}") from error


def _port_of(kind: Kind, made: object) -> Any:
    if kind == "feed":
        # A feed that is started publishes by itself; one that is opened has all there is.
        return LiveFeedPort if hasattr(made, "start") else FeedPort
    # A venue with terms is simulated by the loop; one that takes orders is outside.
    return port_of_execution(made) if hasattr(made, "submit") and not hasattr(made, "fee_rate") else Venue


def _find(kind: Kind, adapter: str, prefixes: Sequence[str], timeout_s: float) -> Any:
    if ":" in adapter:
        module = adapter.partition(":")[0]
        require_allowed(module, prefixes)
        return _load(adapter, adapter, timeout_s)
    if adapter in OURS[kind]:
        return _load(adapter, OURS[kind][adapter], timeout_s)
    for found in (one for one in _announced() if one.name == f"{kind}.{adapter}"):
        return _load(adapter, found.value, timeout_s)
    known = adapter_names(kind)
    raise WiringError(f"no adapter '{adapter}' in this installation{did_you_mean(adapter, known)}; there are {known}")


def _load(adapter: str, path: str, timeout_s: float) -> Any:
    name, _, attribute = path.partition(":")
    before = set(threading.enumerate())
    try:
        module = guarded_import(name, timeout_s)
    except WiringError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise WiringError(f"adapter '{adapter}' ({path}) cannot be imported: {said}") from error
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    if started:
        logger.warning("importing adapter '%s' has started threads: %s", adapter, ", ".join(sorted(started)))
    try:
        return getattr(module, attribute)
    except AttributeError:
        near = did_you_mean(attribute, vars(module))
        raise WiringError(f"adapter '{adapter}': module '{name}' has no '{attribute}'{near}") from None


def _check_settings(factory: Any, adapter: str, settings: Mapping[str, Any]) -> None:
    signature = inspect.signature(factory)
    takes = list(signature.parameters)
    for name in settings:
        if name not in takes and not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            listed = ", ".join(known for known in takes if known != "name")
            raise WiringError(f"adapter '{adapter}' takes no '{name}'{did_you_mean(name, takes)}; it takes {listed}")
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise WiringError(f"adapter '{adapter}': {error}") from None
