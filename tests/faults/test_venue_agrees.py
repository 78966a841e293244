"""Orders, changes and cancels at a venue outside that loses, delays, refuses and hangs up: both sides agree."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from live_runs import in_thread

from tickrail import OrderUpdate, Strategy, Tick
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.orchestration.live import open_live
from tickrail.report.result import ORDER_STATUS
from tickrail.testing.loopback_venue import LoopbackVenue

pytestmark = pytest.mark.slow

A = "A.LOOP"
TICKS = 250
FAULTS = (
    {"lose_answers": 2},
    {"lose_requests": 1},
    {"throttle": 2},
    {"reject": 1},
    {"ack_delay_s": 0.3},
    {"ack_delay_s": 0.0},
    {"parts": 1},
    {"parts": 4},
    None,
)


class Acts(Strategy):
    """Buys, sells, waits, changes and takes back, by the seed."""

    seed: int

    def on_start(self) -> None:
        self.random, self.open, self.net = random.Random(self.seed), dict[int, None](), 0.0

    def on_tick(self, tick: Tick) -> None:
        chance, oldest = self.random.random(), next(iter(self.open), None)
        if chance < 0.3:
            (self.buy if self.random.random() < 0.5 else self.sell)(A, 1.0)
        elif chance < 0.5:
            self.buy(A, 2.0, limit=9.0)
        elif chance < 0.7 and oldest is not None:
            self.amend(oldest, quantity=2.0 + self.random.randrange(4), limit=self.random.choice((8.5, 9.0, 10.5)))
        elif chance < 0.8 and oldest is not None:
            self.cancel(oldest)

    def on_order_update(self, update: OrderUpdate) -> None:
        self.net += update.fill_quantity if update.side == "BUY" else -update.fill_quantity
        if update.status in ("FILLED", "CANCELED", "REJECTED"):
            self.open.pop(update.order, None)
        elif update.kind == "LIMIT" and update.status != "SUBMITTED":
            self.open[update.order] = None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_order_is_filled_here_as_it_is_there(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    with LoopbackVenue(tmp_path / "orders.jsonl", price=10.0, parts=3, fee_rate=0.001) as venue:
        acts, port = Acts(seed=seed), LoopbackExecution(name="LOOP", address=venue.address, timeout_s=0.2)
        run = open_live(acts, [A], execution={"LOOP": port}, run_id="r9")
        feed = run.feed("quotes")

        def publish() -> None:
            with feed.publisher() as publisher:
                for _ in range(TICKS):
                    publisher.publish_quote(A, 9.9, 10.1)
                    if chosen.random() < 0.15:
                        behaviour = chosen.choice(FAULTS)
                        venue.drop() if behaviour is None else venue.set(**behaviour)
                    time.sleep(0.002)  # the venue has time to be asked
                venue.set(ack_delay_s=0.0)

        publishing = in_thread(publish)
        run.seal()
        result = run.run()
        publishing()
        there, held = dict(venue.books.orders), venue.statement().get(A, 0.0)

    known = dict(zip(result.client_ids, result.orders, strict=True))
    assert set(there) <= set(known), "no order that the run has not made, and each once"
    for name, order in known.items():
        status, at_venue = ORDER_STATUS[order["status"]], there.get(name)
        if at_venue is None:
            # Refused, or taken back while it waited for a venue that did not want it yet.
            assert (status in ("REJECTED", "CANCELED"), order["filled"]) == (True, 0.0), (name, status)
            continue
        assert status in ("FILLED", "CANCELED"), (name, status, at_venue)
        assert order["filled"] == pytest.approx(at_venue["filled"]), (name, status, at_venue)
        assert order["fee"] == pytest.approx(at_venue["fee"]), name
        assert at_venue["filled"] <= at_venue["quantity"] + 1e-9
    assert sum(order["filled"] > 0.0 for order in result.orders) > 30
    assert acts.net == pytest.approx(held)
    (position,) = result.positions
    assert position["net"] == pytest.approx(held)
    signed = (result.fills["quantity"] * (result.fills["side"] * -2.0 + 3.0)).sum()
    assert signed == pytest.approx(held)
