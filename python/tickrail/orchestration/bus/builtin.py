"""The handlers of the built-in commands: what an operator, or a strategy, does to a run."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NoReturn

from msgspec import UnsetType

from tickrail._native import LIMIT_KEYS, CommandLanes, Operations
from tickrail.domain import commands as c
from tickrail.domain.near import did_you_mean
from tickrail.errors import CommandRefused, IllegalTransition, OrderRefused, ParameterError
from tickrail.orchestration.bus import refusals
from tickrail.orchestration.bus.owners import Owners
from tickrail.orchestration.bus.step_end import Waiter
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.lives import Lives, harmless
from tickrail.strategy.compiled.form import is_compiled
from tickrail.strategy.lifecycle import State
from tickrail.strategy.strategy import Strategy, parameters_of, schema, update_parameters

__all__ = ["BuiltIn", "opened"]

CAUSE: Final = "a command"
MAX_NUMBER: Final = 2**32 - 1
"""No strategy has an order with a larger one."""
UNANSWERED: Final = "orders that were taken back have not ended: their venue has not answered"


def opened(
    lanes: CommandLanes,
    operations: Operations,
    *,
    io: IoThread,
    strategies: dict[str, Strategy],
    lives: Lives,
    instruments: tuple[str, ...],
    request_stop: Callable[[], object],
    waiter: Waiter,
    owners: Owners,
) -> tuple[CommandBus, BuiltIn]:
    """The bus of a run, with the built-in commands; see ``BuiltIn`` for the arguments. Before the run begins."""

    def number(name: str) -> int | None:
        return next((number for number, known in enumerate(strategies) if known == name), None)

    bus = CommandBus(lanes, io=io, strategy_number=number, owners=owners)
    bus.schedule_by(lanes)
    bus.wait_in_steps(waiter)
    # Weak: the native loop holds the waiter, and would hold itself by these.
    bus_of, lives_of = weakref.ref(bus), weakref.ref(lives)

    def asked() -> int:
        bus, lives = bus_of(), lives_of()
        if bus is None or lives is None:
            return 0
        sent: Any = bus._lanes  # the native ones, which no reference can be weak to
        waiting: int = sum(waiting for _, _, waiting in sent.stats())
        return waiting + lives.asked

    waiter.asked = asked
    lanes.receive(bus)
    built_in = BuiltIn(bus, operations, strategies, lives, io, instruments=instruments, request_stop=request_stop)
    return bus, built_in


class BuiltIn:
    """Handlers over one run. All run on the dispatch thread.

    Args:
        bus: Where they are registered, and where events of theirs are published.
        operations: What natively does it.
        strategies: By name, in the order of registration.
        lives: Theirs.
        io: What async handlers and coroutines run on.
        instruments: Ids, in the order of the run's table.
        request_stop: Asks the run to stop; the rerun of a live one ends with its recording.

    Attributes:
        operations: As given; replaced where the state of trading is to be kept.
        stop_reason: Why the run is to stop, as somebody said who wanted it.
    """

    def __init__(
        self,
        bus: CommandBus,
        operations: Operations,
        strategies: dict[str, Strategy],
        lives: Lives,
        io: IoThread,
        *,
        instruments: tuple[str, ...],
        request_stop: Callable[[], object],
    ) -> None:
        self._bus, self._io = bus, io
        self.operations = operations
        self._strategies = strategies
        self._lives = lives
        self._instruments = instruments
        self._request_stop = request_stop
        self.stop_reason = ""
        handlers: dict[type[c.Command], Callable[[Any], Any]] = {
            c.PauseStrategy: self.pause,
            c.ResumeStrategy: self.resume,
            c.StopStrategy: self.stop,
            c.RestartStrategy: self.restart,
            c.CancelOrder: self.cancel_order,
            c.CancelAllOrders: self.cancel_all,
            c.ClosePositions: self.close_positions,
            c.UpdateParameters: self.update_parameters,
            c.SetLimits: self.set_limits,
            c.Halt: self.halt,
            c.ResumeTrading: self.resume_trading,
            c.Shutdown: self.shutdown,
            c.Snapshot: self.snapshot,
        }
        for command, handler in handlers.items():
            bus.register(command, handler)

    def pause(self, command: c.PauseStrategy) -> Future[dict[str, Any]]:
        """The state reached."""
        number = self._number(command, command.strategy)
        answer = _reached(
            command, lambda: self._lives.pause(command.strategy, mode=command.mode, cause=CAUSE), self._bus.forbid
        )
        if command.cancel:
            self.operations.cancel_all(number)
        return answer

    def resume(self, command: c.ResumeStrategy) -> Future[dict[str, Any]]:
        """The state reached."""
        self._number(command, command.strategy)
        return _reached(command, lambda: self._lives.resume(command.strategy, cause=CAUSE), self._bus.forbid)

    def stop(self, command: c.StopStrategy) -> Future[dict[str, Any]]:
        """The state reached, and what is still open of its orders, where a venue has not answered."""
        number = self._number(command, command.strategy)
        ask = partial(self._lives.stop, command.strategy, cause=CAUSE)
        return _reached(command, ask, self._bus.forbid, partial(self._left_open, number))

    def restart(self, command: c.RestartStrategy) -> Future[dict[str, Any]]:
        """The state reached, FAILED where the new object did not start; and what is open of the old one's orders."""
        number = self._number(command, command.strategy)
        ask = partial(self._lives.restart, command.strategy, cause=CAUSE)
        return _reached(command, ask, self._bus.forbid, partial(self._left_open, number))

    def _left_open(self, number: int) -> dict[str, Any]:
        count = self.operations.open_before(number)
        return {"open_orders": count, "waiting": UNANSWERED} if count else {}

    def cancel_order(self, command: c.CancelOrder) -> dict[str, Any]:
        """Whether the order was open."""
        number = self._number(command, command.strategy)
        if not 0 <= command.order <= MAX_NUMBER:
            _refuse(command, "unknown_order", f"strategy {command.strategy} has no order {command.order}")
        try:
            was_open = self.operations.cancel(number, command.strategy, command.order)
        except OrderRefused as error:
            _refuse(command, "unknown_order", error.message)
        if not was_open and (state := self._over(command.strategy)) is not None:
            message = f"strategy {command.strategy} is {state.name}, and its order {command.order} is not open"
            _refuse(command, "stopped", message)
        return {"was_open": was_open}

    def cancel_all(self, command: c.CancelAllOrders) -> dict[str, Any]:
        """How many orders are taken back."""
        orders = self.operations.cancel_all(*self._which(command, command.strategy, command.instrument))
        self._refuse_in_vain(command, command.strategy, command.instrument, orders, "has no open order")
        return {"orders": orders}

    def close_positions(self, command: c.ClosePositions) -> Future[dict[str, Any]]:
        """How many orders it takes; what was sent, by strategy and instrument, and what the gate has refused, and why.

        The gate judges at the end of the step, and so this is answered after it.
        """
        if self.operations.trading == "HALTED":
            _refuse(command, "halted", "trading is halted, so no position can be closed", hint="ResumeTrading first")
        made = self.operations.close(*self._which(command, command.strategy, command.instrument))
        self._refuse_in_vain(command, command.strategy, command.instrument, len(made), "holds nothing to be closed")
        answer = Later(self._bus.forbid)
        self._bus.after_step(
            lambda: answer.set_result(self._closing(made)),
            abandoned=lambda: answer.set_exception(refusals.over_before_answer(type(command).__name__)),
        )
        return answer

    def _closing(self, made: list[tuple[int, int, str, float]]) -> dict[str, Any]:
        names = list(self._strategies)
        sent: dict[str, dict[str, float]] = {}
        refused: dict[str, dict[str, str]] = {}
        for strategy, number, instrument, quantity in made:
            why = self.operations.refusal(strategy, number)
            if why is None:
                sent.setdefault(names[strategy], {})[instrument] = quantity
            else:
                refused.setdefault(names[strategy], {})[instrument] = f"order {number} of {quantity:g}: {why}"
        return {"orders": len(made), "sent": sent, **({"refused": refused} if refused else {})}

    def _refuse_in_vain(
        self, command: c.Command, strategy: str | None, instrument: str | None, orders: int, what: str
    ) -> None:
        """Refuse what was asked of a strategy that is over and has nothing left; one that has is operated as any."""
        if orders == 0 and strategy is not None and (state := self._over(strategy)) is not None:
            where = "" if instrument is None else f" in {instrument}"
            _refuse(command, "stopped", f"strategy {strategy} is {state.name}, and {what}{where}")

    def _over(self, strategy: str) -> State | None:
        """The state of a strategy that takes no more ticks."""
        state = self._lives.standing(strategy).state
        return state if state in (State.STOPPED, State.FAILED) else None

    def update_parameters(self, command: c.UpdateParameters) -> dict[str, Any]:
        """The parameters afterwards, as JSON has them: secrets masked."""
        number = self._number(command, command.strategy)
        if (state := self._over(command.strategy)) is not None:
            message = f"strategy {command.strategy} is {state.name}, and what is changed now would be lost"
            _refuse(command, "stopped", message, hint="RestartStrategy first")
        strategy = self._strategies[command.strategy]
        if is_compiled(type(strategy)):
            _refuse(command, "invalid_parameter", "the parameters of a compiled strategy are part of its code")
        known = schema(type(strategy))
        for name in command.params:
            if name in known.services:
                _refuse(command, "invalid_parameter", f"{name} is a service, which the container gives")
        try:
            values = known.validate({**parameters_of(strategy), **command.params})
        except ParameterError as error:
            _refuse(command, "invalid_parameter", error.message)
        changed = {name: values[name] for name in command.params}
        update_parameters(strategy, changed)
        answer = {"parameters": {name: known.parameters[name].plain(value) for name, value in changed.items()}}
        # What its handler raises is none of the sender's; and what a subscriber does with its event is none of its own.
        self.operations.tell(number, c.ParametersUpdated(command.strategy, dict(changed)))
        self._bus.publish(c.ParametersUpdated(command.strategy, changed))
        return answer

    def set_limits(self, command: c.SetLimits) -> dict[str, Any]:
        """The limits afterwards. What cannot be kept for the next process is refused, and the limits stay."""
        before = {} if command.table is None else self._set_table(command, command.table)
        quantity = command.max_order_quantity
        most = None if isinstance(quantity, UnsetType) else math.inf if quantity is None else quantity
        try:
            rows = [(command.table or "", key, value) for key, value in command.limits.items()]
            self.operations.keep_limits(most, rows)
        except OSError as error:
            self._set_all(command.table or "", before)
            _refuse_unkept(command, error)
        if most is not None:
            self.operations.set_max_order_quantity(most)
        answer: dict[str, Any] = {}
        if command.table is not None:
            self._bus.publish(c.LimitsChanged(command.table, before, dict(command.limits)))
            answer = {"limits": self.operations.limits()[command.table]}
        return {"max_order_quantity": self._max_order_quantity(), **answer}

    def _max_order_quantity(self) -> float | None:
        limit = self.operations.max_order_quantity
        return None if limit == math.inf else limit

    def _set_table(self, command: c.SetLimits, table: str) -> dict[str, float | None]:
        """What they were: all of them are set or none."""
        tables = self.operations.limits()
        if table not in tables:
            _refuse(command, "unknown_limits", f"no table of limits '{table}' in this run{did_you_mean(table, tables)}")
        for key in command.limits:
            if key not in LIMIT_KEYS:
                _refuse(command, "unknown_limit", f"there is no limit '{key}'{did_you_mean(key, LIMIT_KEYS)}")
        before = {key: tables[table].get(key) for key in command.limits}
        try:
            self._set_all(table, command.limits)
        except ValueError as error:
            self._set_all(table, before)
            _refuse(command, "invalid_limit", str(error))
        return before

    def _set_all(self, table: str, limits: dict[str, float | None]) -> None:
        for key, value in limits.items():
            self.operations.set_limit(table, key, value)

    def halt(self, command: c.Halt) -> dict[str, Any]:
        """The state of trading, and how many orders are taken back; a halt is never weakened."""
        before = self.operations.trading
        if before != "HALTED":
            self.operations.set_trading("REDUCING" if command.reduce else "HALTED")
        # Who halts once more and says no reason takes none away.
        says = command.reason != "" or self.operations.trading != before
        reason = command.reason if says else self.operations.reason
        orders = self.operations.cancel_all()  # before what may fail
        kept: dict[str, Any]
        try:
            kept = {"persisted": self.operations.keep_halt(reason)}
        except OSError as error:
            kept = {"persisted": False, "problem": str(error)}
        return {**self._changed(reason), **kept, "orders": orders}

    def resume_trading(self, command: c.ResumeTrading) -> dict[str, Any]:
        """The state of trading, which stays as it is where that cannot be kept for the next process."""
        try:
            self.operations.keep_resumed(command.reason)
        except OSError as error:
            _refuse_unkept(command, error)
        self.operations.set_trading("ACTIVE")
        self.operations.resume_strategies()
        return self._changed(command.reason)

    def shutdown(self, command: c.Shutdown) -> dict[str, Any]:
        """That the run stops, after this step; the first reason that is said is the result's."""
        self.stop_reason = self.stop_reason or command.reason
        self._request_stop()
        return {"stopping": True, "reason": command.reason}

    def snapshot(self, _: c.Snapshot) -> dict[str, Any]:
        """Where everything stands."""
        position, now_ns, rows = self.operations.snapshot()
        return {
            "position": position,
            "now_ns": now_ns,
            "trading": self.operations.trading,
            "reason": self.operations.reason,
            "limits": {"max_order_quantity": self._max_order_quantity(), **self.operations.limits()},
            "strategies": {
                name: {
                    **self._state(name, state),
                    "trading": trading,
                    "open_orders": open_orders,
                    "positions": dict(positions),
                }
                for name, trading, (state, open_orders, positions) in zip(
                    self._strategies, self.operations.trading_by_strategy(), rows, strict=True
                )
            },
            "dead_letters": dict(self._bus.dead_letter_counts),
            "io_thread": {"stuck_in": self._io.stuck_in},
        }

    def _state(self, name: str, state: str) -> dict[str, Any]:
        """With what is held back, and whether it waits for its last orders, where that is the question."""
        standing = self._lives.standing(name)
        if standing.stopping:
            return {"state": state, "stopping": True}
        mode = standing.mode if state == "PAUSED" else None
        return {"state": state} if mode is None else {"state": state, "mode": mode}

    def _changed(self, reason: str) -> dict[str, Any]:
        state: Any = self.operations.trading
        self._bus.publish(c.TradingChanged(state, reason))
        return {"trading": state}

    def _number(self, command: c.Command, name: str) -> int:
        names = list(self._strategies)
        if name not in names:
            _refuse(command, "unknown_strategy", f"no strategy '{name}' in this run{did_you_mean(name, names)}")
        return names.index(name)

    def _which(self, command: c.Command, strategy: str | None, instrument: str | None) -> tuple[int | None, int | None]:
        if instrument is not None and instrument not in self._instruments:
            near = did_you_mean(instrument, self._instruments)
            _refuse(command, "unknown_instrument", f"no instrument '{instrument}' in this run{near}")
        return (
            None if strategy is None else self._number(command, strategy),
            None if instrument is None else self._instruments.index(instrument),
        )


class Later(Future[dict[str, Any]]):
    """An answer that comes after the step.

    Args:
        forbid: Refuses a wait for it.
    """

    def __init__(self, forbid: Callable[[], None]) -> None:
        super().__init__()
        self._forbid = forbid

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for it, at most ``timeout`` seconds.

        Raises:
            WouldDeadlock: Called by a handler, or by what the loop waits for.
        """
        self._check_wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The same, and what ``result`` would raise is returned."""
        self._check_wait()
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[dict[str, Any]]], object]) -> None:
        """Call ``fn`` with this future once there is an answer, or at once; what it raises is logged."""
        super().add_done_callback(harmless(fn))

    def _check_wait(self) -> None:
        if not self.done():
            self._forbid()


def _reached(
    command: c.Command,
    ask: Callable[[], Future[State]],
    forbid: Callable[[], None],
    more: Callable[[], dict[str, Any]] = dict,
) -> Future[dict[str, Any]]:
    """The state in which what was asked for ends, once it does, and ``more``; what is illegal by then is refused."""
    answer = Later(forbid)
    name = type(command).__name__

    def settle(receipt: Future[State]) -> None:
        if receipt.cancelled():
            message = f"{name}: a stop or a failure has overtaken it"
            answer.set_exception(CommandRefused(message, reason="overtaken", command=name))
        elif (error := receipt.exception()) is not None:  # whatever it is: who waits is not left without an answer
            answer.set_exception(_illegal(name, error) if isinstance(error, IllegalTransition) else error)
        else:
            answer.set_result({"state": receipt.result().name, **more()})

    try:
        ask().add_done_callback(settle)
    except IllegalTransition as error:
        raise _illegal(name, error) from None
    return answer


def _illegal(name: str, error: IllegalTransition) -> CommandRefused:
    return CommandRefused(f"{name}: {error.message}", reason="illegal_transition", command=name, hint=error.hint)


def _refuse_unkept(command: c.Command, error: OSError) -> NoReturn:
    message = f"nothing has changed, as it cannot be kept for the next process: {error}"
    _refuse(command, "not_kept", message, hint="make room, or let this user write there, and ask again")


def _refuse(command: c.Command, reason: str, message: str, *, hint: str | None = None) -> NoReturn:
    name = type(command).__name__
    raise CommandRefused(f"{name}: {message}", reason=reason, command=name, hint=hint)
