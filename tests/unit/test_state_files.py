"""States in files: what a process leaves that was killed while it wrote one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tickrail.adapters.live.state_files import FileStateStore


def left_behind(store: FileStateStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a save that came to no end, as a process leaves it that is killed in its midst."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.save("one", {"n": 1})
    (left,) = store.folder.iterdir()
    return left


@pytest.mark.parametrize("first", ["load", "save"])
def test_what_a_killed_process_left_is_swept_once_and_what_is_being_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    folder = tmp_path / "states"
    left = left_behind(FileStateStore(folder=folder), monkeypatch)
    written = left.with_name(left.name.replace("one", "two"))
    foreign = [folder / name for name in (".mine.tmp", "one.state.json.tmp", ".owner.json")]
    for path in (written, *foreign):
        path.touch()
    with written.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a live process does that writes it
        store = FileStateStore(folder=folder)
        if first == "load":
            assert store.load("three") == {}
        else:
            store.save("three", {})
        assert sorted(folder.iterdir()) == sorted([written, *foreign])
    store.save("three", {})
    assert written.exists(), "once a start is enough"
    FileStateStore(folder=folder).load("three")
    assert sorted(folder.iterdir()) == sorted(foreign)


def test_a_file_that_was_swept_before_it_was_held_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Path] = []
    store, lock = FileStateStore(folder=tmp_path), fcntl.flock

    def late(file: object, how: int) -> None:
        if not swept:
            (one,) = tmp_path.iterdir()
            one.unlink()
            swept.append(one)
        lock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", late)
    store.save("one", {"n": 1})
    assert (store.load("one"), [one.name for one in tmp_path.iterdir()]) == ({"n": 1}, ["one.state.json"])
    assert len(swept) == 1


def test_where_there_are_no_locks_states_are_kept_and_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = left_behind(FileStateStore(folder=tmp_path), monkeypatch)
    store = FileStateStore(folder=tmp_path)
    store.save("one", {"n": 2})
    assert (store.load("one"), left.exists()) == ({"n": 2}, True)
