"""What the documents show works: Python blocks and examples run, TOML parses, make targets and links exist."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benches/*.md")])
EXAMPLES = sorted(path for path in ROOT.glob("examples/**/*.py") if not path.name.startswith(("_", "test_")))
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<tag>[^`\n]*)\n(?P<body>.*?)^(?P=ticks)[ \t]*$", re.MULTILINE | re.DOTALL)
KNOWN_TAGS = {
    "",
    "python",
    "python no-run",
    "toml",
    "console",
    "console run",
    "text",
    "mermaid",
    "rust",
    "json",
    "csv",
    "make",
}


@dataclass(frozen=True)
class Block:
    """One fenced block and the line its body starts on."""

    tag: str
    body: str
    line: int


def blocks(text: str) -> list[Block]:
    return [
        Block(found["tag"].strip(), found["body"], text.count("\n", 0, found.start("body")))
        for found in FENCE.finditer(text)
    ]


def script(text: str) -> str:
    """The Python blocks of a document as one program whose line numbers are those of the document."""
    lines = [""] * (text.count("\n") + 1)
    for block in blocks(text):
        if block.tag == "python":
            body = block.body.splitlines()
            lines[block.line : block.line + len(body)] = body
    return "\n".join(lines)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.slow
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if script(path.read_text()).strip()], ids=name_of)
def test_python_blocks_run_from_top_to_bottom(document: Path, tmp_path: Path) -> None:
    if (ROOT / "config").is_dir():
        shutil.copytree(ROOT / "config", tmp_path / "config")  # documents are read in the root of a checkout
    program = tmp_path / f"{document.stem}.md.py"
    program.write_text(script(document.read_text()))
    done = run(program, tmp_path)
    assert done.returncode == 0, f"{name_of(document)}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_blocks_that_do_not_run_are_signatures(document: Path) -> None:
    for block in blocks(document.read_text()):
        assert block.tag in KNOWN_TAGS, f"{name_of(document)}:{block.line}: unknown kind of block {block.tag!r}"
        if block.tag == "python no-run":
            assert only_signatures(block.body), f"{name_of(document)}:{block.line}: code has to run"
        if block.tag == "toml":
            tomllib.loads(block.body)


def only_signatures(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.body[-1]
            if not (isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and len(node.body) <= 2):
                return False
    return all(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.parse(source).body
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$? ?)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    dead = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", FENCE.sub("", document.read_text()))
        if "://" not in target and not target.startswith("mailto:") and not (document.parent / target).exists()
    ]
    assert dead == []


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    done = run(example, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples() -> None:
    assert EXAMPLES, "the newcomer's first stop is empty"


def test_a_failing_block_is_seen_with_its_line(tmp_path: Path) -> None:
    text = "# Title\n\n```python\nx = 1\n```\n\ntext\n\n```python\nassert x == 2\n```\n"
    program = tmp_path / "wrong.md.py"
    program.write_text(script(text))
    done = run(program, tmp_path)
    assert done.returncode == 1
    assert "line 10" in done.stderr


@pytest.mark.parametrize(
    ("source", "pure"),
    [
        ("def f(x: int) -> int: ...", True),
        ('class A:\n    """Doc."""\n    def f(self) -> None:\n        """Do."""', True),
        ("print(1)", False),
        ("def f() -> int:\n    return 1", False),
    ],
)
def test_what_counts_as_a_signature(source: str, pure: bool) -> None:
    assert only_signatures(source) is pure
