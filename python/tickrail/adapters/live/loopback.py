"""Venue ``loopback``: orders go to the loopback venue of the test kit, a process of its own, over JSON lines.

A rehearsal for venues that cost money: what is lost, late, refused and sent twice there can be so here, at will.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Literal

from tickrail.domain.orders import Acknowledgement, HeldPosition, OrderReport, OrderRequest, Statement
from tickrail.errors import ConnectivityError, OrderRejected, Throttled, Unsupported, WiringError

__all__ = ["LoopbackExecution"]

CAPABILITIES: Final = frozenset({"market", "limit", "stop", "amend", "cancel", "status", "reduce_only", "post_only"})
#: Waits between two attempts to connect: the first, and the longest.
BACKOFF_S: Final = (0.02, 0.5)
#: Longest line; a statement of some ten thousand orders.
LINE_BYTES: Final = 4 * 1024 * 1024
UNKNOWN_ORDERS: Final = ("report", "cancel")

logger = logging.getLogger("tickrail.adapters.loopback")
_TASKS: Final[set[asyncio.Task[None]]] = set()


class LoopbackExecution:
    """Fulfils ``AsyncExecutionPort`` and ``StatementPort``; connects when it is first asked for something.

    Args:
        name: Id of the venue, the last part of its instruments' ids.
        address: ``host:port`` of the venue.
        account: Whose orders these are; a second session of an account ends the first.
        timeout_s: How long an answer may take before it is not known whether the request arrived.
        unknown_orders: What becomes of open orders that a run finds and has not made: they are reported, or taken back
            too (``cancel``) before its first order.

    Raises:
        WiringError: A setting cannot be.
    """

    def __init__(
        self,
        *,
        name: str,
        address: str,
        account: str = "default",
        timeout_s: float = 2.0,
        unknown_orders: Literal["report", "cancel"] = "report",
    ) -> None:
        host, _, port = address.rpartition(":")
        found = []
        if not host or not port.isdigit():
            found.append(f"address is '{address}'; expected 'host:port'")
        if unknown_orders not in UNKNOWN_ORDERS:
            found.append(f"unknown_orders is '{unknown_orders}'; expected 'report' or 'cancel'")
        if not timeout_s > 0:
            found.append(f"timeout_s is {timeout_s}; expected above zero")
        if found:
            raise WiringError(f"adapter 'loopback' of venue '{name}': {'; '.join(found)}", problems=found)
        self.name = name
        self.unknown_orders = unknown_orders
        self._host, self._port, self._account, self._timeout_s = host, int(port), account, timeout_s
        self._heard_by: list[Callable[[OrderReport], object]] = []
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        # The last of the venue's reports: those after it are told again when a connection comes back.
        self._seen: int | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._connecting: asyncio.Lock | None = None
        self._reader: asyncio.Task[None] | None = None
        self._back: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    @property
    def capabilities(self) -> frozenset[str]:
        """Market and limit orders, with and without stops; none that expire."""
        return CAPABILITIES

    async def submit(self, order: OrderRequest) -> Acknowledgement:
        """See ``AsyncExecutionPort``."""
        if order.time_in_force in ("DAY", "GTD"):
            raise Unsupported(f"venue {self.name} has no orders that expire", capability="good_till_time")
        fields = {
            "client_id": order.client_id,
            "instrument": str(order.instrument),
            "side": order.side,
            "quantity": order.quantity,
            "limit": order.limit,
            "stop": order.stop,
            "reduce_only": order.reduce_only,
            "post_only": order.post_only,
            "time_in_force": order.time_in_force,
        }
        return _acknowledged(await self._ask("submit", **fields))

    async def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """See ``AsyncExecutionPort``."""
        return _acknowledged(await self._ask("amend", client_id=client_id, quantity=quantity, limit=limit, stop=stop))

    async def cancel(self, client_id: str) -> Acknowledgement:
        """See ``AsyncExecutionPort``."""
        return _acknowledged(await self._ask("cancel", client_id=client_id))

    async def status(self, client_id: str) -> OrderReport:
        """See ``AsyncExecutionPort``."""
        return _report(await self._ask("status", client_id=client_id))

    async def statement(self) -> Statement:
        """See ``StatementPort``."""
        said = await self._ask("statement")
        positions = {one: HeldPosition(net, price) for one, (net, price) in said["positions"].items()}
        return Statement(positions, tuple(_report(one) for one in said["open_orders"]))

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        """See ``AsyncExecutionPort``."""
        self._heard_by.append(listener)

    def close(self) -> None:
        """See ``AsyncExecutionPort``."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        if self._writer is not None:
            self._writer.close()
        for task in (self._reader, self._back):
            if task is not None:
                task.cancel()

    # ---- the connection ----------------------------------------------------------------------------------------

    async def _ask(self, what: str, **fields: Any) -> Any:
        writer = self._writer or await self._connected()
        return await self._send(writer, what, fields)

    async def _send(self, writer: asyncio.StreamWriter, what: str, fields: dict[str, Any]) -> Any:
        self._count += 1
        number = self._count
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            writer.write(json.dumps({"id": number, "do": what, **fields}).encode() + b"\n")
            return await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            raise ConnectivityError(
                f"venue {self.name} did not answer '{what}' within {self._timeout_s:g} s",
                hint="it is not known whether it arrived: ask for the order's status",
            ) from None
        except OSError as error:
            raise ConnectivityError(f"venue {self.name}: {error}") from error
        finally:
            self._asked.pop(number, None)

    async def _connected(self) -> asyncio.StreamWriter:
        """The connection, made if need be; requests that wait for it keep their order."""
        if self._connecting is None:
            self._connecting = asyncio.Lock()
            self._loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._writer is not None:
                return self._writer
            if self._is_closed:
                raise ConnectivityError(f"venue {self.name} is closed")
            where = f"{self._host}:{self._port}"
            try:
                async with asyncio.timeout(self._timeout_s):
                    reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_BYTES)
            except (OSError, TimeoutError) as error:
                raise ConnectivityError(f"venue {self.name} at {where}: {error or 'no answer in time'}") from error
            self._reader = _kept(self._read(reader, writer))
            try:
                said = await self._send(writer, "login", {"account": self._account, "after": self._seen})
            except BaseException:
                writer.close()
                raise
            if writer.is_closing():  # its reader has come to its end meanwhile, and told nobody
                raise ConnectivityError(f"venue {self.name}: the connection was lost")
            self._seen = said["last"] if self._seen is None else self._seen
            self._writer = writer
            return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError) as error:
            logger.warning("venue %s: %s", self.name, error)
        except asyncio.CancelledError:
            self._is_closed = True  # the loop ends, or it was closed: nothing comes back
            raise
        finally:
            writer.close()
            self._lost(writer)

    def _lost(self, writer: asyncio.StreamWriter) -> None:
        """Whoever waits is told; the connection comes back by itself, for the reports that are missed meanwhile."""
        waiting, self._asked = self._asked, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(ConnectivityError(f"venue {self.name}: the connection was lost"))
        if self._writer is writer:
            self._writer = None
            if not self._is_closed:
                self._back = _kept(self._come_back())

    async def _come_back(self) -> None:
        wait_s, most_s = BACKOFF_S
        while self._writer is None and not self._is_closed:
            try:
                await self._connected()
            except ConnectivityError:
                await asyncio.sleep(wait_s)
                wait_s = min(most_s, wait_s * 2)

    def _take(self, said: dict[str, Any]) -> None:
        if "report" in said:
            if self._seen is not None and said["number"] <= self._seen:
                return
            self._seen = said["number"]
            report = _report(said["report"])
            for hears in list(self._heard_by):
                hears(report)
            return
        answer = self._asked.get(said.get("id", 0))
        if answer is None or answer.done():
            return
        if "error" in said:
            answer.set_exception(_error(self.name, said["error"]))
        else:
            answer.set_result(said["ok"])


def _kept(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that runs to its end, or to that of its loop, whether or not somebody still holds the port.

    asyncio holds tasks weakly, and a stream its reader: a port that nobody closed would take its task with it, in the
    middle of a read and on any thread.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return task


def _error(venue: str, said: dict[str, Any]) -> Exception:
    message = f"venue {venue}: {said.get('reason', '')}"
    if said["kind"] == "throttled":
        return Throttled(message, retry_after_ns=said["retry_after_ns"])
    return OrderRejected(message, reason=said.get("reason", ""))


def _acknowledged(said: dict[str, Any]) -> Acknowledgement:
    return Acknowledgement(said["client_id"], said["state"], said["venue_id"])


def _report(said: dict[str, Any]) -> OrderReport:
    price = float("nan") if said["price"] is None else said["price"]
    names = ("client_id", "state", "filled", "fee", "ts_ns", "reason", "venue_id")
    return OrderReport(price=price, **{name: said[name] for name in names})
