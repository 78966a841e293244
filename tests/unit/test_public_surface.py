"""The public surface is a list: what is visible, listed, documented and typed is the same, and it stays small."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tickrail

ROOT = Path(__file__).parents[2]
MOST_NAMES = 40  # the design's limit: more than a reader takes in at once
HEAVY = ("pyarrow", "pandas", "polars", "dishka", "asyncio.base_events", "rich", "click")


def test_the_list_is_sorted_and_short() -> None:
    assert list(tickrail.__all__) == sorted(set(tickrail.__all__))
    assert len(tickrail.__all__) <= MOST_NAMES


@pytest.mark.parametrize("name", tickrail.__all__)
def test_a_listed_name_is_there_and_documented(name: str) -> None:
    value = getattr(tickrail, name)
    if inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, ModuleType):
        assert (value.__doc__ or "").strip(), f"tickrail.{name} has no docstring"
        assert not inspect.isclass(value) or "__doc__" in vars(value), f"tickrail.{name} inherits its docstring"
    else:
        assert f"``{name}``" in (tickrail.__doc__ or ""), f"the docstring of tickrail says nothing about {name}"


def test_nothing_else_is_visible() -> None:
    visible = {
        name for name, value in vars(tickrail).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert visible - set(tickrail.__all__) == set()
    assert {name for name in dir(tickrail) if not name.startswith("_")} >= set(tickrail.__all__) - {"__version__"}


def test_public_classes_say_where_users_find_them() -> None:
    astray = [
        f"{name}: {value.__module__}"
        for name in tickrail.__all__
        if inspect.isclass(value := getattr(tickrail, name)) and value.__module__.partition(".")[0] != "tickrail"
    ]
    assert astray == []


def test_the_package_is_typed() -> None:
    assert (Path(tickrail.__file__).parent / "py.typed").exists()


@pytest.mark.slow
def test_stub_and_native_module_agree() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "tickrail._native", "--mypy-config-file", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_stays_light() -> None:
    """The time itself is a benchmark (``python -m benches``); what costs it is named here."""
    code = f"import json, sys, tickrail; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
