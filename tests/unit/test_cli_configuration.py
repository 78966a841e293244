"""``check``, ``show``, ``diff``, ``schema`` and ``graph``: what they print, with golden files.

``UPDATE_GOLDEN=1 pytest tests/unit/test_cli_configuration.py`` writes the files anew; read the difference.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tickrail.cli import main
from tickrail.config import RuntimeConfig, load_config
from tickrail.config.json_schema import file_schema
from tickrail.config.rendering import entries, toml_text
from tickrail.data import generate_file

GOLDEN = Path(__file__).parent / "golden_commands"
HIDDEN = "hunter2-Zk9"
FILES = {
    "config/base/strategies.toml": """\
[instruments."EURUSD.SIM"]
currency = "USD"
[strategies.ema-eurusd]
class = "shop:Ema"
instruments = ["EURUSD.SIM"]
params = { fast = 20, slow = 100, when = 2024-01-31, deep = { levels = [1.5, 2.5], on = true } }
[strategies.quiet]
class = "shop:Quiet"
""",
    "config/backtest/runtime.toml": f"""\
[runtime]
seed = 1
modules = ["shop:services"]
[feeds.demo]
path = "data/demo.ticks"
start = 1970-01-01
[venues.SIM]
fee_rate = 0.00002
[strategies.quiet]
secrets = {{ pin = "{HIDDEN}" }}
""",
    "config/paper/runtime.toml": """\
[runtime]
modules = ["shop:services"]
[feeds.demo]
path = "data/demo.ticks"
[feeds.more]
path = "elsewhere/more.ticks"
[venues.SIM]
[strategies.quiet]
secrets = { pin = "another" }
""",
    "shop.py": """\
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Protocol, Sequence

from pydantic import SecretStr
from tickrail import Inject, Provider, Strategy
from tickrail.orchestration.container import Named


class Store: ...


class Port(Protocol): ...


class Adapter:
    def __init__(self, store: Store) -> None: ...


class Logged:
    def __init__(self, inner: Port) -> None: ...


class Check: ...


def open_store() -> Iterator[Store]:
    raise AssertionError("a service was made")
    yield Store()


services = Provider().singleton(Store, open_store).scoped(Adapter).bind(Port, Adapter).decorate(Port, Logged)
services.collect(Check).collect(Check).factory(list[int], lambda: []).value(int, 7, name="limit")


class Ema(Strategy):
    fast: int = 20
    slow: int = 100
    when: date = date(2024, 1, 1)
    deep: dict[str, object] = {}
    port: Inject[Port]
    checks: Inject[Sequence[Check]]

    def on_start(self):
        raise AssertionError("started")


class Quiet(Strategy):
    pin: SecretStr
    limit: Inject[Annotated[int, Named("limit")]]
    numbers: Inject[list[int]]
""",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    generate_file(tmp_path / "data" / "demo.ticks", 10, seed=1)
    for name in [name for name in os.environ if name.startswith("TICKRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("shop", "broken"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def tickrail(args: str, **environ: str) -> Result:
    result = CliRunner().invoke(main, args.split(), env=environ, prog_name="tickrail")
    assert "Traceback" not in result.stderr
    assert HIDDEN not in result.output
    return result


def golden(name: str, said: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(said)
    assert said == file.read_text()


def broken(project: Path) -> None:
    (project / "config" / "backtest" / "z.toml").write_text(
        """\
[runtime]
sed = 1
[feeds.demo]
path = "data/dmo.ticks"
[feeds.odd]
adapter = "tick"
[venues.SIM]
fee_rate = 2.0
[strategies.ema-eurusd]
params = { fats = 1, slow = "x" }
[strategies.none]
enabled = true
[strategies.broken]
class = "broken:Broken"
[strategies.lost]
class = "shop:Lost"
[strategies.far]
class = "shop:Quiet"
instruments = ["EURUSD.SIN"]
"""
    )
    (project / "broken.py").write_text("import nowhere_to_be_found\n")
    shop = (
        (project / "shop.py")
        .read_text()
        .replace("def __init__(self, store: Store)", "def __init__(self, store: bytes)")
    )
    (project / "shop.py").write_text(shop)


CASES = {
    "check": ("check -e backtest", 0),
    "check_json": ("check -e backtest --json", 0),
    "show": ("show -e backtest", 0),
    "show_origin": ("show -e backtest --origin --set strategies.ema-eurusd.fast=15 --set runtime.seed=3", 0),
    "show_json": ("show -e backtest --json --origin", 0),
    "diff": ("diff backtest paper", 0),
    "diff_json": ("diff backtest paper --json", 0),
    "diff_exit_code": ("diff backtest paper --exit-code --set runtime.seed=1", 1),
    "graph": ("graph -e backtest", 0),
    "graph_mermaid": ("graph -e backtest --format mermaid", 0),
    "graph_json": ("graph -e backtest --json", 0),
}


@pytest.mark.parametrize("name", CASES)
def test_output(name: str, project: Path) -> None:
    args, code = CASES[name]
    result = tickrail(args, TICKRAIL_STRATEGIES__EMA_EURUSD__SLOW="90")
    assert (result.exit_code, result.stderr) == (code, "")
    golden(name, result.stdout.replace(str(project), "PROJECT"))


@pytest.mark.parametrize("name", ["check", "graph"])
def test_everything_wrong_is_said_at_once(name: str, project: Path) -> None:
    """Keys, values, data, adapters, classes, parameters, instruments and the graph of services in one error."""
    broken(project)
    result = tickrail(f"{name} --env backtest", TICKRAIL_VENUES__SIN__FEE_RATE="1")
    assert (result.exit_code, result.stdout) == (78, "")
    golden("broken", result.stderr.replace(str(project), "PROJECT"))


GRAPH_FAULTS = """
from tickrail import Inject, Provider, Strategy

class Egg:
    def __init__(self, hen: "Hen") -> None: ...
class Hen:
    def __init__(self, egg: Egg) -> None: ...
class Own: ...
class Shared:
    def __init__(self, own: Own) -> None: ...
class Lost:
    def __init__(self, shraed: "Sharde") -> None: ...
class Sharde: ...

services = Provider().singleton(Egg).singleton(Hen).scoped(Own).singleton(Shared).singleton(Lost).singleton(Own)

class Quiet(Strategy):
    lost: Inject[Lost]
"""


@pytest.mark.parametrize("name", ["check", "graph", "run"])
def test_cycles_captives_and_what_is_missing_are_drawn(name: str, project: Path) -> None:
    """F55: exit 78, nothing made, nothing written."""
    (project / "broken.py").write_text(GRAPH_FAULTS.replace(".singleton(Own)", ""))
    before = sorted(project.rglob("*.*"))
    sets = "--set runtime.modules=broken:services --set strategies.ema-eurusd.enabled=false"
    more = " --set strategies.quiet.class=broken:Quiet --set strategies.quiet.secrets={}"
    (project / "config" / "backtest" / "runtime.toml").write_text(
        '[feeds.demo]\npath = "data/demo.ticks"\n[venues.SIM]\n'
    )
    result = tickrail(f"{name} -e backtest {sets}{more}")
    assert (result.exit_code, result.stdout) == (78, "")
    golden("graph_faults", result.stderr.replace(str(project), "PROJECT"))
    assert [file for file in sorted(project.rglob("*.*")) if file.suffix != ".pyc"] == before


def test_everything_wrong_as_json(project: Path) -> None:
    broken(project)
    result = tickrail("check --env backtest --json")
    assert (result.exit_code, result.stdout) == (78, "")
    error = json.loads(result.stderr)["error"]
    assert error["exit_code"] == 78
    assert len(error["problems"]) == 12
    assert {"path", "origin", "message", "expected", "near_miss"} == set(error["problems"][0])


def test_every_golden_file_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {*CASES, "broken", "graph_faults"}


def test_checking_starts_makes_and_leaves_nothing(project: Path) -> None:
    before, path, modules = sorted(project.rglob("*")), list(sys.path), set(sys.modules)
    assert tickrail("check -e backtest").exit_code == 0
    assert [one for one in sorted(project.rglob("*")) if "__pycache__" not in one.parts] == before
    assert sys.path == path
    assert "shop" in set(sys.modules) - modules


def test_nothing_follows_from_a_file_that_cannot_be_read(project: Path) -> None:
    (project / "config" / "backtest" / "runtime.toml").write_text("[feeds\n")
    result = tickrail("check -e backtest")
    assert result.exit_code == 78
    assert result.stderr.count("\n") == 1, result.stderr
    assert "invalid TOML" in result.stderr


def test_only_the_graph_is_wrong(project: Path) -> None:
    shop = (project / "shop.py").read_text().replace("scoped(Adapter)", "scoped(Check)")
    (project / "shop.py").write_text(shop)
    result = tickrail("check -e backtest")
    assert result.exit_code == 78
    assert "needs Adapter (it), which nothing provides" in result.stderr


def test_data_that_cannot_be_read_is_a_problem(project: Path) -> None:
    (project / "data" / "demo.ticks").write_bytes(b"no ticks" * 100)
    result = tickrail("check -e backtest")
    assert result.exit_code == 78
    assert "config/backtest/runtime.toml:5: feeds.demo.path: " in result.stderr


def test_environments_are_completed(project: Path) -> None:
    def completed(words: list[str], incomplete: str) -> list[str]:
        shell = ShellComplete(main, {}, "tickrail", "_TICKRAIL_COMPLETE")
        return [item.value for item in shell.get_completions(words, incomplete)]

    assert completed(["show", "--env"], "") == ["backtest", "paper"]
    assert completed(["diff", "backtest"], "p") == ["paper"]
    assert completed(["check", "--config-root", "nowhere", "--env"], "") == []
    assert set(completed([], "")) >= {"check", "show", "diff", "schema", "graph", "run"}
    assert "--origin" in completed(["show"], "--o")


@pytest.mark.parametrize("env", ["backtest", "paper"])
def test_what_show_prints_is_the_configuration(env: str, project: Path) -> None:
    """As a file of its own it loads to the same, but for the secrets."""
    (project / "copy" / "live").mkdir(parents=True)
    (project / "copy" / "live" / "all.toml").write_text(tickrail(f"show -e {env}").stdout)
    copy, original = load_config("live", root=project / "copy"), load_config(env)
    assert copy.digest == original.digest
    assert [entry.line for entry in entries(copy)] == [entry.line for entry in entries(original)]


VALUES = st.recursive(
    st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.dates()
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a.é\"'= \n", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_a_value_is_written_so_that_toml_reads_it(value: Any) -> None:
    read = tomllib.loads(f"x = {toml_text(value)}")["x"]
    assert read == value
    assert type(read) is type(value)


def test_forms_of_values() -> None:
    assert toml_text(SecretStr(HIDDEN)) == '"**********"'
    assert toml_text(Path("a/b")) == '"a/b"'
    assert toml_text((1, 2.0)) == "[1, 2.0]"
    assert toml_text(datetime(2024, 1, 2, 3)) == "2024-01-02T03:00:00"  # noqa: DTZ001
    assert toml_text({"a": date(2024, 1, 2), "b c": {}}) == '{ a = 2024-01-02, "b c" = {} }'


def test_the_schema_knows_every_key_and_what_it_means(project: Path) -> None:
    schema = json.loads(tickrail("schema").stdout)
    assert schema == file_schema()
    assert list(schema["properties"]) == list(RuntimeConfig.model_fields)
    for name, table in schema["$defs"].items():
        assert table["additionalProperties"] is False
        for key, value in table["properties"].items():
            assert len(value["description"]) > 10, f"{name}.{key} means nothing"
    assert set(schema["$defs"]["StrategyConfig"]["properties"]) >= {"class", "params", "secrets"}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """What of a JSON schema ours uses, for values as TOML gives them."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(accepts(one, value, root) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kinds = {
        "string": (str, date),
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "object": dict,
        "array": list,
    }
    kind = schema.get("type")
    if kind == "null" or (kind is not None and not isinstance(value, kinds[kind])):
        return False
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        inner = [(known.get(key, rest), item) for key, item in value.items()]
        return all(one is True or (one is not False and accepts(one, item, root)) for one, item in inner)
    return True


@pytest.mark.parametrize("file", [name for name in FILES if name.endswith(".toml")])
def test_the_schema_accepts_what_the_loader_accepts(file: str) -> None:
    schema = file_schema()
    values = tomllib.loads(FILES[file])
    assert accepts(schema, values, schema)
    assert not accepts(schema, {**values, "runtme": {}}, schema)
    assert not accepts(schema, {"runtime": {"seed": "1"}}, schema)


@pytest.mark.slow
def test_the_graph_has_one_digest_in_three_processes(project: Path) -> None:
    said = set()
    for seed in ("0", "1", "random"):
        done = subprocess.run(
            [sys.executable, "-m", "tickrail", "graph", "-e", "backtest"],
            cwd=project,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
