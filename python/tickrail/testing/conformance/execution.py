"""What every ``ExecutionPort`` does."""

from __future__ import annotations

import pytest

from tickrail._native import InstrumentId
from tickrail.domain.orders import CAPABILITIES, OrderReport, OrderRequest
from tickrail.errors import OrderRejected, Unsupported
from tickrail.orchestration.port_check import check_port
from tickrail.ports.execution import ExecutionPort

__all__ = ["ExecutionSuite"]


class ExecutionSuite:
    """Derive, and say how a venue is made and how its reports arrive.

    Attributes:
        instrument: Something that the venue trades.
    """

    instrument = "EURUSD.SIM"

    def make(self) -> ExecutionPort:
        """A venue without orders."""
        raise NotImplementedError

    def settle(self, venue: ExecutionPort) -> None:
        """Wait until every report of what was done has been delivered."""
        raise NotImplementedError

    def order(self, client_id: str, quantity: float = 1.0, limit: float | None = None) -> OrderRequest:
        """A purchase."""
        return OrderRequest(client_id, InstrumentId(self.instrument), "BUY", quantity, limit)

    def far(self, client_id: str) -> OrderRequest:
        """A purchase that is not filled: at a price that nobody asks."""
        return self.order(client_id, limit=0.000_001)

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), ExecutionPort) == []

    def test_its_capabilities_have_meanings(self) -> None:
        """And do not change."""
        venue = self.make()
        assert venue.capabilities <= CAPABILITIES
        assert venue.capabilities == venue.capabilities

    def test_an_order_is_acknowledged_and_reported_to_its_end(self) -> None:
        """In order, once each, and nothing after the end."""
        venue, heard = self.make(), list[OrderReport]()
        venue.subscribe(heard.append)
        answer = venue.submit(self.order("o-1"))
        assert heard == [], "reports come from elsewhere, never out of the call"
        assert (answer.client_id, answer.state in ("ACCEPTED", "PENDING")) == ("o-1", True)
        self.settle(venue)
        states = [report.state for report in heard if report.client_id == "o-1"]
        assert states[-1] in ("FILLED", "REJECTED")
        assert [state for state in states if state in ("FILLED", "CANCELED", "REJECTED")] == states[-1:]
        assert venue.status("o-1") == heard[-1]

    def test_one_name_is_one_order(self) -> None:
        """However often it is sent."""
        venue, heard = self.make(), list[OrderReport]()
        venue.subscribe(heard.append)
        for _ in range(3):
            venue.submit(self.order("o-1"))
        self.settle(venue)
        assert sum(report.filled for report in heard if report.state == "FILLED") <= 1.0

    def test_cancelling_an_open_order_ends_it(self) -> None:
        """And one that is done stays as it is."""
        venue, heard = self.make(), list[OrderReport]()
        if "limit" not in venue.capabilities:
            pytest.skip("without limit orders none rests")
        venue.subscribe(heard.append)
        venue.submit(self.far("o-1"))
        venue.cancel("o-1")
        self.settle(venue)
        assert venue.status("o-1").state == "CANCELED"
        venue.cancel("o-1")
        self.settle(venue)
        assert venue.status("o-1").state == "CANCELED"

    def test_amending_keeps_the_name(self) -> None:
        """The order is another one afterwards."""
        venue = self.make()
        if not {"limit", "amend"} <= venue.capabilities:
            pytest.skip("cannot amend")
        venue.submit(self.far("o-1"))
        assert venue.amend("o-1", quantity=2.0).client_id == "o-1"
        self.settle(venue)
        assert not venue.status("o-1").is_final

    def test_a_stop_that_waits_is_moved(self) -> None:
        """As whoever trails a stop needs it; the order waits on."""
        venue = self.make()
        if not {"stop", "amend"} <= venue.capabilities:
            pytest.skip("cannot amend stops")
        venue.submit(OrderRequest("o-1", InstrumentId(self.instrument), "SELL", 1.0, stop=0.000_001))
        self.settle(venue)
        assert venue.amend("o-1", stop=0.000_002).client_id == "o-1"
        self.settle(venue)
        assert not venue.status("o-1").is_final

    def test_what_is_unknown_is_refused(self) -> None:
        """By name."""
        venue = self.make()
        for act in (venue.status, venue.cancel):
            with pytest.raises(OrderRejected):
                act("never-sent")

    def test_what_it_cannot_do_is_said_before_it_is_sent(self) -> None:
        """With the capability that lacks."""
        venue = self.make()
        if "limit" in venue.capabilities:
            pytest.skip("has limit orders")
        with pytest.raises(Unsupported) as caught:
            venue.submit(self.far("o-1"))
        assert caught.value.capability == "limit"

    def test_closing_twice_is_closing_once(self) -> None:
        """As everywhere."""
        venue = self.make()
        venue.close()
        venue.close()
