"""Marks of runs: who goes on keeps his, who died is found once, by the next run of his environment."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from tickrail.errors import ConfigError
from tickrail.orchestration.run_mark import ABANDONED, CRASHED, RunMark


def begun(tmp_path: Path, env: str = "live", **facts: Any) -> RunMark:
    return RunMark(tmp_path / "control", tmp_path, env, facts, report=tmp_path / f"{env}.shutdown.json")


def dead(tmp_path: Path, env: str, pid: int, began: str) -> None:
    report = str(tmp_path / f"{pid}.json")
    facts = {"env": env, "pid": pid, "host": "h", "began": began, "report": report, "run_id": "r"}
    (tmp_path / "control").mkdir(exist_ok=True)
    (tmp_path / "control" / f"{env}-{pid}.run.json").write_text(json.dumps(facts))


def test_a_run_that_ends_leaves_nothing_and_one_that_goes_on_is_not_taken_for_dead(tmp_path: Path) -> None:
    with begun(tmp_path, "live", run_id="a") as one:
        (file,) = (tmp_path / "control").iterdir()
        assert json.loads(file.read_text())["run_id"] == "a"
        with begun(tmp_path, "live-2") as other:
            assert (one.parent, other.parent) == (None, None)
    assert list((tmp_path / "control").iterdir()) == []
    assert list(tmp_path.glob("*.json")) == []


def test_a_run_of_the_same_name_is_refused_and_the_one_that_goes_on_keeps_its_mark(tmp_path: Path) -> None:
    """In containers each process is the first: two of them share a name, where they share a folder."""
    with begun(tmp_path, run_id="a"):
        with pytest.raises(ConfigError, match=r"a run called live-\d+ goes on in .*, in another container") as refused:
            begun(tmp_path, run_id="b")
        assert refused.value.hint == "give each container a runtime.run_dir of its own"
        (file,) = (tmp_path / "control").iterdir()
        assert json.loads(file.read_text())["run_id"] == "a"
    with begun(tmp_path) as after:
        assert after.parent is None


def test_dead_runs_of_the_environment_are_followed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dead(tmp_path, "live", 1, "2026-01-02T00:00:00+00:00")
    dead(tmp_path, "live", 2, "2026-01-01T00:00:00+00:00")
    dead(tmp_path, "live-eu", 3, "2026-01-03T00:00:00+00:00")
    (tmp_path / "2.json").write_text("{}")
    with begun(tmp_path) as mark:
        assert mark.parent == "live-20260102T000000Z-1"
    with begun(tmp_path) as mark:
        assert mark.parent is None, "that was followed already"
    found = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.crashed.json")}
    assert {name: one["status"] for name, one in found.items()} == {
        "live-20260102T000000Z-1.crashed.json": CRASHED,
        "live-20260101T000000Z-2.crashed.json": ABANDONED,
    }
    assert found["live-20260102T000000Z-1.crashed.json"]["run_id"] == "r"
    assert [path.name for path in (tmp_path / "control").iterdir()] == ["live-eu-3.run.json"]
    crashed, abandoned = sorted(record.getMessage() for record in caplog.records)[::-1]
    assert crashed == (
        "run live-20260102T000000Z-1 (process 1 on h) crashed: it left neither a result nor a report; this one follows"
        f" it, and {tmp_path / 'live-20260102T000000Z-1.crashed.json'} says what is known"
    )
    assert f"had to be ended, see {tmp_path / '2.json'};" in abandoned


def test_a_run_of_the_same_environment_that_another_process_holds_goes_on(tmp_path: Path) -> None:
    dead(tmp_path, "live", 1, "2026-01-02T00:00:00+00:00")
    file = tmp_path / "control" / "live-1.run.json"
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with begun(tmp_path) as mark:
            assert (mark.parent, file.exists()) == (None, True)
    with begun(tmp_path) as mark:
        assert (mark.parent, file.exists()) == ("live-20260102T000000Z-1", False), "once it holds it no more"


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"env": "live"}'])
def test_what_cannot_be_read_keeps_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "live-1.run.json").write_text(content)
    with begun(tmp_path) as mark:
        assert mark.parent is None
    assert list(tmp_path.glob("*.crashed.json")) == []
