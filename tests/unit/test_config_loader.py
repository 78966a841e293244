"""What a configuration is once it is loaded: values, origins, digest, frozen tables."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tickrail.config import LoadedConfig, load_config
from tickrail.config.presence import presence_problems
from tickrail.errors import ConfigProblems, UnknownEnvironment

REPOSITORY = Path(__file__).parent.parent.parent
FILE = """\
[runtime]
seed = 1
[instruments."EURUSD.SIM"]
currency = "USD"
[feeds.demo]
path = "data/demo.ticks"
start = 2024-01-01
[venues.SIM]
fee_rate = 0.00002
[strategies.ema-eurusd]
class = "strategies.ema_cross:EmaCross"
instruments = ["EURUSD.SIM"]
params = { fast = 20, slow = 100, levels = [1.5], Mode = "x", nested = { deep = 1 } }
[strategies.other]
class = "m:C"
"""
Load = Callable[..., LoadedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "config" / "backtest").mkdir(parents=True)

    def load(text: str = FILE, *, environ: dict[str, str] | None = None, **options: Any) -> LoadedConfig:
        (tmp_path / "config" / "backtest" / "runtime.toml").write_text(text)
        return load_config("backtest", root=tmp_path / "config", environ=environ or {}, **options)

    return load


@pytest.mark.parametrize(
    ("variable", "text", "read", "value"),
    [
        ("STRATEGIES__EMA_EURUSD__FAST", "15", lambda c: c.strategies["ema-eurusd"].params["fast"], 15),
        ("STRATEGIES__EMA_EURUSD__PARAMS__FAST", "15", lambda c: c.strategies["ema-eurusd"].params["fast"], 15),
        ("STRATEGIES__EMA_EURUSD__MODE", "y", lambda c: c.strategies["ema-eurusd"].params["Mode"], "y"),
        ("STRATEGIES__EMA_EURUSD__NEW", "1.5", lambda c: c.strategies["ema-eurusd"].params["new"], 1.5),
        (
            "STRATEGIES__EMA_EURUSD__LEVELS",
            "1.5, 2.5",
            lambda c: c.strategies["ema-eurusd"].params["levels"],
            [1.5, 2.5],
        ),
        (
            "STRATEGIES__EMA_EURUSD__NESTED__DEEP",
            "2",
            lambda c: c.strategies["ema-eurusd"].params["nested"],
            {"deep": 2},
        ),
        ("STRATEGIES__EMA_EURUSD__PARAMS", "{ fast = 3 }", lambda c: c.strategies["ema-eurusd"].params["slow"], 100),
        ("STRATEGIES__EMA_EURUSD__NOTE", '"15"', lambda c: c.strategies["ema-eurusd"].params["note"], "15"),
        ("STRATEGIES__EMA_EURUSD__MAX_TICKS", "7", lambda c: c.strategies["ema-eurusd"].max_ticks, 7),
        ("STRATEGIES__EMA_EURUSD__ENABLED", "false", lambda c: c.strategies["ema-eurusd"].enabled, False),
        ("STRATEGIES__EMA_EURUSD__CLASS", "a.b:C", lambda c: c.strategies["ema-eurusd"].class_, "a.b:C"),
        (
            "STRATEGIES__EMA_EURUSD__INSTRUMENTS",
            "A.X,B.X",
            lambda c: c.strategies["ema-eurusd"].instruments,
            ("A.X", "B.X"),
        ),
        ("STRATEGIES__EMA_EURUSD__INSTRUMENTS", "A.X", lambda c: c.strategies["ema-eurusd"].instruments, ("A.X",)),
        ("STRATEGIES__EMA_EURUSD__INSTRUMENTS", '["A.X"]', lambda c: c.strategies["ema-eurusd"].instruments, ("A.X",)),
        ("STRATEGIES__EMA_EURUSD__INSTRUMENTS", "*", lambda c: c.strategies["ema-eurusd"].instruments, "*"),
        ("STRATEGIES__OTHER__INSTRUMENTS", "A.X", lambda c: c.strategies["other"].instruments, ("A.X",)),
        ("RUNTIME__RUN_DIR", "2024", lambda c: c.runtime.run_dir.name, "2024"),
        ("RUNTIME__DIGEST", "full", lambda c: c.runtime.digest, "full"),
        ("VENUES__SIM__FEE_RATE", "1e-4", lambda c: c.venues["SIM"].fee_rate, 1e-4),
        ("VENUES__SIM__FEE_RATE", "0", lambda c: c.venues["SIM"].fee_rate, 0.0),
        ("INSTRUMENTS__EURUSD_SIM__CURRENCY", "EUR", lambda c: c.instruments["EURUSD.SIM"].currency, "EUR"),
        ("FEEDS__DEMO__END", "2024-01-02T00:00:00.000000001Z", lambda c: c.feeds["demo"].end, 1704153600000000001),
        ("FEEDS__DEMO__END", "1_000", lambda c: c.feeds["demo"].end, 1000),
        ("FEEDS__DEMO__OPTIONS__X", "a = 1\nb", lambda c: c.feeds["demo"].options["x"], "a = 1\nb"),
    ],
)
def test_a_variable_sets_a_value(
    load: Load, variable: str, text: str, read: Callable[[Any], Any], value: object
) -> None:
    loaded = load(environ={f"TICKRAIL_{variable}": text})
    assert read(loaded.config) == value
    assert f"env TICKRAIL_{variable}" in {str(origin) for origin in loaded.origins.values()}


@pytest.mark.parametrize(
    "name", ["TICKRAIL_ENV", "TICKRAIL_PORT", "TICKRAIL_SERVICE_HOST", "OTHER__X", "TICKRAIL_TRACEBACK"]
)
def test_foreign_variables_are_left_alone(load: Load, name: str) -> None:
    assert load(environ={name: "tcp://10.0.0.1:80"}).digest == load().digest


def test_the_process_environment_is_the_default(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load()
    monkeypatch.setenv("TICKRAIL_RUNTIME__SEED", "9")
    assert load_config("backtest", root=tmp_path / "config").config.runtime.seed == 9


@pytest.mark.parametrize(
    "override",
    [
        "strategies.ema-eurusd.fast=15",
        "strategies.ema_eurusd.params.fast = 15",
        'strategies."ema-eurusd".params={fast=15}',
    ],
)
def test_set_reaches_a_parameter_in_every_spelling(load: Load, override: str) -> None:
    loaded = load(overrides=[override])
    assert loaded.config.strategies["ema-eurusd"].params["fast"] == 15
    assert str(loaded.origin("strategies.ema-eurusd.params.fast")).startswith("--set strategies.ema-eurusd.params")


def test_set_may_make_an_id_and_the_last_one_wins(load: Load) -> None:
    loaded = load(overrides=["venues.NEW.fee_rate=0.1", "venues.NEW.fee_rate=0.2"])
    assert loaded.config.venues["NEW"].fee_rate == 0.2


def test_arguments_take_paths_and_tables(load: Load, tmp_path: Path) -> None:
    loaded = load(arguments={"runtime.run_dir": tmp_path, "strategies": {"other": {"params": {"a": [1, 2]}}}})
    assert loaded.config.runtime.run_dir == tmp_path
    assert loaded.config.strategies["other"].params == {"a": [1, 2]}
    assert str(loaded.origin("strategies.other.params.a")) == "argument strategies"


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), 2**63, [float("inf")], "\ud800"])
def test_an_argument_that_toml_could_not_say_is_refused(load: Load, value: object) -> None:
    with pytest.raises(ConfigProblems, match=r"argument strategies.other.params.x: "):
        load(arguments={"strategies.other.params.x": value})


def test_origins_and_what_they_replaced(load: Load) -> None:
    loaded = load(environ={"TICKRAIL_RUNTIME__SEED": "5"}, overrides=["runtime.seed=6"])
    places = [str(origin).rpartition("/")[2] for origin in loaded.origin("runtime.seed").history()]
    assert places == ["--set runtime.seed", "env TICKRAIL_RUNTIME__SEED", "runtime.toml:2"]
    assert str(loaded.origin("runtime.digest")).endswith("runtime.toml:1"), "the table it would stand in"
    assert str(loaded.origin("limits.x")) == "default"
    assert str(loaded.origin('instruments."EURUSD.SIM".currency')).endswith("runtime.toml:4")
    assert str(loaded.origin("strategies.ema-eurusd.params.nested.deep")).endswith("runtime.toml:13")


def test_a_configuration_cannot_be_changed(load: Load) -> None:
    config = load().config
    with pytest.raises(ValidationError):
        config.runtime.seed = 2  # type: ignore[misc]
    for table in (
        config.strategies,
        config.feeds,
        config.strategies["ema-eurusd"].params,
        config.feeds["demo"].options,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            table["x"] = 1  # type: ignore[index, assignment]
        with pytest.raises(TypeError, match="cannot be changed"):
            table |= {"x": 1}  # type: ignore[misc, dict-item]
    with pytest.raises(TypeError, match="cannot be changed"):
        config.strategies["ema-eurusd"].params["nested"].clear()
    assert pickle.loads(pickle.dumps(config)) == config


def test_paths_of_feeds_start_at_the_project(load: Load, tmp_path: Path) -> None:
    assert load().config.feeds["demo"].path == tmp_path / "data" / "demo.ticks"
    assert load(overrides=["feeds.demo.path=/x/y.ticks"]).config.feeds["demo"].path == Path("/x/y.ticks")


SAME = [
    ["runtime.run_dir=elsewhere"],
    ["runtime.slice_ticks=7"],
    ["runtime.always_fresh=true"],
    ["runtime.exclusive=true"],
    ["venues.SIM.secrets.token=x"],
    ["feeds.demo.path=/other.ticks"],
    ['feeds.demo.start="2024-01-01T01:00:00+01:00"'],
    ["strategies.off.class=m:C", "strategies.off.enabled=false"],
]
OTHER = [
    ["runtime.seed=2"],
    ["runtime.order_by=ts_init"],
    ["strategies.ema-eurusd.fast=21"],
    ["strategies.ema-eurusd.fast=20.0"],
    ["strategies.ema-eurusd.instruments=*"],
    ["strategies.other.max_ticks=5"],
    ["strategies.other.enabled=false"],
    ["venues.SIM.fee_rate=0.1"],
    ["feeds.demo.start=1"],
    ['instruments."EURUSD.SIM".price_increment=0.1'],
    ["strategies.ema-eurusd.when=2024-01-01"],
    ["runtime.modules=m:services"],
    ["limits.all.max_open_orders=1"],
]


@pytest.mark.parametrize("overrides", SAME, ids=lambda o: o[0])
def test_what_decides_nothing_leaves_the_digest(load: Load, overrides: list[str]) -> None:
    assert load(overrides=overrides).digest == load().digest


def test_what_decides_changes_the_digest(load: Load) -> None:
    digests = [load(overrides=overrides).digest for overrides in [[], *OTHER]]
    assert len(set(digests)) == len(digests)


def test_a_secret_among_parameters_leaves_the_digest_whatever_it_is(load: Load) -> None:
    digests = {load(overrides=[f"strategies.other.pin_secret={word}"]).digest for word in ("one", "two")}
    assert len(digests) == 1
    assert load().digest not in digests, "that there is one counts"
    assert load(arguments={"strategies.other.params.where": Path("a")}).digest not in digests


def test_the_order_of_strategies_decides_and_that_of_keys_does_not(load: Load) -> None:
    one = '[strategies.a]\nclass = "m:C"\nparams = { x = 1, y = 2 }\n'
    other = '[strategies.b]\nclass = "m:C"\n'
    assert load(one + other).digest != load(other + one).digest
    assert load(one).digest == load('[strategies.a]\nparams = { y = 2, x = 1 }\nclass = "m:C"\n').digest


@pytest.mark.slow
def test_the_digest_is_the_same_under_every_hash_seed() -> None:
    code = "from tickrail.config import load_config; print(load_config('backtest', environ={}).digest.hex())"
    outputs = set()
    for seed in ("0", "1", "random"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_a_mount_by_links_inside_the_root_is_read(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links through ``..data``."""
    folder = tmp_path / "config" / "live"
    (folder / "..2024").mkdir(parents=True)
    (folder / "..2024" / "x.toml").write_text("[runtime]\nseed = 4\n")
    (folder / "..data").symlink_to("..2024")
    (folder / "x.toml").symlink_to("..data/x.toml")
    assert load_config("live", root=tmp_path / "config", environ={}).config.runtime.seed == 4


def test_files_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "live"
    folder.mkdir(parents=True)
    for name, seed in (("10-a", 1), ("9-b", 2), (".hidden", 3)):
        (folder / f"{name}.toml").write_text(f"[runtime]\nseed = {seed}\n")
    assert load_config("live", root=tmp_path / "config", environ={}).config.runtime.seed == 2


def test_arrays_are_replaced_and_tables_merge(load: Load) -> None:
    loaded = load(overrides=["strategies.ema-eurusd.levels=[9.0]", "strategies.ema-eurusd.params={slow=50}"])
    assert loaded.config.strategies["ema-eurusd"].params["levels"] == [9.0]
    assert loaded.config.strategies["ema-eurusd"].params["fast"] == 20


@pytest.mark.parametrize("env", ["backtest", "paper", "live"])
def test_the_configuration_of_this_repository_loads(env: str) -> None:
    loaded = load_config(env, root=REPOSITORY / "config", environ={})
    assert list(loaded.config.strategies) == ["ema-eurusd"]


def absent(loaded: LoadedConfig) -> list[str]:
    problems = presence_problems(loaded, feed_adapters={"ticks"}, venue_adapters={"simulated"})
    return [f"{problem.origin.rpartition('/')[2]}: {problem.path}: {problem.message}" for problem in problems]


def test_everything_absent_is_named_at_once(load: Load, tmp_path: Path) -> None:
    loaded = load(
        overrides=[
            "feeds.a.adapter=tick",
            "venues.SIM.adapter=exchange",
            "strategies.other.instruments=A.SIN",
            "feeds.b.adapter=ticks",
        ]
    )
    assert absent(loaded) == [
        f"runtime.toml:6: feeds.demo.path: no such file: {tmp_path / 'data' / 'demo.ticks'}",
        "--set feeds.a.adapter: feeds.a.adapter: no adapter 'tick' in this installation",
        "--set feeds.b.adapter: feeds.b.path: missing",
        "--set venues.SIM.adapter: venues.SIM.adapter: no adapter 'exchange' in this installation",
        "--set strategies.other.instruments: strategies.other.instruments: no venue 'SIN'",
    ]


def test_nothing_to_run_is_a_problem(load: Load) -> None:
    assert [line.partition(": ")[2] for line in absent(load('[strategies.a]\nclass = "m:C"\nenabled = false\n'))] == [
        "feeds: there is no feed",
        "strategies: there is no strategy that is enabled",
    ]


def test_a_span_of_no_time_is_a_problem(load: Load) -> None:
    assert absent(load(overrides=["feeds.demo.end=2024-01-01"]))[1:] == [
        "--set feeds.demo.end: feeds.demo.end: not after the start"
    ]


def test_what_is_there_passes(load: Load, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.ticks").write_bytes(b"")
    assert absent(load()) == []


def problems(load: Load, text: str = FILE, **options: Any) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(text, **options)
    return [str(problem) for problem in caught.value.problems]


def test_two_variables_for_one_value_are_a_problem(load: Load) -> None:
    assert problems(load, environ={"TICKRAIL_RUNTIME__SEED": "1", "TICKRAIL_RUNTIME__Seed": "2"}) == [
        "env TICKRAIL_RUNTIME__Seed: runtime.seed: set by TICKRAIL_RUNTIME__SEED as well; expected one variable"
    ]


def test_a_malformed_argument_is_a_problem(load: Load) -> None:
    assert problems(load, arguments={"a..b": 1}) == [
        "argument a..b: malformed; expected a dotted path, as runtime.seed"
    ]


@pytest.mark.parametrize(
    "name",
    ["TICKRAIL___", "TICKRAIL_RUNTIME__", "TICKRAIL___SEED", "TICKRAIL_STRATEGIES__", "TICKRAIL_STRATEGIES____X"],
)
def test_empty_parts_of_a_variable_are_problems(load: Load, name: str) -> None:
    (problem,) = problems(load, environ={name: "1"})
    assert problem.startswith(f"env {name}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[instruments."X.Y"]\ncurrency = "usd"\n',
            'runtime.toml:2: instruments."X.Y".currency: wrong value; expected a currency code, as USD',
        ),
        ("[runtime]\nrun_dir = 3\n", "runtime.toml:2: runtime.run_dir: wrong value; expected a path, as text"),
        ("[runtime]\nseed = 1.5\n", "runtime.toml:2: runtime.seed: found a number; expected a whole number"),
        ("[runtime]\nseed = true\n", "runtime.toml:2: runtime.seed: found true or false; expected a whole number"),
        (
            "[runtime]\nseed = 99999999999999999999\n",
            "runtime.toml:2: runtime.seed: a whole number of more than 64 bits",
        ),
        ("[feeds.x]\nstart = 1.5\n", "runtime.toml:2: feeds.x.start: wrong value; expected a time"),
        ("[[feeds]]\nid = 1\n", "runtime.toml:1: feeds: found a list; expected a table"),
        (
            '[strategies.a]\nclass = "m:C"\ninstruments = ["A.B", "A.B"]\n',
            "runtime.toml:3: strategies.a.instruments: wrong value; expected each instrument once",
        ),
        (
            '[strategies.a]\nclass = "m:C"\ninstruments = ["A.B", 1]\n',
            "runtime.toml:3: strategies.a.instruments: wrong value; expected a list",
        ),
        (
            '[strategies.a]\nclass = "m:C"\nparams = 1\n',
            "runtime.toml:3: strategies.a.params: found a whole number; expected a table",
        ),
        ("[strategies]\na = 1\n", "runtime.toml:2: strategies.a: found a whole number; expected a table"),
        ("[instruments.EURUSD]\n", "runtime.toml:1: instruments.EURUSD: wrong value; expected an instrument id"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(load: Load, text: str, message: str) -> None:
    (problem,) = problems(load, text)
    assert message in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem(load: Load, tmp_path: Path) -> None:
    load()
    (tmp_path / "config" / "backtest" / "runtime.toml").chmod(0)
    with pytest.raises(ConfigProblems, match="may not be read"):
        load_config("backtest", root=tmp_path / "config", environ={})


def test_a_pipe_is_no_file(load: Load, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config" / "backtest" / "pipe.toml")
    (problem,) = problems(load)
    assert problem.endswith("pipe.toml: is no regular file; expected a TOML file")


def test_a_circle_of_links_is_a_problem(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config" / "backtest" / "loop.toml").symlink_to("loop.toml")
    (problem,) = problems(load)
    assert "loop.toml: " in problem


@pytest.mark.parametrize("env", ["base", "..", "", ".", "..data", "a/b", "/tmp"])
def test_what_is_no_environment_is_refused(load: Load, tmp_path: Path, env: str) -> None:
    load()
    (tmp_path / "config" / "base").mkdir()
    with pytest.raises(UnknownEnvironment) as caught:
        load_config(env, root=tmp_path / "config", environ={})
    assert caught.value.known == ("backtest",)


def test_messages_never_show_values(load: Load) -> None:
    said = "\n".join(
        problems(
            load,
            "[runtime]\nseed = 'hunter2'\n",
            environ={"TICKRAIL_RUNTIME__DIGEST": "hunter2"},
            overrides=["hunter2"],
        )
    )
    assert said.count("hunter2") == 1, "only the flag that has no path, by its own text"


def test_times_in_the_model(load: Load) -> None:
    def start(text: str) -> int | None:
        return load(f"[feeds.x]\nstart = {text}\n").config.feeds["x"].start

    assert start("1970-01-02") == 86_400_000_000_000
    assert start("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert start("1970-01-01T01:00:00+01:00") == 0
    assert start('"1969-12-31T23:59:59.999999999"') == -1
    assert start('"1970-01-01T00:00:00.1+00:00"') == 100_000_000
