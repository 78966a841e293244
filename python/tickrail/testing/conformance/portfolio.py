"""What every ``PortfolioPort`` does."""

from __future__ import annotations

from tickrail.domain.holdings import Holding, Holdings
from tickrail.orchestration.port_check import check_port
from tickrail.ports.portfolio import PortfolioPort

__all__ = ["PortfolioSuite"]


class PortfolioSuite:
    """Derive, and say how one is made and moved."""

    def make(self) -> PortfolioPort:
        """A new one, which holds 2 units of ``A.SIM``, -1 of ``B.SIM``, nothing of ``C.SIM``, and 100 USD."""
        raise NotImplementedError

    def move(self, portfolio: PortfolioPort) -> None:
        """Let it have 3 units of ``A.SIM`` instead of 2."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), PortfolioPort) == []

    def test_the_ways_to_ask_agree(self) -> None:
        """One position, all positions, cash, and the snapshot of them."""
        portfolio = self.make()
        assert [portfolio.position(name) for name in ("A.SIM", "B.SIM", "C.SIM")] == [2.0, -1.0, 0.0]
        assert {name: one.quantity for name, one in portfolio.positions().items()} == {"A.SIM": 2.0, "B.SIM": -1.0}
        assert dict(portfolio.cash()) == {"USD": 100.0}
        snapshot = portfolio.snapshot()
        assert dict(snapshot.positions) == dict(portfolio.positions())
        assert dict(snapshot.cash) == dict(portfolio.cash())

    def test_a_snapshot_never_changes_and_differences_start_from_it(self) -> None:
        """What has moved is in the difference, and nothing else."""
        portfolio = self.make()
        before = portfolio.snapshot()
        assert portfolio.diff(before) == ()
        self.move(portfolio)
        assert before.positions["A.SIM"].quantity == 2.0
        moved = [one for one in portfolio.diff(before) if one.what == "position"]
        assert [(one.key, one.before, one.after, one.change) for one in moved] == [("A.SIM", 2.0, 3.0, 1.0)]

    def test_reconciling_names_each_figure_that_differs(self) -> None:
        """From what it has to what the other says."""
        portfolio = self.make()
        assert portfolio.reconcile(portfolio.snapshot()) == ()
        theirs = Holdings(0, {"A.SIM": Holding(2.0), "C.SIM": Holding(5.0)}, {"USD": 100.0})
        found = portfolio.reconcile(theirs)
        assert [(one.key, one.before, one.after) for one in found] == [("B.SIM", -1.0, 0.0), ("C.SIM", 0.0, 5.0)]

    def test_who_subscribes_hears_of_changes(self) -> None:
        """With a snapshot after each."""
        portfolio, heard = self.make(), list[Holdings]()
        portfolio.subscribe(heard.append)
        self.move(portfolio)
        assert heard
        assert heard[-1].positions["A.SIM"].quantity == 3.0
