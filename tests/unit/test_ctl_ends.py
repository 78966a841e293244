"""``tickrail ctl`` where the process goes away, answers nothing, or belongs to somebody else; numbers that are none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tickrail.cli import main

STATUS = {"ok": True, "v": 1, "run": "live-1", "result": {"trading": "ACTIVE"}}
#: What a process does with a connection on which a request has come; its answer, if it gives one.
Act = Callable[[socket.socket], object]


def ctl(*words: str) -> Result:
    return CliRunner().invoke(main, ["ctl", *words], prog_name="tickrail")


@contextmanager
def serving(folder: Path, *acts: Act) -> Iterator[None]:
    """A process of the name ``live-1``: one connection after the other meets ``acts``; then it ends."""
    path = folder / "runs" / "control" / "live-1.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)

        def serve() -> None:
            left = list(acts)
            while left:
                stream, _ = listener.accept()
                with stream:
                    if stream.recv(1, socket.MSG_PEEK):  # else somebody only looked whether it is served
                        left.pop(0)(stream)
            listener.close()
            path.unlink()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(30)
            assert not thread.is_alive()


def answers(what: dict[str, Any]) -> Act:
    def act(stream: socket.socket) -> None:
        stream.recv(1 << 16)
        stream.sendall(json.dumps(what).encode() + b"\n")

    return act


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda stream: stream.recv(1 << 16), "live-1 has closed the connection"),
        (lambda stream: None, "live-1 has closed the connection: Connection reset by peer"),
    ],
    ids=["read", "unread"],
)
def test_a_run_that_ends_before_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Act, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, act):
        done = ctl("status")
    assert (done.exit_code, done.stdout, done.stderr) == (4, "", f"error: {said}\n")


WHOLE = b"no whole answer; it may have been asked all the same"
OTHER = b"answers in version 2 of the protocol, and this command speaks 1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"ok":tr', WHOLE),
        (b'{"v":1,"ok":true,"result":{}}', WHOLE),  # the process has died before the line feed
        (b"garbage\n", WHOLE),
        (b"\xff\xfe\n", WHOLE),
        (b"[]\n", WHOLE),
        (b'{"ok":true,"result":{}}\n', WHOLE),
        (b'{"v":1,"ok":true,"result":[1]}\n', WHOLE),
        (b'{"v":1,"ok":true}\n', WHOLE),
        (b'{"v":1,"ok":false}\n', WHOLE),
        (b'{"v":2,"ok":true,"result":{"state":"X"}}\n', OTHER),
        (b'{"v":2,"ok":false,"reason":"invalid_request","message":"version 1"}\n', OTHER),
    ],
)
def test_what_is_no_answer_is_told_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, said: bytes
) -> None:
    def act(stream: socket.socket) -> None:
        stream.recv(1 << 16)
        stream.sendall(line)

    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, act):
        done = ctl("halt")
    assert done.exit_code == 4
    assert f"live-1 {'has given ' if said is WHOLE else ''}{said.decode()}" in done.stderr


@pytest.mark.parametrize("last", [None, {**STATUS, "ok": False, "reason": "shutting_down", "message": "no more"}])
def test_watching_ends_well_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: dict[str, Any] | None
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [] if last is None else [answers(last)]
    with serving(tmp_path, answers(STATUS), answers(STATUS), *more):
        done = ctl("watch", "--every", "0.1")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "trading: ACTIVE\n" * 2, "")


def test_watching_what_is_refused_ends_with_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = {**STATUS, "ok": False, "reason": "shutting_down", "message": "no more"}
    with serving(tmp_path, answers(refused)):
        done = ctl("watch")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "shutting_down: no more\n")


def test_a_request_that_is_too_long_has_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before all of the request was read."""

    def act(stream: socket.socket) -> None:
        stream.recv(1 << 10)
        refusal = {"v": 1, "ok": False, "reason": "invalid_request", "message": "too long"}
        stream.sendall(json.dumps(refusal).encode() + b"\n")
        stream.shutdown(socket.SHUT_RD)  # what is still sent breaks, and the answer stays
        while stream.recv(1 << 16):
            pass

    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, act):
        done = ctl("set", "one", f"text={'x' * 1_000_000}")
    assert (done.exit_code, done.stderr) == (1, "invalid_request: too long\n")


@pytest.mark.parametrize(
    "words",
    [
        ("--timeout", "nan", "status"),
        ("--timeout", "inf", "status"),
        ("--timeout", "-1", "status"),
        ("watch", "--every", "nan"),
        ("watch", "--every", "1e300"),
        ("limits", "--max-order-quantity", "nan"),
        ("limits", "--max-order-quantity", "inf"),
    ],
    ids=" ".join,
)
def test_numbers_that_are_none_are_wrong_usage(words: tuple[str, ...]) -> None:
    done = ctl(*words)
    assert done.exit_code == 2
    assert "Invalid value for '--" in done.stderr
    assert "defect" not in done.stderr


def test_no_request_says_a_number_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, answers(STATUS)):
        for words in (("set", "one", "a=1e999"), ("limits", "--table", "all", "max_orders=inf")):
            done = ctl(*words)
            assert (done.exit_code, "a number is not finite" in done.stderr) == (2, True), done.stderr
        assert ctl("status").exit_code == 0


@pytest.mark.parametrize(("given", "sent"), [("2.5", 2.5), ("null", None)])
def test_the_operators_own_limit_can_be_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, sent: float | None
) -> None:
    asked: list[dict[str, Any]] = []

    def act(stream: socket.socket) -> None:
        asked.append(json.loads(stream.recv(1 << 16)))
        stream.sendall(json.dumps(STATUS).encode() + b"\n")

    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, act):
        assert ctl("limits", "--max-order-quantity", given).exit_code == 0
    assert asked[0]["args"].pop("timeout_s")
    assert asked[0]["args"] == {"max_order_quantity": sent}


def test_top_is_not_drawn_once_an_age() -> None:
    done = CliRunner().invoke(main, ["top", "--every", "1e300"], prog_name="tickrail")
    assert (done.exit_code, "Invalid value for '--every'" in done.stderr) == (2, True)


def test_how_long_a_shutdown_may_take_is_a_number_too() -> None:
    done = CliRunner().invoke(main, ["run", "--env", "backtest", "--shutdown-timeout", "nan"], prog_name="tickrail")
    assert done.exit_code == 2
    assert "nan is no finite number" in done.stderr


@pytest.mark.parametrize("words", [("ctl",), ("top",)])
def test_the_help_has_a_line_for_each_exit_code(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "--help"], prog_name="tickrail")
    assert "\n  3  no such run\n" in done.stdout.replace("    3", "  3")
    assert "\\b" not in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("folder_mode", [0o700, 0o711, 0o755])
def test_what_belongs_to_another_user_is_not_operated(tmp_path: Path, folder_mode: int) -> None:
    program = (
        "import os, sys\n"
        "from click.testing import CliRunner\n"
        "from tickrail.cli import main\n"
        "import tickrail.cli.ctl, tickrail.orchestration.control\n"
        "os.setgroups([]); os.setresgid(54_321, 54_321, 54_321); os.setresuid(54_321, 54_321, 54_321)\n"
        "done = CliRunner().invoke(main, ['ctl', '--run', 'live-1', 'status'], prog_name='tickrail')\n"
        "print(done.exit_code, done.stderr.strip())\n"
    )
    tmp_path.chmod(0o755)
    with serving(tmp_path, answers(STATUS)):
        (tmp_path / "runs").chmod(0o755)
        (tmp_path / "runs" / "control").chmod(folder_mode)
        (tmp_path / "runs" / "control" / "live-1.sock").chmod(0o600)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        with socket.socket(socket.AF_UNIX) as stream:  # lets it end
            stream.connect(str(tmp_path / "runs" / "control" / "live-1.sock"))
            stream.sendall(b"\n")
            assert stream.recv(1 << 16)
    assert done.stderr == ""
    assert done.stdout.startswith("1 error: ")
    assert "belongs to another user, who alone may operate" in done.stdout
