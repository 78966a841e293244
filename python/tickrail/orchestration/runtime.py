"""``Runtime``: what the bootstrapper hands over, ready to run once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from logging import Handler
from typing import TYPE_CHECKING, Self, Unpack

from tickrail._native import Probes, hurry_end, leave_run
from tickrail.config import LoadedConfig, RuntimeConfig
from tickrail.domain.ending import END_DEADLINE_S
from tickrail.domain.threads import begin
from tickrail.domain.time import TimeLike
from tickrail.errors import IllegalTransition, RunFailed
from tickrail.orchestration.backtest import run_to_result
from tickrail.orchestration.container import Container
from tickrail.orchestration.end_watch import EndWatch
from tickrail.orchestration.feeds import Feed, FeedSettings
from tickrail.orchestration.hook_watch import watched_hooks
from tickrail.orchestration.live import SWITCH_INTERVAL_S, switch_interval
from tickrail.orchestration.live_feeds import LiveFeeds
from tickrail.orchestration.lives import Lives, PauseMode, Receipt
from tickrail.orchestration.phases import Phase, Phases
from tickrail.orchestration.tick_dispatcher import Progress, Step, TickDispatcher
from tickrail.orchestration.tracing import span

if TYPE_CHECKING:
    import asyncio

    from tickrail.orchestration.command_bus import CommandBus
    from tickrail.report.result import Result
    from tickrail.report.stats import RuntimeStats

__all__ = ["Runtime"]


class Runtime:
    """A configured set of strategies on a loop, with everything that they use.

    A context manager; ``close`` lets go of what the bootstrapper took, the last first.

    Attributes:
        loaded: The configuration with its origins.
        container: Shared services, of the scope ``RUNTIME``.
        dispatcher: The loop.
        phases: How long each phase of the start took.
        http_port: Where probes and metrics are served, if ``runtime.http`` is set.
        end_deadline_s: How long the end of a run may take that is to stop; set before it runs. Then nothing is awaited
            any more, and what hangs is said in the log (``tickrail.shutdown``). Only ``Shutdown`` ends a process.
        graph_hash: SHA-256 over all parts and their order: equal where the same would be started.
        log_handler: Writes log records where ``runtime.log`` asks for it, else ``None``.

    Thread safety: one thread at a time; ``request_stop``, ``pause``, ``resume``, ``stop`` and ``restart`` from any.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        container: Container,
        dispatcher: TickDispatcher,
        undo: ExitStack,
        live: LiveFeeds | None = None,
        *,
        phases: Phases | None = None,
        probes: Probes | None = None,
    ) -> None:
        self.loaded = loaded
        self.phases = phases or Phases()
        self.container = container
        self.dispatcher = dispatcher
        self.graph_hash = ""
        self.end_deadline_s = END_DEADLINE_S
        self._end: EndWatch | None = None
        self.log_handler: Handler | None = None
        self.http_port = None if probes is None else probes.port
        self._probes = probes
        self._undo = undo
        self._live = live or LiveFeeds()
        self._began = False
        self._by_hand = False
        self._closed = False

    @property
    def log_dropped(self) -> int:
        """Log records that nobody has read, and that were dropped: all of them once the runtime is closed."""
        return int(getattr(self.log_handler, "dropped", 0))

    @property
    def lives(self) -> Lives:
        """The lives of the strategies: where each stands, every change, listeners."""
        return self.dispatcher.lives

    def pause(self, name: str, *, mode: PauseMode = "no_new_orders") -> Receipt:
        """Pause a strategy, between two steps. Any thread; see ``Lives.pause``."""
        return self.lives.pause(name, mode=mode)

    def resume(self, name: str) -> Receipt:
        """Let a paused strategy go on. Any thread."""
        return self.lives.resume(name)

    def stop(self, name: str) -> Receipt:
        """Stop one strategy; ``request_stop`` stops the run. Any thread."""
        return self.lives.stop(name)

    def restart(self, name: str) -> Receipt:
        """Stop a strategy and start a new object of its class. Any thread; see ``Lives.restart``."""
        return self.lives.restart(name)

    @property
    def start_order(self) -> tuple[str, ...]:
        """Names of the strategies in the order in which they start, and receive each tick; they stop in reverse."""
        return tuple(self.dispatcher.strategies)

    @property
    def config(self) -> RuntimeConfig:
        """The configuration."""
        return self.loaded.config

    def feed(self, name: str, **settings: Unpack[FeedSettings]) -> Feed:
        """A live feed: that of the configuration, or a new one with the settings of ``TickDispatcher.live_feed``.

        Any thread, before the run or while it goes on.

        Raises:
            FeedError: The run is a backtest, or a feed of the configuration was asked for with settings.
            FeedClosed: The run is ending.
        """
        return self._live.feed(self.dispatcher, name, settings)

    def seal(self) -> None:
        """Open no more live feeds and publishers: the run ends once those that there are have closed. Any thread."""
        self.dispatcher.seal()

    def run(self, progress: Progress | None = None, *, started: Callable[[], object] | None = None) -> Result:
        """Run to the end of the data, on this thread, and return what came of it.

        Args:
            progress: Called with ticks done and ticks in all, at most 20 times a second.
            started: Called once all strategies have been started.

        Raises:
            IllegalTransition: It ran before, or is closed.
            RunFailed: The run could not go on; ``error.result`` is its partial result.
        """
        self._begin()
        settings = self.config.runtime
        self.lives.hook_deadline_ns = settings.hook_deadline_ns
        plain = self.config.model_dump(mode="json", by_alias=True)
        with (
            switch_interval(SWITCH_INTERVAL_S if self._live else None),
            self.lives.whole_start(self.request_stop) as start,
            watched_hooks(self.lives, self._watched_end()),
            span("tickrail.run", environment=self.loaded.env),
            ExitStack() as ended,
        ):
            if self._probes is not None:
                ended.callback(self._probes.set_standing, "ended")
            self._live.start(self.dispatcher)
            result = run_to_result(self.dispatcher, progress, plain, started=partial(self._started, started))
        if start.failed is not None:
            raise _not_started(start.failed, result)
        return result

    def _watched_end(self) -> EndWatch:
        native = self.dispatcher._native
        self._end = EndWatch(lambda: native.stop_requested, partial(hurry_end, native), self.end_deadline_s)
        return self._end

    def _started(self, tell: Callable[[], object] | None) -> None:
        if self._probes is not None:
            self._probes.set_standing("running")
        if tell is not None:
            tell()

    def run_until(self, until: TimeLike) -> bool:
        """Take everything up to ``until``, ticks and then timers of that time too; the clock then stands there.

        For tests and notebooks, in a simulation; ``run`` goes on from there to the end of the data, ``finish`` ends the
        run. The first call starts the strategies.

        Returns:
            Whether the run goes on; false where it was stopped.

        Raises:
            ValueError: ``until`` lies before the clock.
            IllegalTransition: It ran before, or is closed.
            RunFailed: The run could not go on.
        """
        self._check_unused()
        self._by_hand = True
        return self.dispatcher.run_until(until)

    def step(self) -> Step | None:
        """Take the next input, a tick, a timer or an order update, and say what it was; ``None``: nothing is left.

        Raises:
            IllegalTransition: It ran before, or is closed.
            RunFailed: The run could not go on.
        """
        self._check_unused()
        self._by_hand = True
        return self.dispatcher.step()

    def finish(self) -> Result:
        """End a run by hand where it stands, and return what came of it.

        Raises:
            IllegalTransition: It was not driven by ``run_until`` or ``step``, ran before, or is closed.
        """
        self._begin()
        if not self._by_hand:
            raise IllegalTransition(
                "this runtime has not begun: there is nothing to finish",
                state="new",
                operation="finish",
                hint="drive it by run_until() or step() before, or let it run()",
            )
        self.dispatcher.finish()
        return self.dispatcher.result(configuration=self.config.model_dump(mode="json", by_alias=True))

    def stats(self) -> RuntimeStats:
        """How the run is doing: accounts and measured times of every strategy and feed. Any thread, at any time."""
        return self.dispatcher.stats()

    async def run_async(self, progress: Progress | None = None) -> Result:
        """The same on a worker thread, while the caller's loop goes on; cancelling it stops the run first.

        ``progress`` is called on the worker thread. Whoever is cancelled waits for the end of the run, but no longer
        than ``end_deadline_s``: a handler that does not return is left on its thread.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        worker = threading.Thread(target=self._run_into, args=(loop, done, progress), name="tickrail-dispatch")
        begin(worker)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self.request_stop()
            await asyncio.wait([done], timeout=self.end_deadline_s)
            if done.done():
                done.exception()
            raise

    @property
    def commands(self) -> CommandBus:
        """The command bus: ask for it before the run begins."""
        return self.dispatcher.commands

    def request_stop(self) -> None:
        """Ask the run to stop after the present step. Any thread."""
        self.dispatcher.request_stop()

    def close(self) -> None:
        """Finalise services and let go of the feeds, the last first. Idempotent.

        Raises:
            BaseExceptionGroup: What finalisers raised, after all of them have run.
        """
        if self._closed:
            return
        self._closed = True
        end = self._end or self._watched_end()
        with span("tickrail.shutdown", environment=self.loaded.env), end.closing():
            # Where it never ran to its end: nobody else answers those who wait for it.
            leave_run(self.dispatcher._native)
            if (bus := self.dispatcher._commands) is not None:
                bus.close()
            self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin(self) -> None:
        self._check_unused()
        self._began = True

    def _check_unused(self) -> None:
        if self._began or self._closed:
            state = "closed" if self._closed else "used"
            raise IllegalTransition(
                f"this runtime is {state}: a runtime runs once",
                state=state,
                operation="run",
                hint="bootstrap another one; strategies are made anew for it",
            )

    def _run_into(
        self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[Result], progress: Progress | None
    ) -> None:
        try:
            result = self.run(progress)
        except BaseException as error:
            tell = partial(done.set_exception, error)
        else:
            tell = partial(done.set_result, result)
        with suppress(RuntimeError):  # the loop is closed: whoever waited was let go
            loop.call_soon_threadsafe(tell)


def _not_started(strategy: str, result: Result) -> RunFailed:
    error = next((one for one in result.errors if one.strategy == strategy), None)
    said = "" if error is None else f" raised {error.type}: {error.message}"
    failed = RunFailed(
        f"strategy {strategy}: on_start{said}; those that had started were stopped again, the last first",
        result=result,
        hint="a start is all or nothing; set enabled = false to go without it",
    )
    failed.phase = str(Phase.START)
    return failed
