"""``Away``: orders of a run that go to venues outside of the process, and what comes back.

The native loop lets an order leave by its gate and puts it into an outbox; the I/O thread takes it from there, hands it
to the venue's adapter, and sends the answers back as external inputs, which are recorded. What an order has become is
told as sums over its life, so an answer that comes twice changes nothing.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tickrail._native import Dispatcher, InstrumentId, Outbox, hold_at_start, open_outbox
from tickrail.domain.backoff import Backoff
from tickrail.domain.orders import OrderReport, OrderRequest, Statement, client_order_id
from tickrail.errors import ConnectivityError, ExecutionError, OrderRejected, Throttled, Unsupported
from tickrail.orchestration.away_order import AwayOrder, impossible
from tickrail.orchestration.io_thread import CLOSE_TIMEOUT_S, IoThread

if TYPE_CHECKING:  # loaded with the first run that sends orders away
    import asyncio

__all__ = ["Away"]

#: Requests that are taken from the outbox at once.
AT_ONCE: Final = 256
#: Longest wait between two attempts to reach a venue, and the first one.
BACKOFF_S: Final = (0.02, 1.0)
#: How long an order may be tried again before it counts as stale: it was decided on another market.
RESEND_WITHIN_S: Final = 5.0
#: How long the venues may take to say what is held before a run begins.
RECONCILE_S: Final = 30.0
#: How often each question is asked before the run begins.
ATTEMPTS: Final = 5
#: How soon a full lane is tried again.
AGAIN_S: Final = 0.001
Holders: TypeAlias = Sequence[tuple[str, Sequence[str]]]
"""Strategies by their numbers: the name, and what each receives."""

#: Why an order does not leave that has passed the gate before trading was halted.
HALTED: Final = "trading is halted"
#: Filled, average price and fees of an order of which nothing is done.
NOTHING: Final = (0.0, float("nan"), 0.0)

#: Why an order is REJECTED that was tried for as long as it may be.
TOO_LATE: Final = "it did not reach the venue in time"
#: Why an order is CANCELED that was never there.
TAKEN_BACK: Final = "taken back before it reached the venue"

logger = logging.getLogger("tickrail.orders")


class _NotSent(Exception):
    """An order that is not wanted any more stays here: found right before it would have been sent."""


class Away:
    """The venues outside of one run; made before it begins.

    Args:
        native: The loop.
        venues: Their adapters, by name.
        io: Where they are called.
        run_id: Enters the names of orders.
        stays: Whether the orders of the strategy of that number stay where they are when the run stops.
        resend_within_s: How long an order that did not arrive is sent again.

    Attributes:
        unknown: Reports of orders that this run has not made, or has given up, by the names that venues have for them.
    """

    def __init__(
        self,
        native: Dispatcher,
        venues: Mapping[str, Any],
        io: IoThread,
        run_id: str,
        *,
        stays: Callable[[int], bool] = lambda _: False,
        resend_within_s: float = RESEND_WITHIN_S,
    ) -> None:
        self.unknown: dict[str, OrderReport] = {}
        self._native, self._venues, self._io, self._run_id = native, dict(venues), io, run_id
        self._resend_within_s, self._stays = resend_within_s, stays
        opened = open_outbox(native, list(venues))
        assert opened is not None, "opened to send"
        self._outbox: Outbox = opened
        self._orders: dict[str, AwayOrder] = {}
        self._names: dict[tuple[int, int], str] = {}
        # Told as ended, though an attempt to send them may still arrive; and the last number made, by strategy.
        self._given_up: dict[str, AwayOrder] = {}
        self._last: dict[int, int] = {}
        # What keeps the start: orders that a venue does not take back, and why.
        self._not_taken_back: dict[str, str] = {}
        self._waiting: dict[tuple[int, int, str], tuple[Any, ...]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_over = False

    # ---- before the run ----------------------------------------------------------------------------------------

    def begin(self, holders: Holders, instruments: Sequence[str]) -> None:
        """Ask the venues what is held and what is open, let strategies begin with that, and take orders from now on.

        Raises:
            ExecutionError: A venue does not answer, or holds what cannot be attributed.
        """
        try:
            held = self._io.call(self._reconcile(holders, instruments), RECONCILE_S)
        except TimeoutError:
            if self._not_taken_back:
                raise ExecutionError(
                    "; ".join(f"{one} after {RECONCILE_S:g} s: {why}" for one, why in self._not_taken_back.items()),
                    hint="take it back at the venue, or let the adapter only report what it finds",
                ) from None
            raise ConnectivityError(
                f"{_listed(self._venues)} did not say within {RECONCILE_S:g} s what is held",
                hint="no order leaves before that is known",
            ) from None
        hold_at_start(self._native, held)

    async def _reconcile(self, holders: Holders, instruments: Sequence[str]) -> list[tuple[int, int, float, float]]:
        import asyncio

        self._loop = asyncio.get_running_loop()
        held = []
        for name, port in self._venues.items():
            port.subscribe(partial(self._heard, name))
            if not hasattr(port, "statement"):
                logger.warning("venue %s: its adapter cannot say what is held; the run begins as if nothing were", name)
                continue
            statement = await self._settled(name, port)
            for instrument, position in statement.positions.items():
                if position.net != 0.0:
                    owner = _owner(name, instrument, position.net, holders, instruments)
                    held.append((owner, instruments.index(instrument), position.net, position.average_price))
                    logger.info("venue %s holds %g %s: %s", name, position.net, instrument, holders[owner][0])
        self._loop.add_reader(self._outbox.fileno(), self._take)
        return held

    async def _settled(self, name: str, port: Any) -> Statement:
        """What a venue says once no order is open that this run does not know, where it may take them back."""
        waits = _waits(name)
        while True:
            statement: Statement = await self._asked(port.statement)
            for report in statement.open_orders:
                self._note_unknown(name, report)
            before, self._not_taken_back = self._not_taken_back, {}
            if not statement.open_orders or getattr(port, "unknown_orders", "report") != "cancel":
                return statement
            for report in statement.open_orders:
                is_open, why = f"venue {name}: order {report.client_id} is still open", "its cancel was taken"
                try:
                    await self._asked(port.cancel, report.client_id)
                except (OrderRejected, Unsupported) as error:
                    why = getattr(error, "reason", "") or error.message
                    if before.get(is_open) != why:
                        logger.warning("venue %s: order %s: %s", name, report.client_id, error.message)
                self._not_taken_back[is_open] = why
            await _sleep(waits.next_s())

    async def _asked(self, method: Callable[..., Any], *given: Any) -> Any:
        """An answer that a run cannot begin without: asked for again where one is lost or late, a few times."""
        waits = _waits(repr(given))
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._call(method, *given)
            except (ConnectivityError, Throttled) as error:
                logger.warning("%s; it is asked again", error.message)
                await _sleep(_wait_s(error, waits))
        return await self._call(method, *given)

    def _note_unknown(self, venue: str, report: OrderReport) -> None:
        if report.client_id not in self.unknown:
            shown = f"{report.state}, {report.filled:g} filled"
            logger.warning("venue %s: order %s is none of this run's: %s", venue, report.client_id, shown)
        self.unknown[report.client_id] = report

    # ---- on the I/O thread -------------------------------------------------------------------------------------

    def _take(self) -> None:
        for leaving in self._outbox.take(AT_ONCE):
            kind, strategy, number, *rest = leaving
            if kind == "submit":
                self._begin(self._submit(self._made(strategy, number, *rest)))
                continue
            if kind == "stopped":
                self._refuse(self._made(strategy, number, *rest), HALTED)
                continue
            if kind in ("cancel_all", "cancel_at_end"):
                for known in list(self._orders.values()):
                    if kind == "cancel_all" or not self._stays(known.strategy):
                        self._take_back(known)
                continue
            order = self._orders.get(self._names.get((strategy, number), ""))
            if order is None:
                continue  # it is done: the answer that says so is on its way
            if kind == "amend":
                self._begin(self._amend(order, *rest))
            else:
                self._take_back(order)

    def _take_back(self, order: AwayOrder) -> None:
        if order.is_held_back:
            self._drop(order)  # the venue has heard nothing of it, and does not have to
        elif not order.is_canceling:
            order.is_canceling = True
            order.wake()
            self._outbox.note_taking_back(True)  # a halt says what has not reached its venue
            self._begin(self._cancel(order))

    def _begin(self, work: Any) -> None:
        import asyncio

        # Tasks begin in the order made, and an adapter sends before it waits: so requests keep their order.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("an order was left: %s", task.exception(), exc_info=task.exception())

    def _made(self, strategy: int, number: int, what: tuple[Any, ...], how: tuple[Any, ...]) -> AwayOrder:
        (instrument, side, quantity), (limit, stop, time_in_force, expires_ns, post_only, reduce_only) = what, how
        name = client_order_id(self._run_id, strategy, number)
        request = OrderRequest(
            client_id=name,
            instrument=InstrumentId(instrument),
            side=side,
            quantity=quantity,
            limit=limit,
            reduce_only=reduce_only,
            stop=stop,
            time_in_force=time_in_force,
            expires_ns=expires_ns,
            post_only=post_only,
        )
        order = AwayOrder(strategy, number, instrument.rpartition(".")[2], request, stop)
        self._orders[name], self._names[strategy, number] = order, name
        self._last[strategy] = number
        return order

    async def _submit(self, order: AwayOrder) -> None:
        """Until the venue has it or says no; one whose outcome is unknown is asked for, and sent again by its name."""
        loop, port = self._running(), self._venues[order.venue]
        stale_s, waits, late = loop.time() + self._resend_within_s, _waits(order.name), TOO_LATE
        while not self._is_given_up(order, stale_s, late):
            attempt = self._guarded(port.submit, order, stale_s)
            order.attempts += 1
            try:
                answer = await self._call(attempt, order.request)
            except _NotSent:
                continue
            except Throttled as error:
                late, wait_s = f"throttled for too long: {error.message}", _wait_s(error, waits)
                # Where its turn comes when it is too old, nobody has to wait for that.
                if not self._is_given_up(order, stale_s - wait_s, late):
                    order.is_held_back = not order.is_uncertain
                    await order.pause(wait_s)
                    order.is_held_back = False
            except (OrderRejected, Unsupported) as error:
                return self._refuse(order, getattr(error, "reason", "") or error.message)
            except ConnectivityError:
                order.is_uncertain, late = True, TOO_LATE
                report = await self._found(order)
                if report is not None:
                    order.is_there = True
                    return self._report(order, report)
                if not self._is_given_up(order, stale_s, late):
                    await order.pause(waits.next_s())
            else:
                order.is_there = True
                if answer.state == "ACCEPTED" and not order.is_done:
                    self._tell(order, "ACCEPTED", NOTHING, "")
                return None
        return None

    def _guarded(self, submit: Callable[..., Any], order: AwayOrder, stale_s: float) -> Callable[..., Any]:
        """What sends an order: on the thread of an adapter that keeps one, maybe long after it was asked for."""
        if inspect.iscoroutinefunction(submit):
            return submit

        is_again = order.attempts > 0

        def send(request: OrderRequest) -> Any:
            if self._is_unwanted(order, is_again) or self._running().time() >= stale_s:
                raise _NotSent
            return submit(request)

        return send

    def _is_given_up(self, order: AwayOrder, stale_s: float, reason: str) -> bool:
        """Whether an order that is not at the venue is not sent any more: nobody wants it, or it is too late."""
        if self._is_unwanted(order, order.attempts > 0):
            self._drop(order)
        elif self._running().time() >= stale_s:
            self._refuse(order, reason)
        return order.is_done

    def _is_unwanted(self, order: AwayOrder, is_again: bool) -> bool:
        """A first attempt is made though the order is to be taken back: its cancel follows, as it was asked for."""
        return self._outbox.is_halted or (order.is_canceling and is_again)

    def _drop(self, order: AwayOrder) -> None:
        """End an order that is not wanted any more before it has reached its venue."""
        if not order.is_done:
            if self._outbox.is_halted:
                self._refuse(order, HALTED)
            else:
                self._end(order, "CANCELED", TAKEN_BACK)

    async def _found(self, order: AwayOrder) -> OrderReport | None:
        """Where an order stands, however long the venue cannot be asked; ``None``: it has no such order."""
        waits = _waits(f"{order.name} status")
        while not order.is_done:
            try:
                report: OrderReport = await self._call(self._venues[order.venue].status, order.name)
            except OrderRejected:
                return None
            except (ConnectivityError, Throttled) as error:
                await order.pause(_wait_s(error, waits))
            else:
                return report
        return None

    async def _cancel(self, order: AwayOrder) -> None:
        """Until the venue has heard of it: cancels are never given up."""
        port, name, waits = self._venues[order.venue], order.name, _waits(f"{order.name} cancel")
        while not order.is_done:
            try:
                await self._call(port.cancel, name)
            except (ConnectivityError, Throttled) as error:
                await order.pause(_wait_s(error, waits))
            except (OrderRejected, Unsupported) as error:
                report = await self._found(order)
                if report is None and not order.is_there:
                    # It is on its way: another task sends it, and finds that it is not wanted any more.
                    await order.pause(waits.next_s())
                    continue
                if report is not None:
                    self._report(order, report)
                logger.warning("venue %s: order %s is not taken back: %s", order.venue, name, error.message)
                break
            else:
                break
        order.is_canceling = False
        self._outbox.note_taking_back(False)

    async def _amend(self, order: AwayOrder, quantity: float, limit: float | None, stop: float | None) -> None:
        """Asked again where its outcome is not known, as it says what is to be and not what is to be added."""
        loop, port = self._running(), self._venues[order.venue]
        order.changes += 1
        number, stale_s, waits = order.changes, loop.time() + self._resend_within_s, _waits(f"{order.name} change")
        change: dict[str, float | None] = {"quantity": quantity, "limit": limit}
        figures = (quantity, *_prices(limit, stop))  # by which the loop knows which change is answered
        if stop != order.stop:
            if not _takes_stops(port.amend):
                said = f"the stop cannot be changed: 'amend' of the adapter of venue {order.venue} takes none"
                return self._tell(order, "NOT_AMENDED", figures, said)
            change["stop"], order.stop = stop, float("nan")  # until the venue has said which it has
        while True:
            try:
                await self._call(port.amend, order.name, **change)
            except (ConnectivityError, Throttled) as error:
                order.may_have_changed |= isinstance(error, ConnectivityError)
                wait_s = _wait_s(error, waits)
                is_late = loop.time() + (wait_s if isinstance(error, Throttled) else 0.0) >= stale_s
                if is_late:
                    return self._not_amended(order, figures, error.message)
                await order.pause(wait_s)
                if number != order.changes or order.is_done:
                    return None  # a later change says what is to be, or there is nothing left to change
            except ExecutionError as error:
                return self._not_amended(order, figures, getattr(error, "reason", "") or error.message)
            else:
                order.may_have_changed = False
                order.stop = stop if number == order.changes else order.stop
                return self._tell(order, "AMENDED", figures, "")

    def _not_amended(self, order: AwayOrder, figures: tuple[float, float, float], reason: str) -> None:
        """Where an attempt was lost it may have arrived: by no figures, what is out counts until one is done."""
        self._tell(order, "NOT_AMENDED", NOTHING if order.may_have_changed else figures, reason)

    async def _call(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """The adapter's answer, whether its calls are coroutines or keep a thread."""
        if inspect.iscoroutinefunction(method):
            return await method(*given, **named)
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="tickrail-orders")
        return await self._running().run_in_executor(self._worker, partial(method, *given, **named))

    def _running(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "it has begun"
        return self._loop

    # ---- what comes back ---------------------------------------------------------------------------------------

    def _heard(self, venue: str, report: OrderReport) -> None:
        """A report of the venue, on whatever thread."""
        if self._io.is_current:
            self._take_report(venue, report)
        elif not self._is_over:
            self._running().call_soon_threadsafe(self._take_report, venue, report)

    def _take_report(self, venue: str, report: OrderReport) -> None:
        order = self._orders.get(report.client_id)
        if order is not None:
            self._report(order, report)
        elif report.client_id in self._given_up:
            self._turned_up(self._given_up[report.client_id], report)
        elif not self._was_made(report.client_id):
            self._note_unknown(venue, report)

    def _was_made(self, name: str) -> bool:
        """Whether it is an order of this process: a run that takes the name of one before may find older ones."""
        run_id, *place = name.rsplit("-", 2)
        is_named = run_id == self._run_id and len(place) == 2 and all(one.isdecimal() for one in place)
        return is_named and int(place[1]) <= self._last.get(int(place[0]), 0)

    def _turned_up(self, order: AwayOrder, report: OrderReport) -> None:
        """An order that the strategy was told has ended without leaving: nobody has it in hand, so it is taken back."""
        before = self.unknown.get(order.name)
        wrong, is_nothing = impossible(report), report.is_final and not report.filled > 0.0
        if is_nothing and not wrong and before is None:
            return  # the venue says so too
        self.unknown[order.name] = report
        if before is None or (before.state, before.filled) != (report.state, report.filled):
            request, said = order.request, wrong or f"{report.state}, {report.filled:g} filled at {report.price:g}"
            owned = "" if report.filled == 0.0 else "; no strategy holds that: close it there, or start anew with it"
            logger.error(
                "venue %s: order %s (%s %g %s), which was given up, is there after all: %s%s",
                *(order.venue, order.name, request.side, request.quantity, request.instrument, said),
                owned,
            )
        if not report.is_final and not order.is_canceling:
            order.is_canceling = True
            self._outbox.note_taking_back(True)
            self._begin(self._take_back_late(order))

    async def _take_back_late(self, order: AwayOrder) -> None:
        port, waits = self._venues[order.venue], _waits(f"{order.name} late")
        while True:
            try:
                await self._call(port.cancel, order.name)
            except (ConnectivityError, Throttled) as error:
                await _sleep(_wait_s(error, waits))
            except (OrderRejected, Unsupported) as error:
                logger.error("venue %s: order %s is not taken back: %s", order.venue, order.name, error.message)
                break
            else:
                break
        order.is_canceling = False
        self._outbox.note_taking_back(False)

    def _report(self, order: AwayOrder, report: OrderReport) -> None:
        wrong = order.doubt(report)
        if wrong:
            logger.error("venue %s: order %s: a report that cannot be: %s", order.venue, order.name, wrong)
            if not order.is_in_doubt and not order.is_done:
                order.is_in_doubt = True
                self._begin(self._clear_up(order))
            return
        self._tell(order, report.state, (report.filled, report.price, report.fee), report.reason)
        if report.is_final:
            self._forget(order)

    async def _clear_up(self, order: AwayOrder) -> None:
        """Ask where an order stands of which its venue has said what cannot be, until it says what can."""
        waits = _waits(f"{order.name} in doubt")
        for _ in range(ATTEMPTS):
            report = await self._found(order)
            if order.is_done:
                return None
            if report is not None and not order.doubt(report):
                order.is_in_doubt = False
                return self._report(order, report)
            await order.pause(waits.next_s())
        order.is_in_doubt = False  # another report lets it be asked again
        if not order.is_done:
            said = "it does not say where it stands either; it stays open here: look there"
            logger.error("venue %s: order %s: %s", order.venue, order.name, said)
        return None

    def _refuse(self, order: AwayOrder, reason: str) -> None:
        self._end(order, "REJECTED", reason)

    def _end(self, order: AwayOrder, kind: str, reason: str) -> None:
        self._tell(order, kind, NOTHING, reason)
        self._forget(order)
        if order.is_uncertain:
            self._given_up[order.name] = order

    def _forget(self, order: AwayOrder) -> None:
        order.is_done = True
        self._orders.pop(order.name, None)
        self._names.pop((order.strategy, order.number), None)
        order.wake()

    def _tell(self, order: AwayOrder, kind: str, figures: tuple[float, float, float], reason: str) -> None:
        """To the loop, or later where its lane is full; what waits is the latest of each order."""
        if kind == "PENDING":
            return
        # Of changes the last that was done and the last that was refused: neither says what the other does.
        place = (order.strategy, order.number, kind if kind in ("AMENDED", "NOT_AMENDED") else "")
        before = self._waiting.pop(place, None)
        if before is not None and kind == "ACCEPTED" and (before[0] != kind or before[3] > figures[0]):
            self._waiting[place] = before  # which says more
            return
        self._waiting[place] = (kind, order.strategy, order.number, *figures, reason)
        if len(self._waiting) == 1:
            self._deliver()

    def _deliver(self) -> None:
        while self._waiting:
            place = next(iter(self._waiting))
            sent = self._outbox.answer(*self._waiting[place])
            if sent == 1:
                self._running().call_later(AGAIN_S, self._deliver)
                return
            del self._waiting[place]

    # ---- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send nothing any more, and let go of the venues. Idempotent; orders stay where they are."""
        if self._is_over:
            return
        self._is_over = True
        if self._loop is not None and not self._io.closed:
            try:
                self._io.call(self._leave(), min(CLOSE_TIMEOUT_S, self._io.close_within_s))
            except TimeoutError:
                logger.error("the I/O thread does not answer: what is on its way to %s is left", _listed(self._venues))
        for name, port in self._venues.items():
            try:
                port.close()
            except Exception:
                logger.exception("venue %s could not be closed", name)
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)

    async def _leave(self) -> None:
        self._running().remove_reader(self._outbox.fileno())
        for task in list(self._tasks):
            task.cancel()


def _prices(limit: float | None, stop: float | None) -> tuple[float, float]:
    nothing = float("nan")
    return nothing if limit is None else limit, nothing if stop is None else stop


def _takes_stops(amend: Callable[..., Any]) -> bool:
    """Whether an adapter lets a stop be changed; one made before that was in the port does not."""
    parameters = inspect.signature(amend).parameters.values()
    return any(one.name == "stop" or one.kind is one.VAR_KEYWORD for one in parameters)


def _waits(seed: str) -> Backoff:
    return Backoff(*BACKOFF_S, seed)


def _wait_s(error: ConnectivityError | Throttled, waits: Backoff) -> float:
    """How long to wait before another attempt: as long as the venue says, where it says so."""
    said_s = error.retry_after_ns / 1e9 if isinstance(error, Throttled) else 0.0
    return said_s if said_s > 0.0 else waits.next_s()


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


def _owner(venue: str, instrument: str, net: float, holders: Holders, instruments: Sequence[str]) -> int:
    """The one strategy that can have it."""
    said = f"venue {venue} holds {net:g} {instrument}"
    if instrument not in instruments:
        raise ExecutionError(f"{said}, which the run does not know", hint="let a feed bring it, or close it there")
    found = [number for number, (_, receives) in enumerate(holders) if instrument in receives]
    if len(found) != 1:
        names = ", ".join(holders[number][0] for number in found) or "no strategy"
        raise ExecutionError(
            f"{said}, and {names} may have it",
            hint="instruments = [...] lets one strategy receive it, or close it there",
        )
    return found[0]


def _listed(venues: Mapping[str, Any]) -> str:
    return ", ".join(f"venue {name}" for name in venues)
