"""The I/O thread: one asyncio loop off the dispatch thread, whose failures show and whose end is bounded."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator

import pytest

from tickrail import errors
from tickrail.orchestration.io_thread import MAX_KEPT_FAILURES, IoFailure, IoThread

PATIENCE_S = 30.0


@pytest.fixture
def io() -> Iterator[IoThread]:
    thread = IoThread()
    yield thread
    thread.close(PATIENCE_S)


async def where() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise ValueError("by design")


def test_it_starts_when_something_is_run_and_is_one_thread_with_one_loop(io: IoThread) -> None:
    before = threading.enumerate()  # runs of other tests may have one that ends with them
    assert not io.started
    assert io.run(where()).result(PATIENCE_S) == "tickrail-io"
    assert {io.call(where(), PATIENCE_S) for _ in range(5)} == {"tickrail-io"}
    started = [thread for thread in threading.enumerate() if thread.name == "tickrail-io" and thread not in before]
    assert len(started) == 1


def test_many_threads_start_one(io: IoThread) -> None:
    barrier = threading.Barrier(8)
    seen: list[int] = []

    async def ident() -> int:
        return threading.get_ident()

    def race() -> None:
        barrier.wait()
        seen.append(io.call(ident(), PATIENCE_S))

    racers = [threading.Thread(target=race) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_an_exception_comes_back_to_whoever_waits(io: IoThread) -> None:
    with pytest.raises(ValueError, match="by design"):
        io.call(fail(), PATIENCE_S)
    assert io.failure_count == 0


def test_a_failure_that_nobody_awaits_shows(io: IoThread) -> None:
    told: list[IoFailure] = []
    io._on_failure = told.append

    async def forget() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    io.call(forget(), PATIENCE_S)
    (failure,) = io.failures
    assert isinstance(failure.exception, ValueError)
    assert failure.task == "fail"
    assert told == [failure]


def test_kept_failures_are_bounded_and_all_are_counted(io: IoThread) -> None:
    async def many() -> None:
        loop = asyncio.get_running_loop()
        for number in range(MAX_KEPT_FAILURES + 7):
            loop.call_exception_handler({"message": str(number)})

    io.call(many(), PATIENCE_S)
    assert (io.failure_count, len(io.failures)) == (MAX_KEPT_FAILURES + 7, MAX_KEPT_FAILURES)
    assert io.failures[-1].message == str(MAX_KEPT_FAILURES + 6)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_wants_to_end_the_process_ends_its_coroutine_alone(io: IoThread, error: type[BaseException]) -> None:
    async def leave() -> None:
        raise error

    with pytest.raises(error):
        io.call(leave(), PATIENCE_S)
    assert io.call(where(), PATIENCE_S) == "tickrail-io"


def test_close_cancels_and_lets_coroutines_clean_up(io: IoThread) -> None:
    begun, cleaned = threading.Event(), []

    async def tidy() -> None:
        try:
            begun.set()
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    future = io.run(tidy())
    assert begun.wait(PATIENCE_S)
    assert io.close(PATIENCE_S) == ()
    assert cleaned == [True]
    assert future.cancelled()
    assert io.close() == ()


def test_close_is_bounded_and_names_what_it_abandons(caplog: pytest.LogCaptureFixture) -> None:
    io = IoThread()
    begun, release = threading.Event(), threading.Event()

    async def stubborn() -> None:
        begun.set()
        release.wait(PATIENCE_S)

    io.run(stubborn())
    assert begun.wait(PATIENCE_S)
    before = time.monotonic()
    (abandoned,) = io.close(0.05)
    assert "stubborn" in abandoned
    assert "stubborn" in caplog.text
    assert time.monotonic() - before < PATIENCE_S / 2
    release.set()
    assert io.close(PATIENCE_S) == ()


def test_what_is_cancelled_before_its_first_step_does_not_warn(io: IoThread) -> None:
    release = threading.Event()

    async def hold() -> None:
        release.wait(PATIENCE_S)

    holder = io.run(hold())
    never = io.run(fail())
    assert never.cancel()
    release.set()
    holder.result(PATIENCE_S)
    io.close(PATIENCE_S)
    del never, holder
    gc.collect()


def test_a_closed_one_refuses_and_closes_the_coroutine(io: IoThread) -> None:
    io.close()
    with pytest.raises(errors.IllegalTransition, match="closed"):
        io.run(fail())
    gc.collect()


def test_it_does_not_wait_for_itself(io: IoThread) -> None:
    async def inside() -> None:
        with pytest.raises(errors.WrongThread):
            io.call(fail(), PATIENCE_S)
        with pytest.raises(errors.WrongThread):
            io.close()

    io.call(inside(), PATIENCE_S)


def test_a_call_that_takes_too_long_is_cancelled(io: IoThread) -> None:
    ended = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        io.call(hang(), 0.05)
    assert ended.wait(PATIENCE_S)


def test_what_is_to_come_later_comes_on_its_thread_and_not_after_its_end(io: IoThread) -> None:
    called, came = [], threading.Event()

    def note() -> None:
        called.append(threading.current_thread().name)
        came.set()

    io.later(0.0, note)
    assert came.wait(PATIENCE_S)
    io.close(PATIENCE_S)
    io.later(0.0, note)
    assert called == ["tickrail-io"]


def test_who_waits_for_what_is_left_behind_is_told_once() -> None:
    told, begun, release = [], threading.Event(), threading.Event()
    io = IoThread()
    io.when_left(lambda: told.append(io.abandoned))

    async def stubborn() -> None:
        begun.set()
        release.wait(PATIENCE_S)

    io.run(stubborn())
    assert begun.wait(PATIENCE_S)
    left = io.close(0.05)
    assert told == [left]
    assert "stubborn" in left[0]
    release.set()
    io.close(PATIENCE_S)
    assert len(told) == 1
    assert io.abandoned == (), "it has ended after all"
