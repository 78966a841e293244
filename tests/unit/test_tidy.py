"""Bans that keep decision paths deterministic and the house readable; each names what to use instead."""

import ast
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "tickrail"
MOST_LINES = 600
# Locks and licences are as long as they are, and the stub of one native module is one file.
LENGTH_IS_NOT_OURS = (
    "Cargo.lock",
    "rust/models/Cargo.lock",
    "LICENSE-APACHE",
    "requirements/constraints.txt",
    "python/tickrail/_native.pyi",
)
TEXT_SUFFIXES = ("py", "pyi", "rs", "toml", "md", "yml", "yaml", "sh", "json", "txt", "lock", "csv", "cfg")
UNUSED_WORDS = ("engine", "manager", "helper", "helpers", "utils", "util", "common", "base", "listener", "misc")


@dataclass(frozen=True)
class Ban:
    """A dotted call that only its owners may make."""

    pattern: str
    instead: str
    owners: tuple[str, ...] = ()


WALL = ("report/", "cli/", "orchestration/", "adapters/live/", "testing/")
IMPORT = "data/importing.py"  # its report says how long it took; no decision hangs on it
CACHE = "strategy/compiled/cache.py"  # where machine code lies decides nothing
BANS = (
    Ban(r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns)", "the clock port", (*WALL, IMPORT)),
    Ban(r"time\.sleep", "a timer", ("adapters/live/", "testing/", "cli/ctl.py", "cli/top.py")),  # which look again
    Ban(r"(datetime\.)?(datetime|date)\.(now|utcnow|today)", "the clock port", WALL),
    Ban(r"random\.\w+", "a generator seeded from the run", ()),
    Ban(r"(np|numpy)\.random\.(?!default_rng$|Generator$|PCG64$|SeedSequence$)\w+", "default_rng(seed)", ()),
    Ban(r"uuid\.uuid[14]", "run id and counter", ("orchestration/",)),
    Ban(r"os\.(environ|getenv)(\..*)?", "tickrail.config", ("config/", "cli/", "orchestration/bootstrapper.py", CACHE)),
    Ban(r"os\._exit|sys\.exit", "an error; only the command line ends the process", ("cli/", "__main__.py")),
    Ban(
        r"threading\.(Thread|Timer)",
        "the runtime's own threads",
        ("orchestration/", "domain/threads.py", "adapters/live/", "adapters/observability/", "testing/"),
    ),
    Ban(r"print", "a return value; only the command line prints", ("cli/",)),
    # The one exception evaluates annotations, which are code of the module that they stand in.
    Ban(r"eval|exec|pickle\.loads?|marshal\.loads?", "data that is never executed", ("strategy/fields.py",)),
)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def readable() -> Iterable[tuple[str, str]]:
    """Every tracked text file as (name, text)."""
    for path in tracked():
        if path.suffix.lstrip(".") in TEXT_SUFFIXES or not path.suffix:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def name_of(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain or a name; nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name}.{node.attr}" if (name := name_of(node.value)) else ""
    return ""


def imported_from(tree: ast.AST) -> dict[str, str]:
    """Local name to full name, for ``from time import time`` and ``import numpy.random as r``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
    return names


def banned_in(source: str, where: str) -> list[str]:
    tree = ast.parse(source)
    aliases = imported_from(tree)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        first, dot, rest = name_of(node).partition(".")
        name = aliases.get(first, first) + dot + rest
        found += [
            f"{where}:{node.lineno}: {name}: use {ban.instead}"
            for ban in BANS
            if re.fullmatch(ban.pattern, name) and not where.startswith(ban.owners)
        ]
    return found


def unseeded_in(source: str, where: str) -> list[str]:
    return [
        f"{where}:{node.lineno}: default_rng() without a seed"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and name_of(node.func).endswith("default_rng")
        and (not node.args or (isinstance(node.args[0], ast.Constant) and node.args[0].value is None))
        and not node.keywords
    ]


def set_iterations_in(source: str, where: str) -> list[str]:
    """Loops over a set made on the spot: their order changes with the hash seed; ``sorted`` it."""
    loops = [
        (node.iter, node.iter.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
    ]
    return [
        f"{where}:{line}: iteration over a set: sort it"
        for iterated, line in loops
        if isinstance(iterated, ast.Set | ast.SetComp)
        or (isinstance(iterated, ast.Call) and name_of(iterated.func) in {"set", "frozenset"})
    ]


@pytest.mark.parametrize("path", modules(), ids=place)
def test_no_banned_call(path: Path) -> None:
    source = read(path)
    assert banned_in(source, place(path)) == []
    assert unseeded_in(source, place(path)) == []
    assert set_iterations_in(source, place(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.time()",
        "from time import time_ns as now\nx = now()",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime as d\nx = d.datetime.now()",
        "import random\nx = random.random()",
        "from random import shuffle\nshuffle([])",
        "import numpy as np\nx = np.random.rand(3)",
        "import os\nx = os.environ['A']",
        "import os\nx = os.environ.get('A')",
        "print(1)",
        "eval('1')",
    ],
)
def test_the_guard_sees_a_banned_call(source: str) -> None:
    assert banned_in(source, "domain/x.py")


def test_the_guard_sees_unseeded_generators_and_set_loops() -> None:
    assert unseeded_in("default_rng()", "domain/x.py")
    assert not unseeded_in("default_rng(7)", "domain/x.py")
    assert set_iterations_in("[x for x in {1, 2}]\nfor y in set(z): pass", "x.py") != []
    assert set_iterations_in("for y in sorted(set(z)): pass", "x.py") == []


def test_owners_may() -> None:
    assert banned_in("print(1)", "cli/run.py") == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {name: text.count("\n") for name, text in readable() if text.count("\n") > MOST_LINES}
    assert {name: lines for name, lines in long.items() if name not in LENGTH_IS_NOT_OURS} == {}


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    code = [path for path in tracked() if path.suffix in {".py", ".rs"} and path.is_relative_to(ROOT)]
    assert [str(path.relative_to(ROOT)) for path in code if path.stem in UNUSED_WORDS] == []
    ending = re.compile(rf"(?:class|struct|trait|enum) \w*(?:{'|'.join(word.title() for word in UNUSED_WORDS)})\b")
    assert [f"{path.name}: {found}" for path in code for found in ending.findall(read(path))] == []


# Written in pieces, so that this file does not find itself.
MACHINE_ROOTS = ("home", "root", "Users", "work", "farm", "mnt")
MACHINE_PATHS = re.compile("|".join(rf"(?<![\w.])/{root}/\w" for root in MACHINE_ROOTS))
REGISTRIES = ("py" + r"pi\.org", "python" + r"hosted\.org", r"(?<!emit-)index" + "-url", r"/sim" + "ple/?\\b")
REGISTRY_HOSTS = re.compile("|".join(REGISTRIES))


@pytest.mark.slow
def test_no_path_of_one_machine() -> None:
    assert found_by(MACHINE_PATHS) == []


def test_no_registry_host() -> None:
    assert found_by(REGISTRY_HOSTS) == []
    lock = (ROOT / "Cargo.lock").read_text()
    assert set(re.findall(r'^source = "(.*)"$', lock, re.MULTILINE)) <= {
        "registry+https://github.com/rust-lang/crates.io-index"
    }


def found_by(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in readable()
        if not name.endswith("Cargo.lock")
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_every_rust_file_is_part_of_its_crate() -> None:
    lost = [
        str(path.relative_to(ROOT))
        for crate in sorted(ROOT.glob("rust/*/src"))
        for path in sorted(crate.rglob("*.rs"))
        if path.name not in {"lib.rs", "main.rs"} and not is_declared(path)
    ]
    assert lost == []


def is_declared(path: Path) -> bool:
    name, folder = (path.parent.name, path.parent.parent) if path.name == "mod.rs" else (path.stem, path.parent)
    parents = (folder / "mod.rs", folder / "lib.rs", folder / "main.rs", folder.with_suffix(".rs"))
    declared = re.compile(rf"^\s*(?:pub(?:\([\w: ]+\))? )?mod {name}\s*[;{{]", re.MULTILINE)
    return any(declared.search(parent.read_text()) for parent in parents if parent.is_file())


def test_every_make_target_that_is_no_file_is_phony() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    assert set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) <= set(phony)
