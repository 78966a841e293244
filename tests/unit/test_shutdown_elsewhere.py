"""``Shutdown`` where no signal comes: on another thread nothing is installed and nothing is bounded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tickrail.orchestration.shutdown import Shutdown, _feed_s
from tickrail.orchestration.tick_dispatcher import TickDispatcher


def test_on_another_thread_it_installs_and_says_nothing(tmp_path: Path) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    told: list[object] = []

    def work() -> None:
        with Shutdown(deadline_s=0.01, hurry_s=0.01, notify=str(tmp_path / "nobody")) as shutdown:
            shutdown.attach(TickDispatcher([{"id": "A.SIM"}]))
            shutdown.ready()
            shutdown.phase("it works")
            shutdown.set_report("{}", tmp_path / "report.json", to_stdout=True)
            told.extend([shutdown.signals, shutdown.stopping_s, shutdown.deadline_s])
            told.extend([shutdown.exit_code(0), shutdown.exit_code(3), shutdown.exit_code(0, abandoned=True)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert told == [[], None, 0.01, 0, 3, 70]
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_is_just_ending_keeps_no_process_and_one_that_goes_on_is_named() -> None:
    shutdown, over = Shutdown(), threading.Event()
    shutdown._threads = frozenset(threading.enumerate())
    ending = threading.Thread(target=over.wait, args=(0.02,), name="ending")
    ending.start()
    assert shutdown._waited_for() == []
    threads = [threading.Thread(target=over.wait, name=name) for name in ("two", "one")]
    for one in threads:
        one.start()
    try:
        assert shutdown._waited_for() == ["one", "two"]
    finally:
        over.set()
        for one in threads:
            one.join()


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_a_signal_of_the_users_decides_the_exit_code_and_the_handlers_come_back() -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    codes: dict[tuple[int, ...], int] = {}
    for sent in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)):
        with Shutdown(deadline_s=600.0, hurry_s=600.0) as shutdown:
            for number, one in enumerate(sent, start=1):
                signal.raise_signal(one)
                while len(shutdown.signals) < number:  # the native thread hears of it by a pipe
                    pass
            assert shutdown.stopping_s is not None
            codes[tuple(map(int, sent))] = shutdown.exit_code(0)
            assert shutdown.exit_code(1) == 1, "a run that has failed stays one, however often it was told to stop"
    assert codes == {(15,): 0, (2,): 130, (15, 15): 143}
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.parametrize(
    ("said", "feed_s"),
    [("20000000", 10.0), ("1", 0.001), (str(40 * 86_400 * 10**6), 3_600.0), ("0", None), ("", None), ("soon", None)],
)
def test_systemd_is_fed_twice_within_its_time_however_long(said: str, feed_s: float | None) -> None:
    assert _feed_s(said) == feed_s
    with Shutdown(notify="@tickrail-nobody", watchdog_us=said):
        pass  # and the native side takes it


def test_threads_that_the_interpreter_waits_for_are_watched_until_they_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    ended = threading.Event()
    for stops in (False, True):
        with Shutdown(deadline_s=600.0) as shutdown:
            thread = threading.Thread(target=ended.wait)
            thread.start()
            if stops:
                signal.raise_signal(signal.SIGTERM)
                while shutdown.stopping_s is None:
                    pass
        assert len(at_exit) == int(stops), "a run that came to its end by itself is nobody's to end"
    assert signal.getsignal(signal.SIGTERM) != handlers[0], "a second signal is still heard"
    ended.set()
    for _ in range(2):
        at_exit[0]()
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
