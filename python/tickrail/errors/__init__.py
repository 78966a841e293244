"""Every error that tickrail raises on purpose.

The tree; each class carries its facts as attributes and, where there is one, the likely fix as ``hint``::

    TickrailError
    ├── ConfigError              configuration; the command exits 78
    │   ├── ConfigProblems           all problems of one load, each with its place
    │   ├── UnknownEnvironment       no such folder under the configuration root
    │   ├── StrategyImportError      the class named in a table cannot be had
    │   ├── RunDirectoryInUse        another run holds the run directory, which one run may have at a time
    │   ├── AccountInUse             another run trades on the account
    │   └── TradingStateError        what an earlier run has left of halts and limits cannot be read
    ├── ParameterError           a strategy's parameter: unknown, missing or of a wrong type (also a TypeError)
    ├── HandlerError             handlers that no run could call (also a TypeError)
    ├── WiringError              the container cannot build what was asked for
    │   ├── ContainerClosed          it was closed before
    │   └── NotInjected              a service was used before it was injected (also an AttributeError)
    ├── DataError                market data
    │   ├── TickFileError            not a tick file, or a damaged one
    │   ├── BadRecord                records that break the rules of the record, under ``on_bad="reject"``
    │   └── ImportFormatError        the source does not have the layout that was named
    ├── BootstrapFailed          a start that could not be completed; what was started has been undone
    ├── ExecutionError           what an execution adapter may raise
    │   ├── OrderRejected            the venue said no; final
    │   ├── Throttled                not sent: too many requests
    │   ├── ConnectivityError        not known whether it arrived
    │   └── Unsupported              not sent: the adapter lacks the capability
    ├── TimerRefused             a timer that was never set: past, interval, end, name, number (also a ValueError)
    ├── OrderRefused             an order that never left: quantity, instrument, state (also a ValueError)
    ├── IllegalTransition        a lifecycle operation that the present state does not allow
    ├── StateError               what a strategy keeps between two lives cannot be read or written
    ├── FeedError                a live feed that cannot be had
    │   └── FeedClosed               it takes no more records, or the run no more feeds (also a PublishError)
    ├── PublishError             records that a publisher could not bring; says how many it did
    │   ├── RingFull                 no slot is free, under ``policy="reject"``
    │   └── PublishTimeout           no slot became free in time, under ``policy="block"`` (also a TimeoutError)
    ├── ForkedProcess            a run's object in a forked child, which has none of its threads (also a RuntimeError)
    ├── WrongThread              a call that belongs to the dispatch thread (also a RuntimeError)
    ├── LagExceeded              the loop was farther behind than a strategy with ``when_lagging = "fail"`` bears
    ├── CommandError             a command that came to nothing
    │   ├── DuplicateHandler         its type has a handler already, or another type has its name
    │   ├── NoHandler                nobody handles its type
    │   ├── CommandInvalid           a field is wrong (also a ValueError)
    │   ├── CommandRefused           what it asks for cannot be; the reason in one word is attached
    │   ├── CommandTimeout           no answer in time (also a TimeoutError)
    │   ├── CommandExpired           its turn came too late
    │   ├── LaneFull                 too many commands wait
    │   ├── WouldDeadlock            the caller is who would have to handle it (also a RuntimeError)
    │   ├── NotRunning               no run goes on that could handle it
    │   └── ShuttingDown             the run takes no more commands
    ├── HandlerStuck             a handler did not return in time, and was broken off
    ├── SpawnTimedOut            a coroutine that a simulation waited for in vain (also a TimeoutError)
    ├── RunFailed                a run that could not go on; its partial result is attached
    └── RuntimeFault             a defect of tickrail itself: a panic of the native core
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tickrail.errors.commands import (
    CommandError,
    CommandExpired,
    CommandInvalid,
    CommandRefused,
    CommandTimeout,
    DuplicateHandler,
    LaneFull,
    NoHandler,
    NotRunning,
    ShuttingDown,
    WouldDeadlock,
)
from tickrail.errors.root import TickrailError

__all__ = [
    "AccountInUse",
    "BadRecord",
    "BootstrapFailed",
    "CommandError",
    "CommandExpired",
    "CommandInvalid",
    "CommandRefused",
    "CommandTimeout",
    "ConfigError",
    "ConfigProblems",
    "ConnectivityError",
    "ContainerClosed",
    "DataError",
    "DuplicateHandler",
    "ExecutionError",
    "FeedClosed",
    "FeedError",
    "ForkedProcess",
    "HandlerError",
    "HandlerStuck",
    "IllegalTransition",
    "ImportFormatError",
    "LagExceeded",
    "LaneFull",
    "NoHandler",
    "NotInjected",
    "NotRunning",
    "OrderRefused",
    "OrderRejected",
    "ParameterError",
    "Problem",
    "PublishError",
    "PublishTimeout",
    "RingFull",
    "RunDirectoryInUse",
    "RunFailed",
    "RuntimeFault",
    "ShuttingDown",
    "SpawnTimedOut",
    "StateError",
    "StrategyImportError",
    "Throttled",
    "TickFileError",
    "TickrailError",
    "TimerRefused",
    "TradingStateError",
    "UnknownEnvironment",
    "Unsupported",
    "WiringError",
    "WouldDeadlock",
    "WrongThread",
]


class ConfigError(TickrailError):
    """The configuration cannot be used."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration.

    Attributes:
        path: The value, as ``strategies.ema-eurusd.class``; empty where a whole file is meant.
        origin: Who set it: ``config/base/x.toml:7``, ``env TICKRAIL_X``, ``--set x``, or the file or folder itself.
        message: What is wrong, without place and without the value (which may be a secret).
        expected: What would have been right, or ``None`` where the message says all.
        near_miss: The known name that was probably meant.
    """

    path: str
    origin: str
    message: str
    expected: str | None = None
    near_miss: str | None = None

    def __str__(self) -> str:
        # Variables and flags name the value themselves; a line of a file does not.
        path = "" if self.origin.endswith(self.path) else self.path
        place = ": ".join(part for part in (self.origin, path) if part)
        if self.near_miss is not None:
            return f"{place}: {self.message}; did you mean '{self.near_miss}'?"
        expected = "" if self.expected is None else f"; expected {self.expected}"
        return f"{place}: {self.message}{expected}"


class ConfigProblems(ConfigError):
    """All problems of one load, one line each.

    Attributes:
        problems: In the order of the layers and of the lines within a file; never empty.
    """

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        super().__init__("\n".join(map(str, problems)), hint=hint)
        self.problems: tuple[Problem, ...] = tuple(problems)


class UnknownEnvironment(ConfigError):
    """No folder of that name stands under the configuration root.

    Attributes:
        environment: The name that was asked for.
        known: The environments that exist, sorted.
        near_miss: The one that was probably meant.
    """

    def __init__(
        self,
        message: str,
        *,
        environment: str,
        known: Sequence[str] = (),
        near_miss: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.environment = environment
        self.known: tuple[str, ...] = tuple(known)
        self.near_miss = near_miss


class StrategyImportError(ConfigError):
    """The class that a strategy table names cannot be imported or is no strategy.

    Attributes:
        expected: What would have been right, or ``None`` where the message says all.
        near_miss: The name that was probably meant.
    """

    def __init__(
        self, message: str, *, expected: str | None = None, near_miss: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.near_miss = near_miss


class RunDirectoryInUse(ConfigError):
    """Another run holds the run directory, and the environment asks for one run at a time.

    Attributes:
        folder: The run directory.
        holder: What the other run says of itself: ``env``, ``configuration_digest``, ``build``, ``pid``, ``host``.
    """

    def __init__(
        self, message: str, *, folder: str = "", holder: Mapping[str, object] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.folder = folder
        self.holder = dict(holder or {})


class AccountInUse(ConfigError):
    """Another run trades on the account, which one run may do at a time.

    Attributes:
        account: ``VENUE.ACCOUNT``.
        holder: What the other run says of itself: ``run``, ``pid``, ``host``, ``run_dir``.
    """

    def __init__(
        self, message: str, *, account: str = "", holder: Mapping[str, object] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.account = account
        self.holder = dict(holder or {})


class TradingStateError(ConfigError):
    """What an earlier run has left of halts and limits cannot be read, and nobody trades on a guess."""


class ParameterError(TickrailError, TypeError):
    """A strategy's parameters are unknown, missing or of a wrong type.

    Attributes:
        strategy: Name of the strategy's class.
        problems: All that is wrong; the ``path`` of each is the parameter, its ``origin`` the class.
    """

    exit_code = 78

    def __init__(
        self, message: str, *, strategy: str = "", problems: Sequence[Problem] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.strategy = strategy
        self.problems: tuple[Problem, ...] = tuple(problems)


class HandlerError(TickrailError, TypeError):
    """The handlers of a strategy's class have no meaning together, or none at all.

    Attributes:
        strategy: Name of the strategy's class.
        handlers: The methods that are meant.
    """

    exit_code = 78

    def __init__(
        self, message: str, *, strategy: str = "", handlers: Sequence[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.strategy = strategy
        self.handlers: tuple[str, ...] = tuple(handlers)


class WiringError(TickrailError):
    """The container cannot build what was asked for.

    Attributes:
        problems: All that is wrong with the graph, one line each.
    """

    exit_code = 78

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems: tuple[str, ...] = tuple(problems)


class ContainerClosed(WiringError):
    """The container was closed before."""


class NotInjected(WiringError, AttributeError):
    """A service was used before it was injected.

    Attributes:
        strategy: Name of the strategy's class.
        field: The field that was read.
    """

    def __init__(self, message: str, *, strategy: str = "", field: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.strategy = strategy
        self.field = field


class DataError(TickrailError):
    """Market data cannot be used."""


class TickFileError(DataError):
    """The file is no tick file, of another version, or damaged.

    Attributes:
        path: The file.
        problem: In one word: ``not_a_tick_file``, ``foreign_byte_order``, ``other_version``, ``truncated``,
            ``too_long``, ``header_damaged`` or ``records_damaged``.
    """

    def __init__(self, message: str, *, hint: str | None = None, path: str = "", problem: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.problem = problem


class BadRecord(DataError):
    """A record breaks the rules of the record, and the policy is to reject.

    Attributes:
        problem: The rule in one word, such as ``price_not_finite`` or ``key_backwards``.
        origin: The file or stream that the record came from.
        row: Its row there, by the source's own count.
        value: What broke the rule.
        counts: Bad records found so far, by problem.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        problem: str = "",
        origin: str = "",
        row: int = 0,
        value: str = "",
        counts: dict[str, int] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem
        self.origin = origin
        self.row = row
        self.value = value
        self.counts = counts or {}


class ImportFormatError(DataError):
    """The source does not have the layout that was named."""


class BootstrapFailed(TickrailError):
    """A start could not be completed; what was started has been undone, the last first."""


class ExecutionError(TickrailError):
    """What an execution adapter may raise."""


class OrderRejected(ExecutionError):
    """The venue said no, and that is final.

    Attributes:
        reason: In the venue's words.
    """

    def __init__(self, message: str, *, reason: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Throttled(ExecutionError):
    """The request was not sent: there were too many.

    Attributes:
        retry_after_ns: When it is worth trying again, from now.
    """

    def __init__(self, message: str, *, retry_after_ns: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_ns = retry_after_ns


class ConnectivityError(ExecutionError):
    """The connection is down: whether the last request arrived is not known."""


class Unsupported(ExecutionError):
    """The request was not sent: the adapter cannot do that.

    Attributes:
        capability: What it lacks.
    """

    def __init__(self, message: str, *, capability: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.capability = capability


class OrderRefused(TickrailError, ValueError):
    """The order was refused before it left the strategy."""


class TimerRefused(TickrailError, ValueError):
    """The timer was not set: a start in the past, too short an interval, a name that is taken, too many timers."""


class IllegalTransition(TickrailError):
    """The lifecycle does not allow this operation in the present state.

    Attributes:
        state: The present state.
        operation: What was asked.
        allowed: The operations that the state allows.
    """

    def __init__(
        self,
        message: str,
        *,
        state: str = "",
        operation: str = "",
        allowed: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.state = state
        self.operation = operation
        self.allowed: tuple[str, ...] = tuple(allowed)


class StateError(TickrailError):
    """What a strategy keeps from one life to the next cannot be read or written."""


class PublishError(TickrailError):
    """Some of the records that a publisher was given could not be brought.

    Attributes:
        taken: How many were dealt with, from the first on: published, or rejected and counted.
        offered: How many there were.
    """

    def __init__(self, message: str, *, taken: int = 0, offered: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.taken = taken
        self.offered = offered


class RingFull(PublishError):
    """No slot is free, and the feed's policy is to say so."""


class PublishTimeout(PublishError, TimeoutError):
    """No slot became free within the feed's time-out."""


class FeedError(TickrailError):
    """A live feed, or a publisher of it, cannot be had."""


class FeedClosed(PublishError, FeedError):
    """The feed or the publisher is closed, or the run is over: the source may end."""


class ForkedProcess(TickrailError, RuntimeError):
    """The run belongs to the parent process: a forked child has none of its threads."""


class WrongThread(TickrailError, RuntimeError):
    """The call belongs to the dispatch thread of the run."""


class LagExceeded(TickrailError):
    """The loop was farther behind its feeds than a strategy bears that must not lag; the strategy is FAILED."""


class HandlerStuck(TickrailError):
    """A handler did not return within ``runtime.handler_deadline_ns``, and was broken off."""

    def __init__(
        self,
        message: str = "the handler did not return within its deadline, and was broken off",
        *,
        hint: str | None = "runtime.handler_deadline_ns says how long a handler may take",
    ) -> None:
        super().__init__(message, hint=hint)


class SpawnTimedOut(TickrailError, TimeoutError):
    """A coroutine of ``Strategy.spawn`` took longer than a simulation waits; its strategy is FAILED.

    Or the async handler of a command that the loop has sent: a dead letter says so, and its receipt is cancelled.

    Attributes:
        strategy: Name of the strategy, of whose coroutine it was one.
        coroutine: Name of the coroutine.
        timeout_s: How long the loop waited.
    """

    def __init__(
        self,
        message: str,
        *,
        strategy: str = "",
        coroutine: str = "",
        timeout_s: float = 0.0,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.strategy = strategy
        self.coroutine = coroutine
        self.timeout_s = timeout_s


class RunFailed(TickrailError):
    """The run could not go on.

    Attributes:
        result: The partial result, where there is one.
    """

    def __init__(self, message: str, *, result: object | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.result = result


class RuntimeFault(TickrailError):
    """A defect of tickrail: a panic of the native core that was caught at the door."""
