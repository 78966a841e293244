"""Files that are cut, flipped, foreign or half-written."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tickrail._native import TickArray, TickFileWriter
from tickrail.data.generator import generate_file, generate_ticks
from tickrail.errors import TickFileError

HEADER = 128


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.ticks"
    generate_file(path, 3, seed=1)
    return path


def test_cut_at_every_byte(small: Path) -> None:
    whole = small.read_bytes()
    for length in range(len(whole)):
        small.write_bytes(whole[:length])
        with pytest.raises(TickFileError) as caught:
            TickArray.open(small)
        assert caught.value.problem == ("truncated" if length else "not_a_tick_file"), length
        assert caught.value.path == str(small) and str(small) in str(caught.value)
    small.write_bytes(whole + b"\0")
    with pytest.raises(TickFileError) as caught:
        TickArray.open(small)
    assert caught.value.problem == "too_long"
    assert f"{len(whole) + 1} bytes long" in str(caught.value) and f"asks for {len(whole)}" in str(caught.value)


def test_every_byte_flipped(small: Path) -> None:
    whole = small.read_bytes()
    records = range(HEADER, HEADER + 3 * 64)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        small.write_bytes(damaged)
        with pytest.raises(TickFileError) as caught:
            TickArray.open(small).verify()
        assert (caught.value.problem == "records_damaged") == (at in records), at


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\0" * 500, b"2014-05-01,1.38,1.39\n" * 20, b"\0" * 4096])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(TickFileError) as caught:
        TickArray.open(path)
    assert caught.value.problem == "not_a_tick_file" and "tickrail data import" in (caught.value.hint or "")


@pytest.mark.parametrize(("at", "name"), [(10, "tick file format"), (12, "record layout")])
def test_other_versions_are_both_named(small: Path, at: int, name: str) -> None:
    content = bytearray(small.read_bytes())
    struct.pack_into("<H", content, at, 9)
    small.write_bytes(content)
    with pytest.raises(TickFileError, match=f"{name} 9; this tickrail reads {name} 1") as caught:
        TickArray.open(small)
    assert caught.value.problem == "other_version"


def test_foreign_byte_order(small: Path) -> None:
    content = bytearray(small.read_bytes())
    content[8:10] = content[9:7:-1]
    small.write_bytes(content)
    with pytest.raises(TickFileError, match="big-endian"):
        TickArray.open(small)


def test_system_refusals_are_python_s_own(tmp_path: Path, small: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        TickArray.open(tmp_path)
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError):
        TickArray.open(tmp_path / "absent.ticks")
    with pytest.raises(FileNotFoundError):
        TickFileWriter(tmp_path / "no" / "folder" / "a.ticks")
    with pytest.raises(IsADirectoryError):
        TickFileWriter(tmp_path)
    if os.geteuid() != 0:
        small.chmod(0)
        with pytest.raises(PermissionError):
            TickArray.open(small)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    # The folder is what cannot be written here: /dev/full takes no files beside it as an ordinary user, and as root the
    # rename would replace a device. So the limit of the process stands in for the disk.
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from tickrail.data.generator import generate_file\n"
        "try:\n"
        "    generate_file(sys.argv[1], 100_000)\n"
        "except OSError as error:\n"
        "    print(type(error).__name__, error.filename)\n"
    )
    path = tmp_path / "a.ticks"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["OSError", str(path)]
    assert list(tmp_path.iterdir()) == []


def test_a_writer_killed_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tickrail._native import TickFileWriter\n"
        "from tickrail.data.generator import generate_ticks\n"
        "writer = TickFileWriter(sys.argv[1])\n"
        "writer.append_ticks(generate_ticks(100_000))\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    path = tmp_path / "a.ticks"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not path.exists()
    assert all(left.name.startswith(".a.ticks.") and left.suffix == ".tmp" for left in tmp_path.iterdir())


def test_a_replaced_file_stays_with_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "a.ticks"
    generate_file(path, 10, seed=1)
    old = TickArray.open(path)
    before = old.fingerprint
    generate_file(path, 20, seed=2)
    old.verify()
    assert old[:].numpy().shape == (10,) and old.fingerprint == before
    assert len(TickArray.open(path)) == 20


def test_two_writers_of_one_path(tmp_path: Path) -> None:
    path = tmp_path / "a.ticks"
    with TickFileWriter(path) as first, TickFileWriter(path) as second:
        first.append_ticks(generate_ticks(5, seed=1))
        second.append_ticks(generate_ticks(7, seed=2))
        first.commit()
        second.commit()
    assert len(TickArray.open(path)) == 7
    assert [left.name for left in tmp_path.iterdir()] == ["a.ticks"]
