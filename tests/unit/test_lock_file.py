"""A file that one holds: whoever comes later is told who does; what cannot be locked is an error, and nobody's."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tickrail.errors import BootstrapFailed
from tickrail.orchestration.lock_file import Held, LockFile
from tickrail.orchestration.run_lock import RunLock


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_is_held_until_it_is_closed_and_says_by_whom(tmp_path: Path) -> None:
    before, path = descriptors(), tmp_path / "x.json"
    first = LockFile(path, {"pid": 7})
    with pytest.raises(Held) as caught:
        LockFile(path, {"pid": 8})
    assert caught.value.holder == {"pid": 7}
    assert json.loads(path.read_text()) == {"pid": 7}, "untouched by the one who was refused"
    first.close()
    first.close()
    assert path.read_text() == ""
    with LockFile(path, {"pid": 8}):
        assert json.loads(path.read_text()) == {"pid": 8}
    assert descriptors() == before


@pytest.mark.parametrize("content", ["", "{", "[1]"], ids=["being written", "half written", "something else"])
def test_a_holder_that_cannot_be_read_is_nobody_known(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    with LockFile(path, {}):
        path.write_text(content)
        with pytest.raises(Held) as caught:
            LockFile(path, {})
        assert caught.value.holder == {}


def test_a_file_system_without_locks_is_an_error_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = descriptors()
    with pytest.raises(OSError, match="No locks available"):
        LockFile(tmp_path / "x.json", {})
    assert descriptors() == before


def test_a_folder_of_states_whose_owner_cannot_be_read_is_refused_all_the_same(tmp_path: Path) -> None:
    lock = RunLock(tmp_path, "0123456789abcdef")
    (owner,) = tmp_path.iterdir()
    owner.write_text("{")
    with pytest.raises(BootstrapFailed, match="is in use by another process; this is configuration fedcba987654"):
        RunLock(tmp_path, "fedcba9876543210")
    lock.release()
    RunLock(tmp_path, "fedcba9876543210").release()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_child_that_was_forked_off_holds_nothing(tmp_path: Path, kind: str) -> None:
    lock: Any = LockFile(tmp_path / "x.json", {"pid": 7}) if kind == "file" else RunLock(tmp_path, "0123456789abcdef")
    descriptor = lock._handle if kind == "file" else lock._file
    (path,) = tmp_path.iterdir()
    said = path.read_text()
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        (lock.close if kind == "file" else lock.release)()
        there.send(b"!")
        there.recv(1)
        os._exit(0)
    try:
        assert here.recv(1) == b"!"
        assert path.read_text() == said, "what it let go of is still its parent's"
        with pytest.raises((Held, BootstrapFailed)):
            LockFile(path, {}) if kind == "file" else RunLock(tmp_path, "fedcba9876543210")
        os.close(descriptor)  # as the death of its owner does
        if kind == "file":
            LockFile(path, {}).close()
            lock._handle = None
        else:
            RunLock(tmp_path, "fedcba9876543210").release()
    finally:
        here.send(b"!")
        os.waitpid(child, 0)
        here.close()
        there.close()
