"""``Strategy``: the base class that users derive from."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import dataclass_transform

from tickrail._native import StrategyCore
from tickrail.errors import HandlerError, ParameterError, Problem
from tickrail.ports.clock import Clock
from tickrail.ports.telemetry import TelemetryPort
from tickrail.strategy.fields import Field, own_fields, place_descriptors
from tickrail.strategy.handlers import HANDLERS, check_handlers
from tickrail.strategy.parameters import Parameter, Schema, schema_of
from tickrail.strategy.portfolio import KeptPortfolio
from tickrail.strategy.silent import SILENT

if TYPE_CHECKING:
    import numpy as np

REPLACEABLE: Final = ("telemetry",)
"""Members that a class may have as a service of its own."""

__all__ = ["Strategy", "check_ready", "inject", "parameters_of", "schema", "update_parameters", "updated_parameters"]


class KeptState:
    """``self.state``: a dict that is kept from one life to the next; made when it is first asked for.

    No data descriptor: a strategy may have an attribute ``state`` of its own, and then keeps nothing by itself.
    """

    def __get__(self, strategy: object | None, owner: type) -> dict[str, Any]:
        if strategy is None:
            return {}
        state: dict[str, Any] = {}
        strategy.state = state  # type: ignore[attr-defined]
        return state


# No field specifiers: to a checker the call of one is no default, while any other value is (see ``injected``).
@dataclass_transform(kw_only_default=True, frozen_default=True)
class Strategy(StrategyCore):
    """What a trading strategy derives from.

    Annotated fields are parameters: keyword arguments of the constructor, validated there and read-only from then on.
    ``Inject[T]`` fields are services, filled by the container of the run, or by keyword in a unit test. Everything else
    on ``self`` is the strategy's own. The run calls the handlers that the class defines
    (see :mod:`tickrail.strategy.handlers`); from them the strategy acts with ``buy``, ``sell``, ``target``, ``cancel``,
    ``close``, ``schedule_at``, ``schedule_after``, ``schedule_every``, ``cancel_timer``, ``spawn``, ``subscribe`` and
    looks at ``position``, ``portfolio``, ``timers``, ``now_ns`` and ``name``.

    >>> class Breakout(Strategy):
    ...     level: float
    ...     quantity: float = 1.0
    >>> Breakout(level=1.1)
    Breakout(level=1.1, quantity=1.0)
    """

    state_version: ClassVar[int] = 1
    """Raised where ``save_state`` changes its shape; ``migrate_state(self, state, version)`` takes older ones."""
    requires: ClassVar[frozenset[str]] = frozenset()
    """What it needs its venues to be able to do; checked before the start against the adapters' ``capabilities``."""
    state = KeptState()
    portfolio = KeptPortfolio()
    telemetry: ClassVar[TelemetryPort] = SILENT
    """Metrics, events, lines and spans; a runtime puts its own in the place of this silent one."""
    _fields: ClassVar[Mapping[str, Field]] = {}
    _schema: ClassVar[Schema | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        space = sys._getframe(1).f_locals
        own = {field.name: field for field in own_fields(cls, dict(space))}
        cls._fields = {**_inherited(cls), **own}
        _refuse_hidden(cls, own)
        place_descriptors(
            cls, {name: field for name, field in cls._fields.items() if name in cls.__dict__ or name in own}
        )
        cls._schema = None
        check_handlers(cls)
        if not any(isinstance(field.raw, str) for field in own.values()):
            schema(cls)  # wrong defaults show where the class is written; text may name what comes later in the module

    def __init__(self, **values: Any) -> None:
        # A dict of its own, not the interpreter's shared layout: once that has been asked for ``__dict__``, handlers
        # would read and write every attribute three times slower (CPython 3.11, measured). Without anything to hold,
        # the shared layout that nobody has asked is faster still (docs/decisions/0020).
        if held := schema(type(self)).validate(values):
            self.__dict__ = held

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The parameters of this class, those of its base classes first."""
        return tuple(schema(cls).parameters.values())

    def snapshot(self) -> np.void:
        """A copy of a compiled strategy's state, as it stands between two calls of its handlers. Any thread.

        While a run goes on, at most some milliseconds old; after it, the state at its end.

        Raises:
            HandlerError: The strategy is not compiled, or was in no run yet.
        """
        compiled = getattr(self, "_compiled", None)
        if compiled is None:
            raise HandlerError(
                f"{type(self).__name__} has no compiled state; a run makes it, for classes with state_dtype"
            )
        import numpy as np

        record: np.void = np.frombuffer(compiled.code.snapshot(), compiled.state.dtype)[0].copy()
        return record

    @property
    def clock(self) -> Clock:
        """Time and timers: the strategy itself is one, so that nothing stands between it and them."""
        return self

    def save_state(self) -> Mapping[str, Any]:
        """What the next object of this strategy begins with: ``self.state`` by default. Called after ``on_stop``.

        Plain values that JSON knows, where the run keeps states in files.
        """
        kept = self.__dict__.get("state")
        return dict(kept) if isinstance(kept, dict) else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take what the object before has saved. Called before ``on_start``, if anything was saved."""
        self.state.update(state)

    def on_start(self) -> None:
        """Called once, before the first tick."""

    def on_stop(self) -> None:
        """Called once, after the last tick, whatever ended the run."""

    def __repr__(self) -> str:
        shown = (f"{name}={self.__dict__[name]!r}" for name in schema(type(self)).parameters if name in self.__dict__)
        return f"{type(self).__name__}({', '.join(shown)})"


def schema(cls: type[Strategy]) -> Schema:
    """What ``cls`` can be given, resolved when it is first asked for.

    Raises:
        ParameterError: An annotation cannot be resolved, or a default is wrong.
    """
    found = cls.__dict__.get("_schema")
    if not isinstance(found, Schema):
        found = schema_of(cls.__name__, cls._fields)
        cls._schema = found
    return found


def parameters_of(strategy: Strategy) -> dict[str, Any]:
    """The values of the parameters of ``strategy``."""
    return {name: strategy.__dict__[name] for name in schema(type(strategy)).parameters if name in strategy.__dict__}


def update_parameters(strategy: Strategy, values: Mapping[str, Any]) -> None:
    """Give parameters of ``strategy`` other values, valid ones; the object that takes its place will have them too."""
    own = strategy.__dict__
    own.update(values)
    own["_updated"] = updated_parameters(strategy) | dict(values)


def updated_parameters(strategy: Strategy) -> dict[str, Any]:
    """The parameters that were changed since the object, or one before it in its place, was made."""
    return dict(strategy.__dict__.get("_updated", {}))


def inject(strategy: Strategy, services: Mapping[str, Any]) -> None:
    """Fill the service fields of ``strategy``, over whatever stands there.

    Raises:
        ParameterError: It has no such field.
    """
    known = schema(type(strategy)).services
    for name in services:
        if name not in known:
            raise ParameterError(
                f"{type(strategy).__name__} has no service field '{name}'", strategy=type(strategy).__name__
            )
    if services:
        # A dict of its own again, as in ``__init__``: where nothing was held, none was made there.
        strategy.__dict__ = {**strategy.__dict__, **services}


def check_ready(strategy: Strategy) -> None:
    """Refuse a strategy that a run could not use: its own ``__init__`` skipped ours, or services are missing.

    Raises:
        ParameterError: Naming what is missing.
    """
    known = schema(type(strategy))
    owner = type(strategy).__name__
    if missing := [name for name in known.parameters if name not in strategy.__dict__]:
        raise ParameterError(
            f"{owner}: {', '.join(missing)} have no value, as {owner}.__init__ did not call super().__init__(...)",
            strategy=owner,
            problems=[Problem(name, owner, "has no value") for name in missing],
        )
    if missing := [name for name in known.services if name not in strategy.__dict__]:
        raise ParameterError(
            f"{owner}: nothing was injected for {', '.join(missing)}",
            strategy=owner,
            problems=[Problem(name, owner, "was not injected") for name in missing],
            hint=f"{owner}({missing[0]}=...) when made by hand",
        )


def _inherited(cls: type[Strategy]) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__[1:]):
        if issubclass(base, Strategy):
            fields.update(
                {name: field for name, field in base._fields.items() if field.owner is base or name not in fields}
            )
    return {name: _with_new_default(cls, field) for name, field in fields.items()}


def _with_new_default(cls: type, field: Field) -> Field:
    """``fast = 5`` in a subclass, without annotation, is a new default."""
    own = cls.__dict__.get(field.name, field)
    if own is field or field.name in inspect.get_annotations(cls):
        return field
    return Field(field.name, field.raw, own, field.owner, field.space)


def _refuse_hidden(cls: type, own: Mapping[str, Field]) -> None:
    for name in own:
        if name in HANDLERS or (hasattr(Strategy, name) and name not in REPLACEABLE):
            raise ParameterError(
                f"{cls.__name__}.{name}: a parameter cannot have the name of a member of Strategy",
                strategy=cls.__name__,
                problems=[Problem(name, cls.__name__, "has the name of a member of Strategy")],
                hint="choose another name",
            )
