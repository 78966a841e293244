"""Commands from four threads and an asyncio loop during a run over real ticks; a rerun of the record has its digest."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tickrail
from tickrail._native import operations, recording_header
from tickrail.domain.commands import Command, PauseStrategy, ResumeStrategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher

FX = Path(__file__).resolve().parents[3] / "shared" / "data" / "fx"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not FX.is_dir(), reason="the real quotes are not here"),
]


class Target(Command):
    """The ``number``-th of a sender."""

    quantity: float
    sender: int
    number: int


class Cross(tickrail.Strategy):
    """Trades a crossing of averages, and what it is told to."""

    fast: float = 0.1
    slow: float = 0.01

    def on_start(self) -> None:
        self.x = self.y = 0.0
        self.told = 0.0

    def on_quote(self, tick: tickrail.Tick) -> None:
        self.x += self.fast * (tick.mid - self.x)
        self.y += self.slow * (tick.mid - self.y)
        self.target(tick.instrument, self.told + (1.0 if self.x > self.y else 0.0))


#: Loop position and command, in the order in which they took effect.
Effects = list[tuple[int, Target]]
#: The sender that is an asyncio loop; the others are threads.
LOOP = 4


def dispatcher(ticks: tickrail.TickArray) -> tuple[TickDispatcher, Effects]:
    made = TickDispatcher([{"id": str(name)} for name in ticks.instruments])
    made.feed("feed", ticks)
    for name in ("one", "two"):
        made.register(Cross(), name, renew=Cross)

    effects: Effects = []
    loop = operations(made._native)

    def tell(command: Target) -> None:
        effects.append((loop.snapshot()[0], command))
        made.strategies["one"].told = command.quantity  # type: ignore[attr-defined]

    made.commands.register(Target, tell)
    return made, effects


def recorded(run: TickDispatcher, recording: bytes) -> Effects:
    """The commands of ``Target`` that a recording shows, each with its loop position."""
    head, found, offset = struct.Struct("<IQQQqIHBB"), [], len(recording_header())
    while offset < len(recording):
        length, position, *_ = head.unpack_from(recording, offset)
        payload = recording[offset + head.size : offset + head.size + length]
        if b"Target" in payload:
            found.append((position, run.commands._routes.of_payload(payload)[1]))
        offset += head.size + length
    return found


def test_the_record_of_the_total_order_makes_the_same_run_again(tmp_path: Path) -> None:
    file = tmp_path / "eurusd.ticks"
    command = [sys.executable, "-m", "tickrail", "data", "import", str(FX / "oanda" / "eurusd"), "-o", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    ticks = tickrail.read_ticks(file)
    (first, effects), recording = dispatcher(ticks), bytearray()
    first.record_commands(recording.extend)
    bus, lives = first.commands, first.lives
    begun = threading.Event()
    counts: dict[int, int] = {}

    def send(number: int) -> None:
        begun.wait(60)
        count = 0
        while not first.ended and count < 2_000:
            try:
                bus.execute(Target(float((number + count) % 5), number, count), timeout_s=60)
                if number == 0 and count % 20 == 0:
                    bus.post(PauseStrategy("two"))
                    bus.post(ResumeStrategy("two"))
                if number == 1 and count % 50 == 0:
                    lives.restart("one")
            except (tickrail.TickrailError, TimeoutError):
                break  # the run has ended meanwhile
            count += 1
        counts[number] = count

    async def ask() -> int:
        count = 0
        while not first.ended and count < 2_000:
            try:
                await bus.execute_async(Target(float(count % 7), LOOP, count))
            except tickrail.TickrailError:
                break
            count += 1
        return count

    def loop() -> None:
        begun.wait(60)
        counts[LOOP] = asyncio.run(ask())

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    threads.append(threading.Thread(target=loop))
    for thread in threads:
        thread.start()
    started = time.monotonic()
    assert first.run(lambda *_: begun.set()) == "complete"
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(counts) == 5
    assert all(counts.values()), f"every sender had its turns within {time.monotonic() - started:.1f} s: {counts}"
    result = first.result()
    assert recorded(first, bytes(recording)) == effects, "what the record shows is what took effect, and where"
    positions = [position for position, _ in effects]
    assert positions == sorted(set(positions)), "one after the other, each in a step of its own"
    for sender, count in counts.items():
        mine = [command.number for _, command in effects if command.sender == sender]
        assert mine == list(range(len(mine))), "each sender's order is kept"
        assert count <= len(mine) <= count + 1, "and what was answered took effect"

    again, same = dispatcher(ticks)
    taken = again.replay_commands(bytes(recording))
    assert taken >= sum(counts.values())
    assert again.run() == "complete"
    rerun = again.result()
    assert same == effects
    assert rerun.digest == result.digest
    assert rerun.changes == result.changes
    assert len(rerun.orders) == len(result.orders) > 0
