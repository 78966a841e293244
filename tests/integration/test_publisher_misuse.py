"""Publishers in hands that are careless or in haste: order and accounts hold, and what is wrong is said."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from tests.integration.live_runs import LONG_S, A, B, in_thread, opened, quotes
from tickrail.errors import (
    FeedClosed,
    FeedError,
    IllegalTransition,
    PublishError,
    PublishTimeout,
    RingFull,
    WrongThread,
)
from tickrail.orchestration.feeds import Publisher
from tickrail.orchestration.live import LiveRun


def ended(run: LiveRun) -> tuple[int, int, int]:
    """Run what was published; offered, rejected and taken of its feed."""
    run.seal()
    assert run.run().ok
    (account,) = run.accounts().feeds.values()
    assert account.offered == account.rejected + account.taken
    return account.offered, account.rejected, account.taken


def until(holds: Any) -> None:
    deadline = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("call", ["publish", "publish_quote", "publish_trade", "offer", "reconnected"])
def test_nothing_overtakes_what_was_offered_and_is_not_in(call: str) -> None:
    run, keeper = opened()
    with run.feed("f", capacity=2).publisher() as publisher:
        assert not publisher.offer(quotes(range(5)))
        arguments: dict[str, tuple[Any, ...]] = {
            "publish": (quotes([99]),),
            "publish_quote": (A, 1.0, 2.0),
            "publish_trade": (A, 1.0),
            "offer": (quotes([99]),),
            "reconnected": (),
        }
        with pytest.raises(PublishError, match="2 of 5 records of the call before this one are in") as caught:
            getattr(publisher, call)(*arguments[call])
        assert caught.value.hint == "records keep their order: await drained(), or the asynchronous call, first"
    assert ended(run) == (5, 3, 2), "the end counts those that were not in"
    assert keeper.sequences() == [0, 1]


def test_offers_that_nobody_drains_keep_one_batch_and_no_more() -> None:
    run, _ = opened()
    publisher = run.feed("f", capacity=2).publisher()
    batch = quotes(range(1_000))
    assert not publisher.offer(batch)
    for _ in range(50):
        with pytest.raises(PublishError):
            publisher.offer(batch)
    del publisher
    gc.collect()
    assert ended(run) == (1_000, 998, 2), "what is collected is closed, and counts"


def test_a_publish_amid_an_asynchronous_one_is_refused_and_the_order_stays() -> None:
    run, keeper = opened()
    publisher = run.feed("f", capacity=4).publisher()

    async def publishes() -> None:
        bringing = asyncio.create_task(publisher.publish_async(quotes(range(10))))
        await asyncio.sleep(0)  # now it waits for slots
        run.seal()
        runs = in_thread(run.run)
        with pytest.raises(PublishError, match="of 10 records of the call before"):
            publisher.publish_quote(A, 1.0, 2.0, sequence=99)
        await bringing
        publisher.publish_quote(A, 1.0, 2.0, sequence=99)
        publisher.close()
        runs()

    asyncio.run(publishes())
    assert keeper.sequences() == [*range(10), 99]


@pytest.mark.parametrize("how", ["cancelled", "collected"])
def test_a_wait_that_does_not_come_to_its_end_is_counted_and_says_how_far_it_came(how: str) -> None:
    run, keeper = opened()
    publisher = run.feed("f", capacity=4).publisher()
    loop = asyncio.new_event_loop()
    bringing = loop.create_task(publisher.publish_async(quotes(range(10))))
    loop.run_until_complete(asyncio.sleep(0))
    if how == "cancelled":
        bringing.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            loop.run_until_complete(bringing)
        assert [note.partition(";")[2] for note in caught.value.__notes__] == [" 4 of 10 records were taken"]
        loop.close()
    else:
        bringing._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        del bringing
        gc.collect()
    publisher.close()
    assert ended(run) == (10, 6, 4)
    assert keeper.sequences() == [0, 1, 2, 3]


def test_another_thread_closes_a_publisher_whose_owner_waits() -> None:
    run, keeper = opened()
    publisher = run.feed("f", capacity=2, timeout_s=LONG_S).publisher()
    caught: list[FeedClosed] = []

    def owner() -> None:
        with pytest.raises(FeedClosed, match="2 of 5 records were taken") as raised:
            publisher.publish(quotes(range(5)))
        caught.append(raised.value)

    join = in_thread(owner)
    until(lambda: run_waits(publisher))
    begun = time.monotonic()
    publisher.close()
    assert publisher.is_closed
    join()
    assert time.monotonic() - begun < LONG_S / 2
    assert (caught[0].taken, caught[0].offered) == (2, 5)
    publisher.close()
    with pytest.raises(FeedClosed):
        publisher.publish(quotes([7]))
    assert ended(run) == (6, 4, 2)
    assert keeper.sequences() == [0, 1]


def run_waits(publisher: Publisher) -> bool:
    """Whether a call of another thread goes on."""
    try:
        publisher.release()
    except RuntimeError as error:
        return "still going on" in str(error) or isinstance(error, WrongThread)
    return False


def test_a_publisher_outlives_the_thread_that_it_belonged_to() -> None:
    run, keeper = opened()
    publisher = run.feed("f").publisher()
    held, done = threading.Event(), threading.Event()

    def owner() -> None:
        publisher.publish(quotes([0]))
        held.set()
        done.wait(LONG_S)

    join = in_thread(owner)
    held.wait(LONG_S)
    with pytest.raises(WrongThread, match="belongs to another thread"):
        publisher.publish(quotes([1]))
    with pytest.raises(WrongThread):
        publisher.release()
    done.set()
    join()
    for number in range(2, 12):  # threads that end without a word
        in_thread(lambda number=number: publisher.publish(quotes([number])))()
    publisher.publish(quotes([12]))
    publisher.close()
    assert ended(run) == (12, 0, 12)
    assert keeper.sequences() == [0, *range(2, 13)]


def test_a_publisher_serves_one_event_loop_after_the_other() -> None:
    run, keeper = opened()
    publisher = run.feed("f", capacity=4).publisher()
    runs = in_thread(lambda: ended(run))

    async def two(first: int) -> None:
        await asyncio.gather(*(publisher.publish_async(quotes(range(at, at + 50))) for at in (first, first + 50)))

    for first in (0, 100, 200):
        asyncio.run(two(first))
    publisher.close()
    run.seal()
    runs()
    assert keeper.sequences() == list(range(300))


@pytest.mark.parametrize("policy", ["block", "reject", "drop_newest"])
def test_a_rate_is_waited_for_alike_with_and_without_a_loop(policy: Any) -> None:
    """Twice as many as the rate lets through at once: the rest comes in its time, under any policy."""
    settings: dict[str, Any] = {"policy": policy, "rate_limit": 500, "rate_policy": "wait", "timeout_s": LONG_S}
    for is_async in (False, True):
        run, keeper = opened()
        with run.feed("f", **settings).publisher() as publisher:
            if is_async:
                asyncio.run(publisher.publish_async(quotes(range(100))))
            else:
                publisher.publish(quotes(range(100)))
        assert ended(run) == (100, 0, 100)
        assert keeper.sequences() == list(range(100))


def test_a_rate_that_does_not_let_all_through_in_time_is_a_time_out() -> None:
    run, _ = opened()
    publisher = run.feed("f", policy="reject", rate_limit=10, rate_policy="wait", timeout_s=0.05).publisher()
    with pytest.raises(PublishTimeout, match="rate") as caught:
        asyncio.run(publisher.publish_async(quotes(range(50))))
    with pytest.raises(PublishTimeout, match="rate") as again:
        publisher.publish(quotes(range(50, 100)))
    publisher.close()
    offered, rejected, taken = ended(run)
    assert taken == caught.value.taken + again.value.taken
    assert (offered, rejected) == (100, 100 - taken)
    assert 1 <= taken < 50


def test_a_full_ring_under_reject_is_told_at_once_to_a_coroutine() -> None:
    run, _ = opened()
    publisher = run.feed("f", capacity=4, policy="reject").publisher()
    with pytest.raises(RingFull, match="4 of 10 records were taken"):
        asyncio.run(publisher.publish_async(quotes(range(10))))
    publisher.close()
    assert ended(run) == (10, 6, 4)


def test_an_instrument_that_the_run_does_not_have_is_named_by_the_feed() -> None:
    run, _ = opened()
    with pytest.raises(FeedError, match=r"feed g: .*C\.SIM"):
        run.feed("g", instruments=["C.SIM"])
    publisher = run.feed("f").publisher()
    for bring in (publisher.publish_quote, publisher.publish_trade):
        with pytest.raises(PublishError, match=r"feed f: .*C\.SIM") as caught:
            bring("C.SIM", 1.0, 2.0)
        assert caught.value.hint
    publisher.close()
    assert ended(run) == (2, 2, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"capacity": -1}, "capacity is -1: expected a whole number, 0 to "),
        ({"capacity": 8.0}, "capacity is 8.0: expected a whole number"),
        ({"capacity": 1 << 70}, "capacity is 1180591620717411303424: expected"),
        ({"capacity": True}, "capacity is True"),
        ({"policy": None}, "policy is None: expected a word"),
        ({"policy": "lossy"}, "'block', 'reject', 'drop_newest'"),
        ({"rate_limit": -1}, "rate_limit is -1"),
        ({"high_watermark": -1}, "high_watermark is -1"),
        ({"stale_after_ns": 1 << 63}, "stale_after_ns is 9223372036854775808"),
        ({"timeout_s": float("nan")}, "timeout_s is NaN: expected seconds"),
        ({"backwards": "reorder"}, "backwards is 'reorder', which wants a window"),
        ({"on_event": 3}, "on_event is 3: expected something to call"),
        ({"instruments": B}, "instruments is 'B.SIM': expected a sequence of them, such as ['B.SIM']"),
    ],
)
def test_a_setting_that_means_nothing_is_said_with_its_value(settings: dict[str, Any], said: str) -> None:
    run, _ = opened()
    with pytest.raises(ValueError) as caught:
        run.feed("f", **settings)
    assert said in str(caught.value)
    run.feed("f").close()
    assert run.accounts().feeds.keys() <= {"f"}


def test_arrays_that_leave_bytes_unsaid_or_hide_records_are_refused() -> None:
    run, keeper = opened()
    publisher = run.feed("f").publisher()
    batch = quotes(range(4))
    with pytest.raises(ValueError, match="expected TICK_DTYPE"):
        publisher.publish(np.array(batch[["bid", "ask"]]))
    masked = np.ma.masked_array(batch, mask=[False, True, False, False])
    with pytest.raises(TypeError, match="a masked array: take those"):
        publisher.publish(masked)
    publisher.publish(masked.data[[True, False, True, True]])
    publisher.close()
    assert ended(run) == (3, 0, 3)
    assert keeper.sequences() == [0, 2, 3]


@pytest.mark.parametrize("name", ["", "\x00", "a\nb", 3])
def test_a_feed_has_a_name_that_can_be_printed(name: Any) -> None:
    run, _ = opened()
    with pytest.raises(ValueError, match="a feed's name is"):
        run.feed(name)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, float("nan"), 2.0])
def test_a_switch_interval_that_is_none_is_refused_and_the_process_keeps_its_own(seconds: float) -> None:
    before = sys.getswitchinterval()
    with pytest.raises(ValueError, match="switch_interval_s is"):
        opened(switch_interval_s=seconds)
    run, _ = opened()
    run.seal()
    run.run()
    assert sys.getswitchinterval() == before


def test_what_is_over_is_neither_run_nor_recorded() -> None:
    run, keeper = opened()
    assert repr(run) == "LiveRun(Keeper; 2 instruments, open)"
    with run.feed("f", policy="reject").publisher() as publisher:
        publisher.publish(quotes([1]))
        assert repr(publisher) == "Publisher(feed='f', policy='reject', open)"
    assert repr(publisher).endswith("closed)")
    run.seal()
    result = run.run()
    assert (result.status, keeper.sequences()) == ("complete", [1])
    with pytest.raises(IllegalTransition, match="this run is over") as caught:
        run.run()
    assert (caught.value.state, caught.value.operation) == ("ended", "run")
    assert caught.value.hint == "open_live(...) opens another; strategies are made anew for it"
    with pytest.raises(IllegalTransition, match="the run has begun: what it has taken") as caught:
        run.record()
    assert (caught.value.state, caught.value.operation) == ("begun", "record")
    with pytest.raises(IllegalTransition, match="the run has begun, or record\\(\\) was called: feeds, strategies"):
        run.pull()
    assert repr(run) == "LiveRun(Keeper; 2 instruments, over)"
