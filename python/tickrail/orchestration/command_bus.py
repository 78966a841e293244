"""``CommandBus``: commands to exactly one handler, events to many subscribers, from any thread.

Sync handlers run on the dispatch thread, between two steps, where they may touch whatever strategies may; async ones on
the I/O thread. A command from another thread takes a lane to the loop (:class:`tickrail.domain.commands.Lane`), gets a
loop position there and is recorded; one that a handler sends takes effect at the end of its step.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn

from tickrail._native import CommandBusCore, CommandPlan, Envelope
from tickrail.domain.commands import CancelScheduled, Command, Event, ScheduleCommand
from tickrail.domain.context import IN_STEP, TRACE
from tickrail.errors import (
    CommandError,
    CommandInvalid,
    CommandTimeout,
    NotRunning,
)
from tickrail.orchestration.bus import callables, refusals
from tickrail.orchestration.bus.coroutines import Coroutines
from tickrail.orchestration.bus.events import Subscribers, Unsubscribe
from tickrail.orchestration.bus.letters import DEAD_LETTERS, KEYS, Answered, DeadLetter, DeadLetters, Reason
from tickrail.orchestration.bus.owners import Owners
from tickrail.orchestration.bus.receipt import Receipt
from tickrail.orchestration.bus.rerun import Rerun
from tickrail.orchestration.bus.routes import Handler, Middleware, Route, Routes, compiled, encode, place_of_caller
from tickrail.orchestration.bus.schedule import Schedule, Scheduled, Timers
from tickrail.orchestration.bus.step_end import AfterStep, StepEnd, Waiter, waits_for_itself
from tickrail.orchestration.bus.way import CALLED_BACK, ELSEWHERE, FULL, NO_RUN, ON_IT, OVER, Lanes, here
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.tracing import is_traced, span

__all__ = ["CommandBus"]


class CommandBus(CommandBusCore):
    """Where commands are sent, and where their handlers are registered.

    Without lanes there is no loop to wait for: handlers run at once, on the caller's thread, as in a unit test.

    Args:
        lanes: The way to the loop.
        io: Where async handlers run; one of its own, started when first needed, if not given.
        strategy_number: The number of a strategy within the run, by its name; ``None`` for none.
        dead_letters: How many dead letters are kept.
        keys: How many idempotency keys are known.
        owners: Tells which strategy registers.

    Thread safety: ``register`` and ``use`` before the run begins; all else from any thread.
    """

    def __init__(
        self,
        lanes: Lanes | None = None,
        *,
        io: IoThread | None = None,
        strategy_number: Callable[[str], int | None] = lambda _: None,
        dead_letters: int = DEAD_LETTERS,
        keys: int = KEYS,
        owners: Owners | None = None,
    ) -> None:
        self._lanes, self._owns_io = lanes, io is None
        self._io = io if io is not None else IoThread(name="tickrail-commands")
        self._strategy_number = strategy_number
        self._routes, self._owners = Routes(), owners or Owners({}, lambda: None)
        self._middleware: list[Middleware] = []
        self._subscribers = Subscribers(self._hearers)
        self._not_heard = self._subscribers.not_heard  # the native side says so
        self._letters, self._answered = DeadLetters(dead_letters), Answered(keys)
        self._failed = self._letters.failed  # the native side says so
        self._standing: Callable[[], int] = here if lanes is None else lanes.standing
        self._schedule: Schedule | None = None
        self._rerun = Rerun(self._letters, self._io)
        self._later: dict[int, Envelope] = {}  # whose handler answered with what is still to come
        self._coroutines = Coroutines(
            self, self._io, lanes=lanes, standing=self._standing, letters=self._letters, rerun=self._rerun
        )

    # ---- who handles what --------------------------------------------------------------------------------------

    def register(self, command: type[Command], handler: Handler) -> None:
        """Let ``handler`` handle commands of the class ``command``: exactly one may.

        Args:
            command: A class derived from ``Command``.
            handler: A function of the command, or a coroutine function, which then runs on the I/O thread.

        What a strategy registers in ``on_start`` is its own, as its methods are: once restarted, it may again.

        Raises:
            DuplicateHandler: There is one already; the message names both places.
        """
        owner = self._owners.of(handler, on_loop=self._standing() == ON_IT)
        self._prepare(self._routes.add(Route(command, handler, place_of_caller(), owner)))

    def use(self, middleware: Middleware) -> None:
        """Let ``middleware(command, call_next)`` run around every handler, the first one used outermost.

        It runs where the handler runs; around an async handler ``call_next`` returns an awaitable.
        """
        self._middleware.append(callables.called(middleware, "a middleware"))
        for route in self._routes.by_type.values():
            self._prepare(route)

    def _prepare(self, route: Route) -> None:
        """Put together what each command of the type needs, and nothing that it does not."""
        route.call = call = compiled(route.handler, self._middleware)
        self._plans.pop(route.type, None)
        if not route.is_async and issubclass(route.type, Command):
            check, number = route.check and route.checked, self._number_of if route.takes_strategy else None
            self._plans[route.type] = CommandPlan(route, call, check, encode, route.decode, number)

    def _number_of(self, command: Any) -> int | None:
        return self._strategy_number(command.strategy or "")

    def subscribe(self, event: type[Event], subscriber: Callable[[Any], object]) -> Unsubscribe:
        """Let ``subscriber`` hear of each event of exactly this class, the last; a strategy's own ends with it."""
        self._route_of(event)
        undo = self._subscribers.add(event, subscriber)
        return self._owners.ending(subscriber, undo, on_loop=self._standing() == ON_IT)

    # ---- sending -----------------------------------------------------------------------------------------------

    def _execute(
        self, command: Command, timeout_s: float, key: str | None, expires_s: float | None, wait_s: float
    ) -> Any:
        """What ``execute`` does where the handler is not called within the present step."""
        route = self._routes.of(command)
        receipt = self._receipt(route, key)
        began = 0.0
        if wait_s > 0.0:
            if (refusal := self._refusal(route)) is not None:  # whoever may not wait does not wait for room either
                raise refusal
            wait_s, began = min(wait_s, timeout_s), time.monotonic()
        self._send(route, command, key, expires_s, receipt, wait_s=wait_s, at_once=self._standing() == ON_IT)
        left_s = timeout_s - (time.monotonic() - began) if wait_s > 0.0 else timeout_s
        return self._wait(route, receipt, left_s, told_s=timeout_s)

    async def execute_async(
        self,
        command: Command,
        *,
        timeout_s: float | None = None,
        key: str | None = None,
        expires_s: float | None = None,
        wait_s: float = 0.0,
    ) -> Any:
        """The same for asyncio code, on any loop; cancelling the wait takes the command back if it had no turn yet.

        Waiting for room keeps neither the loop nor a thread.
        """
        route = self._routes.of(command)
        if not route.is_async and IN_STEP.get():
            raise waits_for_itself(route.name)
        plain = key is None and timeout_s is None and expires_s is None and not self._closed
        if route.is_async and plain and self._io.is_current:
            command = route.admitted(command)
            # Not by `Coroutines`: a coroutine more is a quarter of the way.
            token = TRACE.set(self._trace())
            try:
                if is_traced():
                    with span(route.span_name):
                        return await route.call(command)
                return await route.call(command)
            finally:
                TRACE.reset(token)
        if not route.is_async and key is None and self._standing() == ON_IT:
            return self.execute(command)
        from tickrail.orchestration.bus.bridge import awaited  # late, as asyncio is: most runs need neither

        receipt = self._receipt(route, key)

        async def answer() -> Any:
            if wait_s > 0.0 and self._lanes is not None and not route.is_async and self._standing() != ON_IT:
                await self._send_with_patience(route, command, receipt, key=key, expires_s=expires_s, wait_s=wait_s)
            else:
                self._send(route, command, key, expires_s, receipt)
            return await awaited(receipt)

        if timeout_s is None:
            return await answer()
        import asyncio

        try:
            return await asyncio.wait_for(answer(), timeout_s)
        except TimeoutError:
            if receipt.done() and not receipt.cancelled():  # the handler's own, or it was just answered
                return receipt.result()
            raise refusals.late(route, timeout_s, is_begun=receipt.begun() and not receipt.done()) from None

    def submit(
        self, command: Command, *, key: str | None = None, expires_s: float | None = None, wait_s: float = 0.0
    ) -> Receipt:
        """Send ``command`` and return its receipt at once.

        Args:
            command: What to do.
            key: See ``execute``; each who sends takes back its own receipt, and the last one the command.
            expires_s: See ``execute``.
            wait_s: How long to wait for room in the lane.

        Raises:
            LaneFull: There is no room.
            ShuttingDown: The run is over.
            CommandInvalid: A field is wrong.
        """
        route = self._routes.of(command)
        receipt = self._receipt(route, key)
        self._send(route, command, key, expires_s, receipt, wait_s=wait_s)
        return receipt

    def _post(self, command: Command, expires_s: float | None, wait_s: float) -> None:
        """What ``post`` does where there is more to it than a place in a lane."""
        self._send(self._routes.of(command), command, None, expires_s, None, wait_s=wait_s)

    def schedule_by(self, timers: Timers) -> None:
        """Let commands be scheduled on ``timers``, the loop's clock. Before the run begins."""
        self._schedule = schedule = Schedule(timers, self._due)
        self.register(ScheduleCommand, schedule.set)
        self.register(CancelScheduled, schedule.cancel)

    def after_step(self, act: Callable[[], object], *, abandoned: Callable[[], object]) -> None:
        """Call ``act`` when what the present step has asked for so far is done; ``abandoned`` where the run ends first.

        Dispatch thread only.
        """
        assert self._lanes is not None, "there are steps"
        route: Any = AfterStep(act, abandoned)
        self._lanes.later(self._envelope(route, None, None, None))

    def wait_in_steps(self, waiter: Waiter) -> None:
        """Wait as ``waiter`` says, at the end of each step, for async commands sent in it. Before the run begins."""
        self._rerun.waiter = waiter

    def schedule_at(self, ts_ns: int, command: Command) -> Scheduled:
        """Send ``command`` when the loop's clock comes to ``ts_ns``, in a step of its own; at or before now: the next.

        The scheduling is a command too: from another thread it has its turn, and is recorded. What goes wrong with
        ``command`` when it is handled becomes a dead letter.

        Raises:
            NotRunning: The bus has no clock.
            CommandInvalid: A field of ``command`` is wrong.
            TimerRefused: On the dispatch thread; elsewhere ``scheduled.receipt`` raises it.
        """
        return self._scheduled(command, at_ns=ts_ns)

    def schedule_after(self, delay_ns: int, command: Command) -> Scheduled:
        """Send ``command`` so long after this has its turn; see ``schedule_at``."""
        return self._scheduled(command, after_ns=delay_ns)

    def schedule_every(
        self, interval_ns: int, command: Command, *, start_ns: int | None = None, end_ns: int | None = None
    ) -> Scheduled:
        """Send ``command`` every ``interval_ns`` (at least 1_000), first at ``start_ns`` and only before ``end_ns``.

        Without ``start_ns`` the first is one interval after this has its turn; see ``schedule_at``.
        """
        if interval_ns == 0:  # which would be once, and at once
            raise CommandInvalid("schedule_every: interval_ns is 0: expected at least 1_000")
        return self._scheduled(command, interval_ns=interval_ns, start_ns=start_ns, end_ns=end_ns)

    def _scheduled(self, command: Command, **when: Any) -> Scheduled:
        if self._schedule is None:
            raise NotRunning("this bus has no clock to schedule on", hint="that of a run has: dispatcher.commands")
        payload, _ = self._routes.of(command).taken(command)
        local = self._standing() == ON_IT
        wanted = ScheduleCommand(self._schedule.name(local=local), payload, **when)
        if local:
            self._routes.of(wanted).taken(wanted)
            self.execute(wanted)
            return Scheduled(wanted.id, None, self._at_once)
        return Scheduled(wanted.id, self.submit(wanted), self._at_once)

    def _at_once(self, command: Command) -> None:
        (self.execute if self._standing() == ON_IT else self.post)(command)

    def _due(self, payload: bytes) -> None:
        """The clock has come to a scheduled command."""
        route, command = self._routes.of_payload(payload)
        envelope = self._envelope(route, command, None, None)
        if route.is_async:
            with contextlib.suppress(CommandError):  # which is a dead letter
                self._coroutines.begin(route, envelope)
        else:
            self.handle(envelope)

    def _publish(self, event: Event) -> None:
        """What ``publish`` does on other threads."""
        self._send(self._route_of(type(event)), event, None, None, None)

    def _route_of(self, event: type[Event]) -> Route:
        if (route := self._routes.by_type.get(event)) is None:
            route = Route(event, self._subscribers.tell, place_of_caller(3))
            self._routes.add(route)
        return route

    # ---- what became of them -----------------------------------------------------------------------------------

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Commands that came to nothing, the oldest first (the last 1,024)."""
        return self._letters.kept()

    @property
    def dead_letter_counts(self) -> Mapping[Reason, int]:
        """How many there were in all, by reason."""
        return dict(self._letters.counts)

    def close(self) -> None:
        """Take no more commands. Idempotent; what waits in the lanes is told when the loop ends."""
        self._closed = True
        if self._owns_io:
            self._io.close()

    # ---- the way there -----------------------------------------------------------------------------------------

    def _send(
        self,
        route: Route,
        command: Any,
        key: str | None,
        expires_s: float | None,
        receipt: Receipt | None,
        *,
        wait_s: float = 0.0,
        at_once: bool = False,
    ) -> None:
        if wait_s > 0.0 and not route.is_async:
            if self._io.is_current:
                raise refusals.blocks(f"room for {route.name}")
            if self._standing() == CALLED_BACK:
                raise refusals.called_back(route)
        payload, given = route.taken(command)
        if key is None or receipt is None:
            self._go(route, self._envelope(route, given, receipt, expires_s), payload, wait_s, at_once=at_once)
            return
        first = self._answered.first(key, route, payload, receipt)
        if first is None:
            return
        try:
            self._go(route, self._envelope(route, given, first, expires_s), payload, wait_s, at_once=at_once)
        except BaseException:
            receipt.cancel()
            first.refuse(refusals.full(route, wait_s))  # for those who came meanwhile: it never left
            raise

    async def _send_with_patience(
        self,
        route: Route,
        command: Any,
        receipt: Receipt,
        *,
        key: str | None,
        expires_s: float | None,
        wait_s: float,
    ) -> None:
        """As ``_send`` by a lane, but while that is full the loop of the caller goes on."""
        from tickrail.orchestration.bus.bridge import pushed

        assert self._lanes is not None, "there is a lane to wait for"
        payload, given = route.taken(command)
        first = receipt if key is None else self._answered.first(key, route, payload, receipt)
        if first is None:
            return
        try:
            number = self._number_of(given) if route.takes_strategy else None
            envelope = self._envelope(route, given, first, expires_s)
            push = partial(self._lanes.push, route.lane, number, payload, envelope, 0.0)
            sent = await pushed(lambda: OVER if self._closed else push(), wait_s)
            if sent != 0:
                self._not_sent(envelope, payload, sent == FULL, wait_s)
        except BaseException:
            receipt.cancel()
            first.refuse(refusals.full(route, wait_s))  # as in `_send`
            raise

    def _receipt(self, route: Route, key: str | None) -> Receipt:
        # Of a coroutine that others may wait for nobody takes back what it does.
        midway = route.is_async and key is None
        outside = self._lanes is not None and self._standing() != ON_IT
        return Receipt(self._forbids_async if route.is_async else self._forbids, midway=midway, outside=outside)

    def _go(self, route: Route, envelope: Envelope, payload: bytes, wait_s: float, *, at_once: bool) -> None:
        if self._closed:
            raise self._letters.dead(envelope, "shutting_down", refusals.over(route))
        if route.is_async:
            self._coroutines.begin(route, envelope)
        elif self._lanes is None or at_once:
            self.handle(envelope)
        elif self._standing() == ON_IT:
            self._lanes.later(envelope)
        else:
            number = self._number_of(envelope.command) if route.takes_strategy else None
            if (sent := self._lanes.push(route.lane, number, payload, envelope, wait_s)) != 0:
                self._not_sent(envelope, payload, sent == FULL, wait_s)

    def _not_sent(self, envelope: Envelope, payload: bytes, is_full: bool, wait_s: float) -> None:
        if is_full:
            raise self._letters.dead(envelope, "lane_full", refusals.full(envelope.route, wait_s))
        if self._closed or not self._rerun.takes(envelope, payload):
            raise self._letters.dead(
                envelope, "shutting_down", refusals.over(envelope.route, reruns=self._rerun.goes_on)
            )

    def _late(self, route: Route, timeout_s: float, is_begun: bool) -> NoReturn:
        raise refusals.late(route, timeout_s, is_begun=is_begun)

    def _wait(self, route: Route, receipt: Receipt, timeout_s: float, *, told_s: float) -> Any:
        """The answer; a command that had no turn is taken back where nobody waits for it any longer."""
        if not receipt.done() and (refusal := self._refusal(route)) is not None:
            receipt.cancel()
            raise refusal
        try:
            return receipt.result(timeout_s)
        except CommandTimeout:
            is_begun = receipt.give_up()
            if receipt.done() and not receipt.cancelled():
                return receipt.result()
            raise refusals.late(route, told_s, is_begun=is_begun) from None
        except BaseException:  # Ctrl-C, or the wait is forbidden; what the handler raised is no more to be taken back
            receipt.give_up()
            raise

    def _refusal(self, route: Route) -> CommandError | None:
        """Why the caller cannot wait for such a command."""
        if route.is_async and self._lanes is not None and self._standing() == ON_IT:
            return refusals.waits_for_coroutine(route.name)
        if self._io.is_current:
            return refusals.blocks(route.name)
        if self._standing() == CALLED_BACK:
            return refusals.called_back(route)
        if not route.is_async and self._is_held():
            return waits_for_itself(route.name)
        if not route.is_async and self._standing() == NO_RUN:
            return refusals.no_run(route.name)
        return None

    def _must_not_wait(self) -> bool:
        return self._io.is_current or IN_STEP.get()

    def _is_held(self) -> bool:
        return IN_STEP.get() and self._standing() == ELSEWHERE

    def forbid(self) -> None:
        """Refuse a wait for what comes after a step, where it could only be waited for in vain.

        Raises:
            WouldDeadlock: The caller keeps the loop.
        """
        if self._forbids():
            raise refusals.waits_for_step()

    def _forbids(self) -> bool:
        if self._is_held():
            raise waits_for_itself("a command")
        return self._forbids_async()

    def _forbids_async(self) -> bool:
        if self._io.is_current:
            raise refusals.blocks("a command")
        return self._lanes is not None and self._standing() in (ON_IT, CALLED_BACK)

    # ---- their turn --------------------------------------------------------------------------------------------

    def _still_wanted(self, envelope: Envelope) -> bool:
        receipt = envelope.receipt
        is_late = envelope.expires_ns and time.monotonic_ns() > envelope.expires_ns
        if is_late and not (receipt is not None and receipt.cancelled()):
            self._letters.dead(envelope, "expired", refusals.expired(envelope.route))
            return False
        if receipt is not None and not receipt.begin():  # the exchange against whoever takes it back
            if receipt.cancelled():  # else it was answered, and told of
                self._letters.dead(envelope, "cancelled", None)
            return False
        return True

    def _settle_later(self, envelope: Envelope, result: Future[Any]) -> None:
        """What the handler asked for comes after this step."""

        def done(result: Future[Any]) -> None:
            if self._later.pop(id(envelope), None) is not None:  # else the run is over, and said so
                self._letters.settled(envelope, result, is_over=self._io.closed)

        self._later[id(envelope)] = envelope
        result.add_done_callback(done)

    def _call_traced(self, route: Route, command: Any) -> Any:
        with span(route.span_name):
            return route.call(command)

    def knows(self, payload: bytes) -> None:
        """Refuse a recorded command that nobody handles; see ``replay``.

        Raises:
            NoHandler: Naming it.
        """
        if not self._routes.is_unheard(payload):
            self._routes.of_payload(payload)

    def replay(self, payload: bytes) -> None:
        """Call the handler of a recorded command; of an event to which nobody listens there is none."""
        if self._routes.is_unheard(payload):
            return
        sent = self._rerun.turn(payload)
        if sent is not None and (sent.receipt is None or sent.receipt.begin()):
            self.handle(sent)
            return
        # Nobody has sent it yet, or who did has waited no longer: it had its turn in the recording all the same.
        route, command = self._routes.of_payload(payload)
        envelope = self._envelope(route, command, answer := Receipt(), None)
        if sent is None:
            self._rerun.keep(payload, envelope, answer)
        self.handle(envelope)

    def leave(self) -> None:
        """The run is over: what handlers, and coroutines of a rerun, have left open gets no other answer."""
        while self._later:
            _, envelope = self._later.popitem()
            self._letters.dead(envelope, "shutting_down", refusals.unanswered(envelope.route))
        for envelope in self._rerun.left():
            self._letters.dead(envelope, "shutting_down", refusals.over(envelope.route))

    def abandon(self, envelope: Envelope) -> None:
        """The run ended before the command's turn."""
        if isinstance(envelope.route, AfterStep):
            envelope.route.abandoned()
        elif not isinstance(envelope.route, StepEnd):
            self._letters.dead(envelope, "shutting_down", refusals.over(envelope.route))
