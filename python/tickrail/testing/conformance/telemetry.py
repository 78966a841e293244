"""What every ``TelemetryPort`` does: nothing that anybody could notice."""

from __future__ import annotations

import threading
from typing import Any

from tickrail.orchestration.port_check import check_port
from tickrail.ports.telemetry import TelemetryPort

__all__ = ["TelemetrySuite"]


class _Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __float__(self) -> float:
        raise RuntimeError("no number")


class TelemetrySuite:
    """Derive, and say how one is made."""

    def make(self) -> TelemetryPort:
        """A new one."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), TelemetryPort) == []

    def test_it_takes_what_it_is_given(self) -> None:
        """Each kind of metric, events, lines and spans."""
        telemetry = self.make()
        telemetry.metric("orders")
        telemetry.metric("depth", 3.5, kind="gauge", venue="SIM")
        telemetry.metric("seconds", 0.1, kind="histogram")
        telemetry.event("connected", venue="SIM", attempt=2)
        telemetry.log("warning", "slow %s", strategy="one")
        with telemetry.span("reconcile", account="a"):
            telemetry.event("inside")

    def test_it_never_raises(self) -> None:
        """Whatever it is given."""
        telemetry = self.make()
        bad: Any = _Hostile()
        telemetry.metric("", float("nan"), kind="gauge")
        telemetry.metric("x", bad, kind=bad, label=bad)
        telemetry.metric("not a name of any system!", -1.0)
        telemetry.event("e", fact=bad)
        telemetry.log(bad, "%d %s", fact=bad)
        with telemetry.span("s", attribute=bad):
            pass

    def test_a_span_hides_no_error(self) -> None:
        """What is raised within comes out."""
        telemetry = self.make()
        caught = False
        try:
            with telemetry.span("failing"):
                raise KeyError("mine")
        except KeyError:
            caught = True
        assert caught

    def test_threads(self) -> None:
        """Any of them, at once."""
        telemetry = self.make()

        def report() -> None:
            for number in range(200):
                telemetry.metric("n")
                telemetry.event("e", number=number)
                with telemetry.span("s"):
                    telemetry.log("debug", "line")

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
