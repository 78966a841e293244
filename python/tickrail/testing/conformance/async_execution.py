"""What every ``AsyncExecutionPort`` does: the suite of ``ExecutionPort``, its calls awaited on an I/O thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

import pytest

from tickrail.domain.orders import Acknowledgement, OrderReport, OrderRequest
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.port_check import check_port, port_of_execution
from tickrail.ports.execution import AsyncExecutionPort, ExecutionPort
from tickrail.testing.conformance.execution import ExecutionSuite

__all__ = ["AsyncExecutionSuite", "Awaited"]

T = TypeVar("T")
CALL_S: Final = 10.0
"""How long one call may take."""


class Awaited:
    """An ``AsyncExecutionPort`` as an ``ExecutionPort``: each call waits for its end on an I/O thread.

    Reports wait until ``deliver`` hands them out on the caller's thread.

    Args:
        port: The adapter.
        io: Where it runs.
    """

    def __init__(self, port: AsyncExecutionPort, io: IoThread) -> None:
        self.port, self.io = port, io
        self._reports: list[OrderReport] = []
        self._wrong: list[str] = []
        self._heard_by: list[Callable[[OrderReport], object]] = []
        self._calling: asyncio.Task[Any] | None = None
        port.subscribe(self._hear)

    @property
    def capabilities(self) -> frozenset[str]:
        """The adapter's."""
        return self.port.capabilities

    def submit(self, order: OrderRequest) -> Acknowledgement:
        """See ``ExecutionPort``."""
        return self.call(self.port.submit(order))

    def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        """See ``ExecutionPort``."""
        return self.call(self.port.amend(client_id, quantity=quantity, limit=limit, stop=stop))

    def cancel(self, client_id: str) -> Acknowledgement:
        """See ``ExecutionPort``."""
        return self.call(self.port.cancel(client_id))

    def status(self, client_id: str) -> OrderReport:
        """See ``ExecutionPort``."""
        return self.call(self.port.status(client_id))

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        """Call ``listener`` with what ``deliver`` hands out."""
        self._heard_by.append(listener)

    def close(self) -> None:
        """See ``ExecutionPort``."""
        self.port.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns that runs where the adapter does."""
        return self.io.call(self._watched(work), CALL_S)

    def deliver(self) -> None:
        """Hand out what has come so far.

        Raises:
            AssertionError: A report came on another thread than the adapter's, or out of a call.
        """
        assert self._wrong == []
        for _ in range(len(self._reports)):
            report = self._reports.pop(0)
            for hears in self._heard_by:
                hears(report)

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        self._calling = asyncio.current_task()
        try:
            return await work
        finally:
            self._calling = None

    def _hear(self, report: OrderReport) -> None:
        if not self.io.is_current:
            self._wrong.append(f"{report} came on another thread than the I/O thread")
        elif self._calling is not None and asyncio.current_task() is self._calling:
            self._wrong.append(f"{report} came out of the call of a request")
        self._reports.append(report)


class AsyncExecutionSuite(ExecutionSuite):
    """Derive, and say how a venue is made (``make_async``) and how its reports arrive (``settled``)."""

    @pytest.fixture(autouse=True)
    def _io_thread(self) -> Iterator[None]:
        with IoThread() as self.io:
            yield

    def make_async(self) -> AsyncExecutionPort:
        """A venue without orders."""
        raise NotImplementedError

    async def settled(self, port: AsyncExecutionPort) -> None:
        """Wait, on the I/O thread, until every report of what was done has come."""
        raise NotImplementedError

    def make(self) -> Awaited:
        """The same behind plain calls."""
        return Awaited(self.make_async(), self.io)

    def settle(self, venue: ExecutionPort) -> None:
        """Wait until every report of what was done has been delivered."""
        assert isinstance(venue, Awaited)
        # Not by `call`: whatever the venue tells here comes out of no request.
        venue.io.call(self.settled(venue.port), CALL_S)
        venue.deliver()

    def test_its_calls_are_coroutines(self) -> None:
        """All four, with the parameters of the port."""
        port = self.make_async()
        assert check_port(port, AsyncExecutionPort) == []
        assert port_of_execution(port) is AsyncExecutionPort
