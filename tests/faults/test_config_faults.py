"""Hostile and damaged configuration (F46 to F48): said in words, quickly, with nothing started and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tickrail.config import load_config, schema
from tickrail.config.presence import presence_problems
from tickrail.data import generate_file
from tickrail.errors import ConfigError, ConfigProblems

REPOSITORY = Path(__file__).parents[2]
MOST_S = 5.0  # each takes milliseconds; a parser that explodes takes minutes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config" / "base").mkdir(parents=True)
    (tmp_path / "config" / "live").mkdir()
    (tmp_path / "config" / "live" / "a.toml").write_text("[runtime]\nseed = 1\n")
    return tmp_path / "config"


def refused(root: Path, **options: object) -> list[str]:
    started = time.monotonic()
    with pytest.raises(ConfigProblems) as caught:
        load_config("live", root=root, environ={}, **options)  # type: ignore[arg-type]
    assert time.monotonic() - started < MOST_S
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


MIB = 1 << 20
HOSTILE: dict[str, tuple[bytes, str]] = {
    "50 MB of text": (b'x = "' + b"a" * 50_000_000 + b'"\n', "is larger than 1 MiB"),
    "a MiB of brackets": (b"x = " + b"[" * (MIB - 5), "nested more than 32 deep"),
    "a MiB of dots": (b"a." * (MIB // 2 - 10) + b"a = 1\n", "nested more than 32 deep"),
    "a MiB of quoted parts": (b'"a".' * (MIB // 4 - 10) + b"a = 1\n", "nested more than 32 deep"),
    "a header of dots": (b"[" + b"a . " * (MIB // 4 - 10) + b"a]\n", "nested more than 32 deep"),
    "short of the longest key, often": ((b"a  ." * 60 + b"\n") * 4_000, "invalid TOML"),
    "a MiB of inline tables": (b"x = " + b"{a=" * 300_000 + b"1" + b"}" * 100_000, "nested more than 32 deep"),
    "a MiB of unfinished text": (b'x = """' + b"a\n" * 500_000, "invalid TOML"),
    "nan": (b"[venues.X]\nfee_rate = nan\n", "not a finite number"),
    "-inf in a list": (b"[strategies.s]\nclass = 'm:C'\nparams = { a = [1.0, -inf] }\n", "not a finite number"),
    "1e999": (b"[venues.X]\nfee_rate = 1e999\n", "not a finite number"),
    "a duplicate key": (b"[runtime]\nseed = 1\nseed = 2\n", "invalid TOML"),
    "a duplicate table": (b"[runtime]\n[runtime]\n", "invalid TOML"),
    "no as text": (b'[runtime]\nalways_fresh = "no"\n', "found text; expected true or false"),
    "010": (b"[runtime]\nseed = 010\n", "invalid TOML"),
    "an object of YAML": (b"x: !!python/object:os.system [id]\n", "invalid TOML"),
    "a NUL": (b"[runtime]\nrun_dir = 'a\0b'\n", "invalid TOML"),
    "a byte order mark of UTF-16": ("[runtime]\nseed = 1\n".encode("utf-16"), "is not UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_quickly(root: Path, name: str) -> None:
    content, said = HOSTILE[name]
    (root / "live" / "b.toml").write_bytes(content)
    problems = refused(root)
    assert any(said in problem and problem.startswith("live/b.toml") for problem in problems), problems
    assert sum(map(len, problems)) < 2_000, "a message, not the file"


def test_an_empty_file_and_a_byte_order_mark_are_fine(root: Path) -> None:
    (root / "live" / "b.toml").write_bytes(b"")
    (root / "live" / "c.toml").write_bytes(b"\xef\xbb\xbf[runtime]\nseed = 5\n")
    assert load_config("live", root=root, environ={}).config.runtime.seed == 5


def outside(root: Path) -> Path:
    other = root.parent / "elsewhere"
    other.mkdir()
    (other / "b.toml").write_text("[runtime]\nseed = 666\n")
    return other


@pytest.mark.parametrize(
    "escape",
    [
        lambda root, other: (root / "live" / "b.toml").symlink_to(other / "b.toml"),
        lambda root, other: (root / "live" / "b.toml").symlink_to("../../elsewhere/b.toml"),
        lambda root, other: [(root / "l").symlink_to(other), (root / "live" / "b.toml").symlink_to("../l/b.toml")],
        lambda root, other: [(root / "base").rmdir(), (root / "base").symlink_to(other)],
    ],
    ids=["absolute", "by dots", "through a folder", "the folder itself"],
)
def test_no_file_leaves_the_root(root: Path, escape: Callable[[Path, Path], object]) -> None:
    escape(root, outside(root))
    (problem,) = refused(root)
    assert problem.endswith("b.toml: leads out of the configuration root; expected a file inside it")


def test_a_root_that_is_a_link_is_fine(root: Path) -> None:
    (root.parent / "linked").symlink_to(root)
    assert load_config("live", root=root.parent / "linked", environ={}).config.runtime.seed == 1


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(root: Path) -> None:
    (root.parent / "config-old").mkdir()
    (root.parent / "config-old" / "b.toml").write_text("")
    (root / "live" / "b.toml").symlink_to("../../config-old/b.toml")
    assert "leads out" in refused(root)[0]


def test_a_folder_of_too_many_files_is_refused(root: Path) -> None:
    for number in range(1_024):
        (root / "live" / f"{number}.toml").touch()
    assert refused(root) == ["live: holds more than 1024 files; expected fewer: a file may hold many tables"]


def test_a_variable_cannot_leave_its_value(root: Path) -> None:
    """Text that would be more than one value of TOML stays text."""
    (root / "live" / "b.toml").write_text("[feeds.x]\n")
    for text in ("1\n[runtime]\nseed = 9", "1 # c\nseed = 9", "{}\n[strategies.evil]\nclass='os:system'"):
        config = load_config("live", root=root, environ={"TICKRAIL_FEEDS__X__OPTIONS__A": text}).config
        assert config.runtime.seed == 1
        assert not config.strategies
        assert config.feeds["x"].options["a"] == text


def test_a_key_of_an_earlier_release_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.RETIRED, ("runtime", "sed"), "runtime.seed")
    monkeypatch.setitem(schema.RETIRED, ("venues", "fees"), "venues.ID.fee_rate, as a fraction")
    (root / "live" / "b.toml").write_text("[runtime]\nsed = 1\n[venues.X]\nfees = 1\n")
    assert refused(root) == [
        "live/b.toml:2: runtime.sed: is read no more; expected runtime.seed",
        "live/b.toml:4: venues.X.fees: is read no more; expected venues.ID.fee_rate, as a fraction",
    ]
    assert refused(root, overrides=["runtime.sed=1"])[-1].startswith("--set runtime.sed: is read no more")


def test_limits_are_tables_by_id_and_none_is_only_written_down(root: Path) -> None:
    (root / "base" / "b.toml").write_text(
        '[strategies.ema]\nclass = "m:C"\n[limits.all]\nmax_order_quantity = 10.0\n[limits.ema]\nstrategies = ["ena"]\n'
    )
    loaded = load_config(
        "live",
        root=root,
        environ={"TICKRAIL_LIMITS__ALL__MAX_ORDER_QUANTITY": "5"},
        overrides=["limits.ema.max_open_orders=3"],
    )
    assert loaded.config.limits["all"].max_order_quantity == 5.0
    adapters: dict[str, set[str]] = {"feed_adapters": set(), "venue_adapters": set()}
    said = [str(p) for p in presence_problems(loaded, **adapters) if p.path.startswith("limits")]
    assert [line.replace(f"{root}/", "") for line in said] == [
        "env TICKRAIL_LIMITS__ALL__MAX_ORDER_QUANTITY: limits.all.max_order_quantity:"
        " nothing in this installation enforces it; expected no such limit",
        "base/b.toml:6: limits.ema.strategies: no strategy 'ena'; did you mean 'ema'?",
        "--set limits.ema.max_open_orders: nothing in this installation enforces it; expected no such limit",
    ]
    every = {"enforced": {"max_order_quantity", "max_open_orders"}}
    assert len([p for p in presence_problems(loaded, **adapters, **every) if p.path.startswith("limits")]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_order_quantity = 0.0", "out of bounds; expected more than 0.0"),
        ("max_open_orders = -1", "out of bounds; expected at least 0"),
        ("max_orders_per_s = 1.5", "found a number; expected a whole number"),
        ('strategies = "ema"', "expected a list of ids of strategies"),
        ('strategies = ["a", "a"]', "expected each strategy once"),
        ("max_order_quantiti = 1.0", "did you mean 'max_order_quantity'?"),
    ],
)
def test_a_wrong_limit_is_named(root: Path, text: str, said: str) -> None:
    (root / "live" / "b.toml").write_text(f"[limits.all]\n{text}\n")
    (problem,) = refused(root)
    assert said in problem


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99
touch "$1/x" 2>/dev/null && exit 98
shift
exec "$@"
"""


@pytest.fixture
def read_only_project() -> Iterator[Path]:
    """A project that its process cannot write to, as in a container with a read-only root file system."""
    with tempfile.TemporaryDirectory(prefix="tickrail-") as name:
        project = Path(name) / "app"
        (project / "config" / "base").mkdir(parents=True)
        (project / "config" / "backtest" / "..2024").mkdir(parents=True)
        (project / "config" / "backtest" / "..2024" / "x.toml").write_text(
            '[feeds.demo]\npath = "/nowhere"\n[venues.SIM]\n[strategies.s]\nclass = "quiet:Quiet"\n'
        )
        (project / "config" / "backtest" / "..data").symlink_to("..2024")
        (project / "config" / "backtest" / "x.toml").symlink_to("..data/x.toml")
        (project / "quiet.py").write_text(
            "from tickrail import Strategy\nclass Quiet(Strategy):\n    def on_quote(self, tick): ...\n"
        )
        for folder in ("data", "secrets", "state"):
            (Path(name) / folder).mkdir()
        generate_file(Path(name) / "data" / "demo.ticks", 100, seed=1)
        (Path(name) / "secrets" / "feeds__demo__path").write_text(f"{name}/data/demo.ticks\n")
        yield project


@pytest.mark.slow
def test_it_runs_where_only_the_run_directory_can_be_written(read_only_project: Path) -> None:
    outer = read_only_project.parent
    if os.geteuid() == 0:  # whom permissions do not stop
        command = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", str(read_only_project)]
    else:
        command = []
        for folder in (read_only_project, *read_only_project.rglob("*")):
            folder.chmod(0o555 if folder.is_dir() else 0o444)
    done = subprocess.run(
        [*command, sys.executable, "-m", "tickrail", "run", "--env", "backtest"],
        cwd=read_only_project,
        env={
            "PATH": os.environ["PATH"],
            "TICKRAIL_SECRETS_DIR": str(outer / "secrets"),
            "TICKRAIL_RUNTIME__RUN_DIR": str(outer / "state" / "runs"),
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if command and (done.returncode == 99 or "unshare" in done.stderr):
        pytest.skip("no mounts of one's own here")
    assert done.returncode == 0, done.stderr
    (folder,) = (outer / "state" / "runs").iterdir()
    assert (folder / "result.json").exists()
    assert not list(read_only_project.rglob("*.pyc"))


def test_a_root_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        load_config("live", root=tmp_path / "config", environ={})
