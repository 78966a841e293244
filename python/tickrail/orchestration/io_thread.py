"""``IoThread``: the one asyncio loop of a run, on a thread of its own.

Whatever is asyncio (feeds, venues, async command handlers, coroutines of ``Strategy.spawn``) runs here and never on the
dispatch thread: a coroutine that hogs the loop delays other coroutines, and no tick.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from tickrail._native import IoBeat
from tickrail.domain.threads import begin
from tickrail.errors import IllegalTransition, WrongThread

if TYPE_CHECKING:  # asyncio is a fifth of what a run imports, and most runs need none of it
    import asyncio
    import concurrent.futures

__all__ = ["CLOSE_TIMEOUT_S", "MAX_KEPT_FAILURES", "IoFailure", "IoThread"]

T = TypeVar("T")
logger = logging.getLogger("tickrail.io")

#: How long ``close`` waits for coroutines that are being cancelled: longer than any clean-up that behaves, and shorter
#: than the deadline of a shutdown.
CLOSE_TIMEOUT_S: Final = 5.0
#: What that may be of the whole of a shutdown: what closes after it has its time too.
CLOSE_SHARE: Final = 0.2
#: Failures that nobody awaited are kept for reports, the latest so many; all are counted.
MAX_KEPT_FAILURES: Final = 100


class IoFailure(msgspec.Struct, frozen=True):
    """Something on the I/O thread failed, and nobody waits for it.

    Attributes:
        message: What asyncio says of it.
        task: The coroutine, by its name, or empty.
        exception: What was raised, where something was.
    """

    message: str
    task: str
    exception: BaseException | None


class IoThread:
    """An asyncio loop on a thread of its own, started when something is first run on it.

    Args:
        name: The thread's name.
        on_failure: Called on the I/O thread with each failure that nobody awaits; ``failures`` keeps them too.

    Attributes:
        abandoned: Names of the coroutines that ``close`` has left behind, as it returns them; the log has them too.
        beat: Whether the loop turns, for a watch that needs no interpreter.
        close_within_s: How long ``close`` waits; less where the whole of a shutdown is short.

    A context manager that closes. Thread safety: any thread; ``call`` and ``close`` not from the I/O thread itself.
    """

    def __init__(self, *, name: str = "tickrail-io", on_failure: Callable[[IoFailure], object] | None = None) -> None:
        self.name = name
        self.beat = IoBeat()
        self.close_within_s = CLOSE_TIMEOUT_S
        self.failures: deque[IoFailure] = deque(maxlen=MAX_KEPT_FAILURES)
        self.failure_count = 0
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._closing = self._stopped = False
        self._when_left: list[Callable[[], object]] = []
        self.abandoned: tuple[str, ...] = ()

    @property
    def started(self) -> bool:
        """Whether the thread runs, or ran."""
        return self._thread is not None

    @property
    def closed(self) -> bool:
        """Whether nothing can be run any more."""
        return self._closing

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the I/O thread."""
        return self._ident == threading.get_ident()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin ``coroutine`` on the I/O thread and return at once; cancelling the future cancels it.

        Raises:
            IllegalTransition: The thread is closed; the coroutine is closed too.
        """
        import asyncio

        with self._lock:
            if not self._closing:
                return asyncio.run_coroutine_threadsafe(coroutine, self._started_loop())
        coroutine.close()
        raise IllegalTransition(
            "the I/O thread is closed: nothing can be run on it any more", state="closed", operation="run"
        )

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run ``coroutine`` and wait for what it returns; the wait holds no GIL and ends at Ctrl-C.

        Raises:
            TimeoutError: It took longer than ``timeout_s``, and is cancelled.
            WrongThread: The caller is on the I/O thread, which would wait for itself.
        """
        if self.is_current:
            coroutine.close()
            raise WrongThread("the I/O thread cannot wait for itself", hint="await the coroutine")
        future = self.run(coroutine)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def later(self, delay_s: float, act: Callable[[], object]) -> None:
        """Call ``act`` on the I/O thread after ``delay_s``; not at all once it is closed. Any thread."""
        with self._lock:
            if not self._closing:
                loop = self._started_loop()
                loop.call_soon_threadsafe(loop.call_later, delay_s, act)

    def when_left(self, act: Callable[[], object]) -> None:
        """Call ``act`` on the thread that closes this one, if that does not end in time: nobody else answers then."""
        self._when_left.append(act)

    def share_end(self, whole_s: float) -> None:
        """The whole end of the process may take ``whole_s``: closing takes no more than its part of it."""
        self.close_within_s = min(CLOSE_TIMEOUT_S, whole_s * CLOSE_SHARE)

    def close(self, timeout_s: float | None = None) -> tuple[str, ...]:
        """Cancel everything, wait ``timeout_s`` (``close_within_s``) at most for it, and stop the thread. Idempotent.

        Returns:
            Names of the coroutines that did not end in time and were abandoned (the thread is a daemon); normally none.

        Raises:
            WrongThread: The caller is on the I/O thread.
        """
        if self.is_current:
            raise WrongThread("the I/O thread cannot close itself", hint="close it from the thread that owns the run")
        with self._lock:
            is_first, self._closing = not self._closing, True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return ()
        if is_first:  # another stop would cut short what the first has begun
            loop.call_soon_threadsafe(self._stop, loop)
        thread.join(max(self.close_within_s if timeout_s is None else timeout_s, 0.0))
        self.abandoned = _names(loop) if thread.is_alive() else ()
        for act in self._when_left if self.abandoned else ():
            act()
        if self.abandoned and is_first:
            logger.error("coroutines have not ended and are left on the I/O thread: %s", ", ".join(self.abandoned))
        return self.abandoned

    def at_work(self) -> str:
        """The name of the coroutine that runs at this moment, or "a callback". Any thread."""
        import asyncio

        task = None if self._loop is None else asyncio.current_task(self._loop)
        return "a callback" if task is None else f"the coroutine {_name(task)}"

    @property
    def stuck_in(self) -> str | None:
        """What keeps the loop for longer than a handler may take, where a run goes on that watches it."""
        return self.at_work() if self.beat.is_stuck else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            from tickrail.orchestration.beating_loop import beating_loop  # late, as asyncio is

            self._loop = beating_loop(self.beat)
            self._loop.set_exception_handler(lambda _, context: self._note(context))
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name=self.name, daemon=True)
            try:
                begin(self._thread)
            except BaseException:
                self._loop.close()
                self._loop = self._thread = None
                raise
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        self._ident = threading.get_ident()
        self.beat.belong_to(self._ident)
        asyncio.set_event_loop(loop)
        try:
            while not self._stopped:
                self._turn(loop.run_forever)  # again where SystemExit left a coroutine: the others go on
            for leave in (_cancel_all(loop), loop.shutdown_asyncgens(), loop.shutdown_default_executor()):
                self._turn(partial(loop.run_until_complete, leave))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            self.beat.rest()
            self.beat.belong_to(0)
            self._ident = None  # another thread may get it

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stopped = True
        loop.stop()

    def _turn(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            self._note({"message": f"{type(error).__name__} left the loop", "exception": error})

    def _note(self, context: dict[str, Any]) -> None:
        import asyncio

        task = context.get("task") or context.get("future")
        name = _name(task) if isinstance(task, asyncio.Task) else ""
        failure = IoFailure(str(context.get("message", "")), name, context.get("exception"))
        self.failure_count += 1
        self.failures.append(failure)
        if self._on_failure is not None:
            self._on_failure(failure)


async def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    current = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks(loop) if task is not current]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", task.get_name())


def _names(loop: asyncio.AbstractEventLoop) -> tuple[str, ...]:
    """The tasks that are still there, as seen from another thread; not the one that waits for the others."""
    import asyncio

    try:
        names = (_name(task) for task in asyncio.all_tasks(loop) if not task.done())
        return tuple(sorted(name for name in names if name != _cancel_all.__name__)) or ("a callback",)
    except RuntimeError:  # asyncio's set of tasks kept changing while it was looked at
        return ("tasks that keep changing",)
