"""``Away``: orders of a run that go to venues outside of the process, and what comes back.

The native loop lets an order leave by its gate and puts it into an outbox; the I/O thread takes it from there, hands it
to the venue's adapter, and sends the answers back as external inputs, which are recorded. What an order has become is
told as sums over its life, so an answer that comes twice changes nothing.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from msgspec.structs import replace

from tickrail._native import Dispatcher, InstrumentId, Outbox, hold_at_start, open_outbox
from tickrail.domain.orders import OrderReport, OrderRequest, OrderState, Statement, client_order_id
from tickrail.errors import ConnectivityError, ExecutionError, OrderRejected, Throttled, Unsupported
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
#: What a venue may say of an order.
STATES: Final = frozenset(get_args(OrderState))
#: Filled, average price and fees of an order of which nothing is done.
NOTHING: Final = (0.0, float("nan"), 0.0)

#: Why an order is CANCELED that was never there.
TAKEN_BACK: Final = "taken back before it reached the venue"

logger = logging.getLogger("tickrail.orders")


@dataclass(slots=True)
class _Order:
    strategy: int
    number: int
    venue: str
    request: OrderRequest
    is_canceling: bool = False
    #: Whether the venue has it, or had it.
    is_there: bool = False
    #: Whether it may be on its way to the venue still, whatever the venue says.
    may_arrive: bool = False
    changes: int = 0
    #: Ends the wait before another attempt: nobody wants it any more.
    unwanted: asyncio.Event | None = None
    is_recalled: bool = False


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
        unknown: Reports of orders that this run has not made, by the names that the venues have for them.
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
        self._orders: dict[str, _Order] = {}
        self._given_up: dict[str, _Order] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._waiting: dict[tuple[int, int, bool], tuple[Any, ...]] = {}
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
        waits = _waits()
        while True:
            statement: Statement = await self._asked(port.statement)
            for report in statement.open_orders:
                self._note_unknown(name, report)
            if not statement.open_orders or getattr(port, "unknown_orders", "report") != "cancel":
                return statement
            for report in statement.open_orders:
                try:
                    await self._asked(port.cancel, report.client_id)
                except OrderRejected as error:
                    logger.warning("venue %s: order %s: %s", name, report.client_id, error.message)
            await _sleep(next(waits))

    async def _asked(self, method: Callable[..., Any], *given: Any) -> Any:
        """An answer that a run cannot begin without: asked for again where one is lost or late, a few times."""
        waits = _waits()
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

    def _take_back(self, order: _Order) -> None:
        if not order.is_canceling:
            order.is_canceling = True
            if order.unwanted is not None:
                order.unwanted.set()
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

    def _made(self, strategy: int, number: int, what: tuple[Any, ...], how: tuple[Any, ...]) -> _Order:
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
        order = _Order(strategy, number, instrument.rpartition(".")[2], request)
        self._orders[name], self._names[strategy, number] = order, name
        return order

    async def _submit(self, order: _Order) -> None:
        """Until the venue has it or says no; one whose outcome is unknown is asked for, and sent again by its name."""
        loop, port = self._running(), self._venues[order.venue]
        stale_s, waits = loop.time() + self._resend_within_s, _waits()
        while True:
            if self._outbox.is_halted:  # it is not at the venue, and was let leave before
                return self._refuse(order, HALTED)
            try:
                answer = await self._call(self._guarded(port.submit), order.request)
            except Throttled as error:
                wait_s = error.retry_after_ns / 1e9 or next(waits)
                reason = f"throttled for too long: {error.message}"
            except (OrderRejected, Unsupported) as error:
                return self._refuse(order, getattr(error, "reason", "") or error.message)
            except ConnectivityError:
                order.may_arrive = True
                report = await self._found(order)
                if report is not None:
                    order.is_there = True
                    return self._report(order, report)
                wait_s, reason = next(waits), "it did not reach the venue in time"
            else:
                order.is_there = True
                if answer.state == "ACCEPTED" and order.request.client_id in self._orders:
                    self._tell(order, "ACCEPTED", NOTHING, "")
                return None
            if await self._is_given_up(order, wait_s, stale_s, reason):
                return None

    def _guarded(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        """What sends an order: on the thread of an adapter that keeps one, maybe long after it was asked for."""
        if inspect.iscoroutinefunction(submit):
            return submit

        def send(request: OrderRequest) -> Any:
            if self._outbox.is_halted:
                raise OrderRejected(HALTED, reason=HALTED)
            return submit(request)

        return send

    async def _is_given_up(self, order: _Order, wait_s: float, stale_s: float, reason: str) -> bool:
        """Wait before another attempt; whether there is none: the order is not wanted any more, or would be late."""
        import asyncio

        if not order.is_canceling and self._running().time() + wait_s < stale_s:
            order.unwanted = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(order.unwanted.wait(), wait_s)
            order.unwanted = None
            if not order.is_canceling:
                return order.request.client_id not in self._orders
        if order.is_canceling:
            self._end(order, "CANCELED", TAKEN_BACK)
        else:
            self._refuse(order, reason)
        return order.request.client_id not in self._orders

    async def _found(self, order: _Order) -> OrderReport | None:
        """Where an order stands, however long the venue cannot be asked; ``None``: it has no such order."""
        waits = _waits()
        while True:
            try:
                report: OrderReport = await self._call(self._venues[order.venue].status, order.request.client_id)
            except OrderRejected:
                return None
            except (ConnectivityError, Throttled) as error:
                await _sleep(_wait_s(error, waits))
            else:
                return report

    async def _cancel(self, order: _Order) -> None:
        """Until the venue has heard of it: cancels are never given up."""
        port, name, waits = self._venues[order.venue], order.request.client_id, _waits()
        while name in self._orders:
            try:
                await self._call(port.cancel, name)
            except (ConnectivityError, Throttled) as error:
                await _sleep(_wait_s(error, waits))
            except (OrderRejected, Unsupported) as error:
                report = await self._found(order)
                if report is None and not order.is_there:
                    # It is on its way: another task sends it, and finds that it is not wanted any more.
                    await _sleep(next(waits))
                    continue
                if report is not None:
                    self._report(order, report)
                logger.warning("venue %s: order %s is not taken back: %s", order.venue, name, error.message)
                break
            else:
                break
        order.is_canceling = False
        self._outbox.note_taking_back(False)

    async def _amend(self, order: _Order, quantity: float, limit: float | None, stop: float | None) -> None:
        """Asked again where its outcome is not known, as it says what is to be and not what is to be added."""
        loop, name = self._running(), order.request.client_id
        order.changes += 1
        number, stale_s, waits = order.changes, loop.time() + self._resend_within_s, _waits()
        figures = (quantity, *_prices(limit, stop))
        while True:
            # Only stops that change are named: most venues' orders have none.
            given = {} if stop == order.request.stop else {"stop": stop}
            try:
                await self._call(self._venues[order.venue].amend, name, quantity=quantity, limit=limit, **given)
            except (ConnectivityError, Throttled) as error:
                wait_s = _wait_s(error, waits)
                if loop.time() + wait_s >= stale_s:
                    return self._tell(order, "NOT_AMENDED", figures, error.message)
                await _sleep(wait_s)
                if number != order.changes or name not in self._orders:
                    return None  # a later change says what is to be, or there is nothing left to change
            except ExecutionError as error:
                return self._tell(order, "NOT_AMENDED", figures, getattr(error, "reason", "") or error.message)
            else:
                order.request = replace(order.request, stop=stop)
                return self._tell(order, "AMENDED", figures, "")

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
            self._has_arrived(self._given_up[report.client_id], report)
        elif not report.client_id.startswith(f"{self._run_id}-"):
            self._note_unknown(venue, report)

    def _has_arrived(self, order: _Order, report: OrderReport) -> None:
        """Of an order that the run has given up: it is none of its orders any more, and must not stay."""
        if report.state in ("PENDING", "REJECTED"):
            return
        if report.client_id not in self.unknown:
            shown = f"{report.state}, {report.filled:g} filled"
            said = "it was given up and has arrived after all; what it fills, the run does not know"
            logger.error("venue %s: order %s: %s: %s", order.venue, report.client_id, shown, said)
        self.unknown[report.client_id] = report
        if not report.is_final and not order.is_recalled:
            order.is_recalled = True
            self._begin(self._recall(order))

    async def _recall(self, order: _Order) -> None:
        waits = _waits()
        while True:
            try:
                await self._call(self._venues[order.venue].cancel, order.request.client_id)
            except (ConnectivityError, Throttled) as error:
                await _sleep(_wait_s(error, waits))
            except ExecutionError as error:
                name = order.request.client_id
                return logger.warning("venue %s: order %s is not taken back: %s", order.venue, name, error.message)
            else:
                return None

    def _report(self, order: _Order, report: OrderReport) -> None:
        fault = _fault_of(report)
        if fault:
            said = "it is left out, and the order stands as it did"
            logger.error("venue %s: a report of order %s cannot be: %s; %s", order.venue, report.client_id, fault, said)
            return
        self._tell(order, report.state, (report.filled, report.price, report.fee), report.reason)
        if report.is_final:
            self._forget(order)

    def _refuse(self, order: _Order, reason: str) -> None:
        self._end(order, "REJECTED", reason)

    def _end(self, order: _Order, kind: str, reason: str) -> None:
        self._tell(order, kind, NOTHING, reason)
        self._forget(order)
        if order.may_arrive:
            self._given_up[order.request.client_id] = order

    def _forget(self, order: _Order) -> None:
        self._orders.pop(order.request.client_id, None)
        self._names.pop((order.strategy, order.number), None)

    def _tell(self, order: _Order, kind: str, figures: tuple[float, float, float], reason: str) -> None:
        """To the loop, or later where its lane is full; what waits is the latest of each order."""
        if kind == "PENDING":
            return
        place = (order.strategy, order.number, kind in ("AMENDED", "NOT_AMENDED"))
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


def _fault_of(report: OrderReport) -> str:
    """What is wrong with a report; nothing: ""."""
    if report.state not in STATES:
        return f"its state is '{report.state}'"
    if not 0.0 <= report.filled < math.inf:
        return f"{report.filled} filled"
    if report.filled > 0.0 and not math.isfinite(report.price):
        return f"{report.filled:g} filled at {report.price}"
    return ""


def _wait_s(error: ConnectivityError | Throttled, waits: Any) -> float:
    """How long to wait before another attempt: longer each time, and as long as the venue says."""
    said_s = error.retry_after_ns / 1e9 if isinstance(error, Throttled) else 0.0
    next_s: float = next(waits)
    return max(next_s, said_s)


def _waits() -> Any:
    first, most = BACKOFF_S
    wait = first
    while True:
        yield wait
        wait = min(most, wait * 2)


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
