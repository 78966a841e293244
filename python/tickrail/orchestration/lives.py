"""``Lives``: pause, resume, stop, fail and restart strategies from any thread, and hear of what becomes of them."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from tickrail._native import Lives as NativeLives
from tickrail._native import call_outside
from tickrail.domain.changes import StateChange
from tickrail.domain.context import IN_STEP
from tickrail.domain.near import did_you_mean
from tickrail.errors import IllegalTransition, ParameterError, WouldDeadlock, WrongThread
from tickrail.orchestration.io_thread import IoThread
from tickrail.strategy.lifecycle import Operation, State, allowed

__all__ = ["HookOverrun", "Lives", "PauseMode", "Receipt", "Standing"]

PauseMode: TypeAlias = Literal["no_new_orders", "no_ticks"]
OnChange: TypeAlias = Callable[[StateChange], object]

OPERATOR: Final = "an operator"
HOOK_DEADLINE_NS: Final = 5_000_000_000

logger = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True):
    """Where a strategy stands.

    Attributes:
        state: Its state.
        mode: How it is paused, if it is.
        stopping: Whether ``on_stop`` has run and it waits for its orders.
    """

    state: State
    mode: PauseMode | None
    stopping: bool


class HookOverrun(msgspec.Struct, frozen=True):
    """A hook that took longer than its deadline.

    Attributes:
        strategy: Whose.
        hook: ``on_start``, ``on_stop``, ``on_pause`` or ``on_resume``.
        ns: How long it had run by then.
        returned: Whether it has returned.
    """

    strategy: str
    hook: str
    ns: int
    returned: bool


class Start:
    """Looks at the beginning of a run.

    Attributes:
        failed: The strategy whose ``on_start`` raised.
    """

    def __init__(self, request_stop: Callable[[], None]) -> None:
        self.failed: str | None = None
        self._request_stop = request_stop
        self._again: set[str] = set()

    def look(self, change: StateChange) -> None:
        """A restart that fails is no failed start: the others go on."""
        if change.operation == Operation.RESTART.value:
            self._again.add(change.strategy)
        elif change.cause == "on_start raised" and change.strategy not in self._again and self.failed is None:
            self.failed = change.strategy
            self._request_stop()


Answer = TypeVar("Answer")


def harmless(callback: Callable[[Answer], object]) -> Callable[[Answer], None]:
    """``callback``, of which a failure is no concern of whoever brings the answer, whatever it raises.

    A future lets pass what is no ``Exception``, an ``asyncio.CancelledError`` say, and that would be the loop's.
    """

    def call(answer: Answer) -> None:
        try:
            callback(answer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            logger.exception("a done callback failed: %r", callback)

    return call


class Receipt(Future[State]):
    """The answer to a request: ``result()`` is the state reached, which is ``FAILED`` where a hook raised.

    ``result()`` raises ``IllegalTransition`` where the strategy had gone elsewhere meanwhile, and ``CancelledError``
    where a stop or a failure overtook the request. Equal requests that wait have the same receipt.
    """

    def __init__(self, lives: Lives) -> None:
        super().__init__()
        self._lives = lives
        self._is_outside = not lives._native.is_within()

    def settle(self, act: Callable[[], object]) -> None:
        """Let ``act`` give the answer: callbacks of another thread than the loop's ask and send as that thread does."""
        if self._is_outside:
            call_outside(act)
        else:
            act()

    def result(self, timeout: float | None = None) -> State:
        """Wait for it, at most ``timeout`` seconds.

        Raises:
            WrongThread: Called by a handler, which would wait for itself.
            WouldDeadlock: Called on the I/O thread, whose coroutines and orders would wait with it.
            IllegalTransition: The table had no such step from where the strategy stood by then.
            TimeoutError: It is still waiting.
        """
        self._check_wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The same, and what ``result`` would raise is returned."""
        self._check_wait()
        return super().exception(timeout)

    def _check_wait(self) -> None:
        if self.done():
            return
        if self._lives.dispatch_thread == threading.get_ident():
            raise WrongThread(
                "a handler cannot wait for what happens after its step", hint="add_done_callback, or look at it later"
            )
        if IN_STEP.get():
            raise WouldDeadlock(
                "the step of a life comes with the loop, which in a backtest waits for this coroutine",
                hint="ask for it in the callback of self.spawn, or do not wait for it",
            )
        if self._lives.io.is_current:
            raise WouldDeadlock(
                "the I/O thread must not wait for the step of a life", hint="await asyncio.wrap_future(receipt)"
            )

    def add_done_callback(self, fn: Callable[[Future[State]], object]) -> None:
        """Call ``fn`` with this receipt once there is an answer, or at once; what it raises is logged."""
        super().add_done_callback(harmless(fn))

    def cancel(self) -> bool:
        """Nothing that the loop was asked for is taken back; ask for the opposite."""
        return False


class Lives:
    """The lives of a run's strategies.

    Requests are taken between two steps of the loop; a stop overtakes a pause that waits, a failure overtakes all.

    Attributes:
        slow_hooks: Hooks that took longer than their deadline.
        dispatch_thread: Identity of the thread that runs the loop; ``None`` while none does.
        hook_deadline_ns: How long a hook may run before it is reported.
        io: Where coroutines run, which must not wait either.

    Thread safety: any thread; listeners are called on the dispatch thread, between two steps.
    """

    def __init__(self, native: NativeLives, strategies: Mapping[str, object], io: IoThread) -> None:
        self.io = io
        self.slow_hooks: deque[HookOverrun] = deque(maxlen=1_000)
        self.dispatch_thread: int | None = None
        self._process = os.getpid()
        self.hook_deadline_ns = HOOK_DEADLINE_NS
        self.watcher = _Watcher(self)
        self._native = native
        self._strategies = strategies
        self._lock = threading.Lock()
        self._receipts: dict[int, Receipt] = {}
        self._listeners: tuple[OnChange, ...] = ()

    def pause(self, name: str, *, mode: PauseMode = "no_new_orders", cause: str = OPERATOR) -> Receipt:
        """Pause a strategy.

        Args:
            name: Which.
            mode: ``no_new_orders``: ticks and timers flow, and only orders that reduce a position pass;
                ``no_ticks``: timers are held too, and a GAP record precedes the first tick afterwards.
            cause: Who asks, for the record.

        Raises:
            IllegalTransition: It is not running, or will not be by then.
        """
        return self.ask(name, Operation.PAUSE, mode=mode, cause=cause)

    def resume(self, name: str, *, cause: str = OPERATOR) -> Receipt:
        """Let a paused strategy go on."""
        return self.ask(name, Operation.RESUME, cause=cause)

    def stop(self, name: str, *, cause: str = OPERATOR) -> Receipt:
        """Stop a strategy: ``on_stop`` runs, and once its orders in flight are done, it is over."""
        return self.ask(name, Operation.STOP, cause=cause)

    def fail(self, name: str, *, cause: str) -> Receipt:
        """Declare a strategy failed: its orders are taken back, no hook runs."""
        return self.ask(name, Operation.FAIL, cause=cause)

    def restart(self, name: str, *, cause: str = OPERATOR) -> Receipt:
        """Stop a strategy and start a new object of its class, with the state that it saved.

        Raises:
            IllegalTransition: It was handed over as an object, which lives once, or the run is over.
        """
        return self.ask(name, Operation.RESTART, cause=cause)

    def ask(self, name: str, operation: Operation, *, mode: PauseMode = "no_new_orders", cause: str) -> Receipt:
        """Ask for any operation; see the others."""
        number = self._number(name)
        if operation is Operation.RESTART:
            self._require_renewable(name)
        with self._lock:
            ticket, overtaken = self._native.ask(number, name, operation.value, mode, cause)
            beaten = [receipt for one in overtaken if (receipt := self._receipts.pop(one, None))]
            receipt = self._receipts.setdefault(ticket, Receipt(self)) if ticket else Receipt(self)
        for one in beaten:
            one.settle(partial(Future.cancel, one))
            one.set_running_or_notify_cancel()
        if not ticket:
            receipt.set_result(self.standing(name).state)
        return receipt

    def standing(self, name: str) -> Standing:
        """Where a strategy stands."""
        state, mode, stopping = self._native.state(self._number(name))
        return Standing(State[state], mode, stopping)  # type: ignore[arg-type]

    @property
    def changes(self) -> tuple[StateChange, ...]:
        """Every step of every life so far, in the order taken (the last 65,536)."""
        names = list(self._strategies)
        return tuple(StateChange(names[row[0]], *row[1:]) for row in self._native.changes())

    def listen(self, listener: OnChange) -> None:
        """Call ``listener`` with each change from now on; what it raises is logged, and no concern of the run's."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            self._native.tell_changes(True)

    @property
    def asked(self) -> int:
        """How many requests wait for the loop."""
        return len(self._receipts)

    def running_hook(self) -> HookOverrun | None:
        """The hook that runs at this moment, with its age."""
        found = self._native.hook()
        return None if found is None else HookOverrun(self._name(found[0]), found[1], found[2], returned=False)

    @contextmanager
    def whole_start(self, request_stop: Callable[[], None]) -> Iterator[Start]:
        """While the block runs, a strategy whose ``on_start`` raises stops the run: all start or none does."""
        self.watcher.start = start = Start(request_stop)
        self._native.tell_changes(True)
        try:
            yield start
        finally:
            with self._lock:
                self.watcher.start = None
                self._native.tell_changes(bool(self._listeners))

    @contextmanager
    def dispatching(self) -> Iterator[None]:
        """While this thread runs the loop.

        Raises:
            IllegalTransition: One runs it already.
        """
        with self._lock:
            self.refuse_second()
            self.dispatch_thread = threading.get_ident()
        try:
            yield
        finally:
            self.dispatch_thread = None

    def refuse_second(self) -> None:
        """Refuse to drive a run that goes on: whose end it would be is not for whoever comes second.

        A forked child, where nobody does, is refused by the native side, as for all else.

        Raises:
            IllegalTransition: A thread runs the loop.
        """
        if self.dispatch_thread is not None and self._process == os.getpid():
            raise IllegalTransition(
                "the run is going on: a run runs once",
                state="running",
                operation="run",
                hint="request_stop() ends it, and whoever runs it has its result",
            )

    def _number(self, name: str) -> int:
        for number, known in enumerate(self._strategies):
            if known == name:
                return number
        near = did_you_mean(name, self._strategies)
        raise ParameterError(f"no strategy '{name}' in this run{near}", strategy=name)

    def _name(self, number: int) -> str:
        return list(self._strategies)[number]

    def _require_renewable(self, name: str) -> None:
        if name not in self.watcher.renewable:
            state = self.standing(name).state
            raise IllegalTransition(
                f"cannot restart strategy {name}: it was handed over as an object, which lives once",
                state=state.name,
                operation="restart",
                allowed=[one.value for one in allowed(state) if one is not Operation.RESTART],
                hint="register its class: a configuration does, and so does renew=...",
            )


class _Watcher:
    """What the native loop calls, on the dispatch thread, between two steps."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self.renewable: set[str] = set()
        self.start: Start | None = None

    def changed(self, number: int, position: int, ts_ns: int, *rest: Any) -> None:
        lives = self._lives
        change = StateChange(lives._name(number), position, ts_ns, *rest)
        if self.start is not None:
            self.start.look(change)
        for listener in lives._listeners:
            try:
                listener(change)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:
                logger.exception("a listener failed on %s", change)

    def settled(self, ticket: int, number: int, outcome: str, state: str) -> None:
        with self._lives._lock:
            receipt = self._lives._receipts.pop(ticket, None)
        if receipt is None:
            return
        if outcome == "done":
            receipt.settle(lambda: receipt.set_result(State[state]))
            return
        why = "the run is over" if outcome == "over" else f"it is {state} by now"
        names = [one.value for one in allowed(State[state])]
        name = self._lives._name(number)
        refusal = IllegalTransition(f"strategy {name}: {why}", state=state, allowed=names)
        receipt.settle(lambda: receipt.set_exception(refusal))

    def hook_took(self, number: int, hook: str, ns: int) -> None:
        if ns > self._lives.hook_deadline_ns:
            overrun = HookOverrun(self._lives._name(number), hook, ns, returned=True)
            self._lives.slow_hooks.append(overrun)
            logger.warning("strategy %s: %s took %.1f s", overrun.strategy, hook, ns / 1e9)
