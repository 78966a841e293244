"""What belongs to this process alone: a child that is forked off lets go of it at once.

``fork`` copies descriptors. What a process holds until it dies (a lock, a socket that it serves) would live on in a
child (``multiprocessing``, ``os.fork``), and whoever looks would find a run that is long dead.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["close_sockets", "keep_from_children"]

T = TypeVar("T")
_ours: Final[WeakKeyDictionary[Any, Callable[[Any], object]]] = WeakKeyDictionary()
DESCRIPTORS: Final = "/dev/fd"


def keep_from_children(one: T, let_go: Callable[[T], object]) -> None:
    """Call ``let_go(one)`` in each child that this process forks, as long as ``one`` lives.

    It closes what the child has of it and touches nothing that both have in common: the lock, the file, the connection.
    """
    _heed_forks()
    _ours[one] = let_go


def close_sockets(is_ours: Callable[[Any], bool]) -> None:
    """In a child: close the sockets whose own address is one of its parent's, those of its connections among them."""
    for name in os.listdir(DESCRIPTORS):  # noqa: PTH208
        with contextlib.suppress(OSError):  # no socket, or the folder itself
            one = socket.socket(fileno=int(name))
            try:
                if is_ours(one.getsockname()):
                    one.close()
            finally:
                one.detach()


@functools.cache
def _heed_forks() -> None:
    os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for one, let_go in list(_ours.items()):
        let_go(one)
    _ours.clear()
