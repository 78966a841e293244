"""Commands and answers on their way from an asyncio loop, and to it.

``call_soon_threadsafe`` writes to a pipe, which costs more than a command. So answers that come close together share a
call: each is put in a line, and only who finds that nobody has called calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Final
from weakref import WeakKeyDictionary

from tickrail.orchestration.bus.receipt import Receipt
from tickrail.orchestration.bus.way import FULL

__all__ = ["awaited", "pushed"]

AGAIN_S: Final = 0.001
"""How long a coroutine waits before it looks again for room in a lane, as senders on threads do."""


class _Bridge:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: deque[tuple[asyncio.Future[Any], Receipt]] = deque()
        self._called = False

    def put(self, future: asyncio.Future[Any], receipt: Receipt) -> None:
        self._line.append((future, receipt))
        # Whoever cleared the mark looks at the line afterwards, so an answer put before is never left lying.
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed, and nobody waits any more
                self._line.clear()

    def _deliver(self) -> None:
        self._called = False
        while self._line:
            future, receipt = self._line.popleft()
            if future.done():
                continue
            try:
                future.set_result(receipt.result())
            except CancelledError:
                future.cancel()
            # Of these no future carries the first, and the others would end the task of whoever asked, not the call.
            except (StopIteration, GeneratorExit, asyncio.CancelledError) as error:
                future.set_exception(RuntimeError(f"the handler raised {error!r}"))
            except BaseException as error:
                future.set_exception(error)


_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = WeakKeyDictionary()


async def awaited(receipt: Receipt) -> Any:
    """The result of ``receipt``; cancelling the wait takes the command back if it had no turn yet."""
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges.setdefault(loop, _Bridge(loop))
    future = loop.create_future()
    receipt.add_done_callback(lambda _: bridge.put(future, receipt))
    try:
        return await future
    except asyncio.CancelledError:
        receipt.give_up()
        raise


async def pushed(push: Callable[[], int], wait_s: float) -> int:
    """What ``push`` says, which is called again for ``wait_s`` while there is no room; the caller's loop goes on."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    while (sent := push()) == FULL and (left_s := until_s - loop.time()) > 0.0:
        await asyncio.sleep(min(AGAIN_S, left_s))
    return sent
