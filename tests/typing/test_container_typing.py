"""What mypy and pyright know about what the container hands out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CODE = """
from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol
from tickrail import Container, Provider, Scope

class Port(Protocol):
    def price(self) -> float: ...

class Adapter:
    def price(self) -> float:
        return 1.5

class Box[T]:
    def __init__(self, held: T) -> None:
        self.held = held

def make() -> Iterator[Adapter]:
    yield Adapter()

async def connect() -> Adapter:
    return Adapter()

def use(container: Container) -> None:
    reveal_type(container.get(Port))
    reveal_type(container.get(Adapter))
    reveal_type(container.get(Port, name="fast").price())
    reveal_type(container.get(tuple[Port, ...]))
    reveal_type(container.get(Sequence[Port]))
    reveal_type(container.get(Box[int]).held)
    reveal_type(container.get(Adapter | None))
    reveal_type(container.enter(Scope.STRATEGY).get(Port))
    with container.override(values={Port: Adapter()}) as inside:
        reveal_type(inside.get(Port))

Provider().singleton(Port, Adapter).scoped(Adapter, make).singleton(Adapter, connect).value(Port, Adapter())
""".replace("class Box[T]:", "T = TypeVar('T')\nclass Box(Generic[T]):").replace(
    "import Annotated, Protocol", "import Generic, Protocol, TypeVar"
)
REVEALED = ["Port", "Adapter", "float", "tuple[Port, ...]", "Sequence[Port]", "int", "Adapter | None", "Port", "Port"]
WRONG = """
from typing import Protocol
from tickrail import Container
class Port(Protocol):
    def price(self) -> float: ...
class Adapter: ...
def use(container: Container) -> None:
    container.get(Port).prise()
    x: int = container.get(Adapter)
"""
WRONG_LINES = {8, 9}


def plain(type_name: str) -> str:
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", type_name)


def environment() -> dict[str, str]:
    return {"MYPYPATH": str(ROOT / "python"), "PATH": os.environ["PATH"]}


def mypy(folder: Path) -> tuple[list[str], list[int]]:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file=",
        "--follow-imports=silent",
    ]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [*command, *cache, "snippet.py"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    revealed = [plain(found[1]) for line in lines if (found := re.search(r'Revealed type is "(.*)"', line))]
    return revealed, [int(line.split(":")[1]) for line in lines if ": error:" in line]


def pyright(folder: Path) -> tuple[list[str], list[int]]:
    if shutil.which("node") is None:
        pytest.skip("pyright runs on node, which is not here, and would be downloaded")
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "python")]})
    )
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "snippet.py"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)["generalDiagnostics"]
    revealed = [
        plain(found[1]) for one in said if (found := re.fullmatch(r'Type of ".*" is "(.*)"', one["message"], re.DOTALL))
    ]
    return revealed, [one["range"]["start"]["line"] + 1 for one in said if one["severity"] == "error"]


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_what_is_asked_for_has_its_type(checker: object, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(CODE)
    assert checker(tmp_path) == (REVEALED, [])  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_what_is_wrong_is_an_error(checker: object, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(WRONG)
    assert set(checker(tmp_path)[1]) == WRONG_LINES  # type: ignore[operator]
