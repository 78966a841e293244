"""Blocks ``console run`` of the documents: each command is run, and what is printed is what the page shows.

``UPDATE_DOCS=1 pytest tests/integration/test_document_consoles.py`` writes what is printed into the pages; read the
difference. A line ``...`` stands for any lines. The commands of a page run one after the other in one project, which
``tickrail init`` has made and 20,000 ticks fill.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tickrail.cli import main
from tickrail.data import generate_file

from test_documents import DOCUMENTS, FENCE, blocks, name_of  # isort: skip

TAG = "console run"
PAGES = [path for path in DOCUMENTS if any(block.tag == TAG for block in blocks(path.read_text()))]
UPDATE = os.environ.get("UPDATE_DOCS") == "1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    made = CliRunner().invoke(main, ["init", str(folder)])
    assert made.exit_code == 0, made.output
    (folder / "data").mkdir()
    generate_file(folder / "data" / "demo.ticks", 20_000, seed=1)
    return folder


def commands(body: str) -> list[tuple[str, str]]:
    """Each command of a block with what it is said to print; a command goes on after a backslash."""
    found: list[tuple[str, str]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def run(command: str, folder: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TICKRAIL_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**environ, "PATH": path, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


def matches(said: str, shown: str) -> bool:
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in shown.splitlines())
    return re.fullmatch(pattern, said) is not None


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_the_page_shows_is_what_is_printed(page: Path, project: Path) -> None:
    text = page.read_text()
    for block in [found for found in FENCE.finditer(text) if found["tag"].strip() == TAG]:
        said = [(command, run(command, project)) for command, _ in commands(block["body"])]
        for (command, shown), (_, printed) in zip(commands(block["body"]), said, strict=True):
            if not UPDATE:
                assert matches(printed, shown), f"{name_of(page)}: $ {command}\n{printed}\n--- shown:\n{shown}"
        text = text.replace(block["body"], "".join(f"$ {command}\n{printed}" for command, printed in said))
    if UPDATE:
        page.write_text(text)


def test_there_are_such_pages() -> None:
    assert PAGES


def test_a_wrong_page_is_seen() -> None:
    assert commands("$ a \\\n> b\nx\ny\n$ c\n") == [("a \\\nb", "x\ny\n"), ("c", "")]
    assert matches("one\ntwo\nthree\n", "one\n...\nthree\n")
    assert matches("one\n", "one\n")
    assert not matches("one\ntwo\n", "one\n")
    assert not matches("one\n", "two\n")
