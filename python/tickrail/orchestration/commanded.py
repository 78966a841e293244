"""``Commanded``: a run as those have it who send commands to it: programs, operators, a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickrail._native import (
    Dispatcher,
    handler_overruns,
    meters,
    open_lanes,
    operations,
    record_commands,
    recording_header,
)
from tickrail.orchestration.bus.owners import Owners
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.kept_trading import restored
from tickrail.orchestration.lives import Lives
from tickrail.orchestration.spawner import Spawner
from tickrail.strategy.strategy import Strategy

if TYPE_CHECKING:
    from tickrail.orchestration.command_bus import CommandBus
    from tickrail.orchestration.control import Control
    from tickrail.report.accounts import Accounts
    from tickrail.report.stats import RuntimeStats

__all__ = ["Commanded"]

#: How long a look at the accounts waits for the loop to come to the end of its slice.
PATIENCE_S: Final = 0.1


class Commanded:
    """The part of ``TickDispatcher`` that takes commands; the bus is opened when it is first asked for.

    Args:
        native: The loop.
        strategies: By name, in the order of registration.
        lives: Theirs.
        instruments: Ids, in the order of the run's table.
        io: Where async handlers run.
        spawner: Says how a simulation waits.
    """

    def __init__(
        self,
        native: Dispatcher,
        *,
        strategies: dict[str, Strategy],
        lives: Lives,
        instruments: tuple[str, ...],
        io: IoThread,
        spawner: Spawner,
    ) -> None:
        self._native, self._operations = native, operations(native)
        self.strategies, self.lives, self.instruments = strategies, lives, instruments
        self.io, self._spawner = io, spawner
        self._owners = Owners(strategies, native.lives.hook)
        self._commands: CommandBus | None = None

    def request_stop(self) -> None:
        """Ask the run to stop after the present step. Any thread."""
        self._native.request_stop()

    @property
    def commands(self) -> CommandBus:
        """The command bus of the run, opened when it is first asked for, which is before the run begins.

        Raises:
            RuntimeError: The run has begun without one.
        """
        if self._commands is None:
            from tickrail.orchestration.bus.builtin import opened  # late: most backtests have no use for it

            self._commands, self._built_in = opened(
                open_lanes(self._native),
                self._operations,
                io=self.io,
                strategies=self.strategies,
                lives=self.lives,
                instruments=self.instruments,
                # In the replay of a live run the recording stops it.
                request_stop=lambda: None if self._spawner.replays_live else self.request_stop(),
                waiter=self._spawner,
                owners=self._owners,
            )
        return self._commands

    @property
    def dead_letter_counts(self) -> Mapping[str, int]:
        """How many commands came to nothing, by reason."""
        return {} if self._commands is None else {str(k): n for k, n in self._commands.dead_letter_counts.items()}

    def keep_trading(self, file: Path) -> None:
        """Begin with the state of trading that the last process has left in ``file``, and keep every change there.

        HALTED with its reason, and limits that were changed. Before the run begins, and before its commands are asked
        for; what differs from the configuration is said in the log.

        Raises:
            TradingStateError: It cannot be read; trading is halted then.
        """
        self._operations = operations(self._native, file)
        if self._commands is not None:
            self._built_in.operations = self._operations
        restored(self._operations)

    def open_control(self, path: Path, run: str, *, trading_file: Path | None = None) -> Control:
        """Serve operators at the socket ``path`` until the answer is closed. Before the run begins.

        Args:
            path: The socket, in a folder of this user.
            run: What the run is called.
            trading_file: See ``keep_trading``.

        Raises:
            OSError: Another process serves the socket, or a file cannot be had.
        """
        from tickrail.orchestration.control import Control  # late: as above

        bus = self.commands
        if trading_file is not None:
            self.keep_trading(trading_file)
        return Control(bus, open_lanes(self._native), self._operations, path, run, stats=self.stats)

    def record_commands(self, sink: Callable[[bytes], object]) -> None:
        """Give ``sink`` the header of a recording, and then each command that the loop takes, as bytes to be written.

        What it raises is reported and does not stop the run. Before the run begins.
        """
        record_commands(self._native, sink)
        sink(recording_header())

    def replay_commands(self, recording: bytes) -> int:
        """Take commands from ``recording``, each at its place, and none from elsewhere; how many. Before the run.

        Handlers of one's own are registered as they were: one that is missing ends the run (``NoHandler``).

        Raises:
            ValueError: This is no recording.
        """
        from tickrail.orchestration.control import replayed

        self._spawner.is_rerun = True
        return replayed(self._native, self.commands, recording)

    def stats(self, patience_s: float = PATIENCE_S) -> RuntimeStats:
        """Accounts and measured times of every strategy and feed. Any thread, at any time, as ``accounts``."""
        from tickrail.orchestration.overruns import overruns_of
        from tickrail.report.stats import RuntimeStats

        late = overruns_of(handler_overruns(self._native), self.strategies)
        return RuntimeStats.of(self.accounts(patience_s), meters(self._native), late)

    def accounts(self, patience_s: float = PATIENCE_S) -> Accounts:
        """The accounts of all feeds and strategies at one moment, the end of a step. Any thread, at any time.

        The loop takes them when it comes to the end of its slice, and is not stopped for it. Where it does not come
        within ``patience_s`` (a handler keeps it, or is the caller), these are the last ones taken; ``position`` tells.
        Empty before the run has begun.
        """
        from tickrail.report.accounts import Accounts

        return Accounts.of(self._native.accounts(patience_s), tuple(self.strategies))
