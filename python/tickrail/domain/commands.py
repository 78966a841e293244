"""Commands and events: what can be asked of a run, and what is told of it.

A command is imperative and has exactly one handler; an event is in the past tense and has any number of subscribers.
Both are frozen: derive a class, annotate its fields.

>>> class Rebalance(Command):
...     strategy: str
...     weight: float = 1.0
>>> Rebalance("ema", weight=0.5)
Rebalance(strategy='ema', weight=0.5)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from typing_extensions import dataclass_transform

__all__ = [
    "CancelAllOrders",
    "CancelOrder",
    "CancelScheduled",
    "ClosePositions",
    "Command",
    "Event",
    "Halt",
    "Lane",
    "LimitsChanged",
    "ParametersUpdated",
    "PauseStrategy",
    "RestartStrategy",
    "ResumeStrategy",
    "ResumeTrading",
    "ScheduleCommand",
    "SetLimits",
    "Shutdown",
    "Snapshot",
    "StopStrategy",
    "TradingChanged",
    "UpdateParameters",
]

STARS: Final = "**********"
"""What is shown of a value that may be a secret, as ``SecretStr`` has it."""

#: A time or a span in nanoseconds, as the loop's clock has them.
Ns: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Lane(IntEnum):
    """Which way a command takes to the loop; the first is served first, and each has room of its own."""

    CONTROL = 0
    NORMAL = 1
    BACKGROUND = 2


# What derives from it is frozen without saying so again; type checkers have to be told.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Command(msgspec.Struct, frozen=True, tag=True, gc=False, forbid_unknown_fields=True):
    """What a command derives from. Its name is its name on the wire, so no two classes of a run share one.

    Class attributes:
        lane: Which way it takes.
    """

    lane: ClassVar[Lane] = Lane.NORMAL

    def check(self) -> None:
        """Refuse what the types of the fields do not: raise ``ValueError`` with the reason."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, frozen=True, tag=True, gc=False, forbid_unknown_fields=True):
    """What an event derives from."""


class PauseStrategy(Command):
    """Pause a strategy; with ``cancel`` its open orders are taken back too."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str
    mode: Literal["no_new_orders", "no_ticks"] = "no_new_orders"
    cancel: bool = False


class ResumeStrategy(Command):
    """Let a paused strategy go on."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str


class StopStrategy(Command):
    """Stop one strategy for good."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str


class RestartStrategy(Command):
    """Stop a strategy and start a new object of its class."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str


class CancelOrder(Command):
    """Take back one order, by its number within its strategy."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str
    order: int


class CancelAllOrders(Command):
    """Take back every open order: of one strategy, of one instrument, of both together, or of the run."""

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str | None = None
    instrument: str | None = None


class ClosePositions(Command):
    """Bring positions to zero: of one strategy, of one instrument, of both together, or of the run.

    The answer has ``orders``, how many that takes; ``sent``, by strategy and instrument, how much (below zero: sold);
    and, where the gate has refused some, ``refused``, by strategy and instrument, which order and why, with the
    figures. It comes after the step that asks: there ``execute`` gives a future.
    """

    lane: ClassVar[Lane] = Lane.CONTROL

    strategy: str | None = None
    instrument: str | None = None


def _shown(params: Mapping[str, Any]) -> dict[str, object]:
    return {name: value if isinstance(value, int | float | None) else STARS for name, value in params.items()}


class _Bytes(int):
    """How many bytes there are, in the place of them."""

    def __repr__(self) -> str:
        return f"<{int(self)} bytes>"


class UpdateParameters(Command):
    """Change parameters of a strategy, all or none; it hears of it as ``ParametersUpdated`` in ``on_event``.

    They hold for the rest of the run, over restarts of the strategy too; the next process begins as it is configured.
    What ``on_event`` raises is the strategy's failure.

    A command does not know which parameters are secrets, so whoever prints one sees numbers, and stars for all else.
    What is recorded of it has the values, as a rerun needs them.

    >>> UpdateParameters("ema", {"fast": 15, "token": "s3cret"})
    UpdateParameters(strategy='ema', params={'fast': 15, 'token': '**********'})
    """

    strategy: str
    params: dict[str, Any]

    def __repr__(self) -> str:
        """With no text: that may be a secret."""
        return f"{type(self).__name__}(strategy={self.strategy!r}, params={_shown(self.params)!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same, for whatever prints in colour."""
        return [("strategy", self.strategy), ("params", _shown(self.params))]

    def check(self) -> None:
        """There is something to change."""
        if not self.params:
            raise ValueError("params is empty: name at least one parameter")


class SetLimits(Command):
    """Change what the gate lets pass. The change stays in the run's record.

    ``max_order_quantity`` is the operator's own limit, over all strategies: ``None`` lifts it, and it stays where it
    is not given. With ``table`` it is a table of limits of the run (``[limits.ID]``) that changes: ``limits`` has the
    new values by name, ``None`` for none. Both are kept over restarts where the run keeps its state of trading; what
    cannot be kept is refused.
    """

    lane: ClassVar[Lane] = Lane.CONTROL

    max_order_quantity: float | msgspec.UnsetType | None = msgspec.UNSET
    table: str | None = None
    limits: dict[str, float | None] = {}

    def check(self) -> None:
        """A limit is a positive number, and a table of limits has some to be changed."""
        if (self.table is None) != (not self.limits):
            raise ValueError("table and limits go together: which table, and its new values by name")
        if self.max_order_quantity is msgspec.UNSET and self.table is None:
            raise ValueError("no limit is given")
        if isinstance(self.max_order_quantity, float | int) and not self.max_order_quantity > 0.0:
            quantity = self.max_order_quantity
            raise ValueError(f"max_order_quantity is {quantity}: expected a number above zero, or none to lift it")


class Halt(Command):
    """No order leaves any more, open ones are taken back; holds over restarts until ``ResumeTrading``."""

    lane: ClassVar[Lane] = Lane.CONTROL

    reason: str = ""
    reduce: bool = False


class ResumeTrading(Command):
    """Let orders leave again."""

    lane: ClassVar[Lane] = Lane.CONTROL

    reason: str = ""


class Shutdown(Command):
    """Stop the run gracefully."""

    lane: ClassVar[Lane] = Lane.CONTROL

    reason: str = ""


class ScheduleCommand(Command):
    """Send a command by the loop's clock: once, or at intervals. ``bus.schedule_at`` and the others send this.

    Attributes:
        id: What it is called, for ``CancelScheduled``.
        payload: The command, as it goes over the wire.
        at_ns: When, ns UTC; with ``interval_ns`` unused.
        after_ns: How long after this command's turn, where ``at_ns`` is not given.
        interval_ns: Time between two; 0: once.
        start_ns: When the first of several is sent.
        end_ns: When none is sent any more.

    Whoever prints it sees how long the payload is, and no more: what is scheduled may have a secret in it.

    >>> ScheduleCommand("sender-1", b"...s3cret...", after_ns=5)  # doctest: +ELLIPSIS
    ScheduleCommand(id='sender-1', payload=<12 bytes>, at_ns=None, after_ns=5, ...)
    """

    id: str
    payload: bytes
    at_ns: Ns | None = None
    after_ns: Ns = 0
    interval_ns: Ns = 0
    start_ns: Ns | None = None
    end_ns: Ns | None = None

    def __repr__(self) -> str:
        """Without what the payload says."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same, for whatever prints in colour."""
        values = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, _Bytes(len(value)) if name == "payload" else value) for name, value in values]


class CancelScheduled(Command):
    """Send a scheduled command no more; by the lane of the scheduling, so that it never comes before it."""

    id: str


class Snapshot(Command):
    """Say where everything stands: strategies, positions, open orders, trading, lanes."""

    lane: ClassVar[Lane] = Lane.CONTROL


class ParametersUpdated(Event):
    """Parameters of a strategy were changed."""

    strategy: str
    params: dict[str, Any]


class LimitsChanged(Event):
    """Limits were changed while the run went on; ``None`` is no limit."""

    table: str
    before: dict[str, float | None]
    after: dict[str, float | None]


class TradingChanged(Event):
    """Trading was halted, restricted or resumed."""

    state: Literal["ACTIVE", "REDUCING", "HALTED"]
    reason: str = ""
