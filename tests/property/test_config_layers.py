"""The merge of layers against a small model, and the places of keys against the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tickrail.config import load_config
from tickrail.config.limits import MAX_DEPTH, is_plain, offences
from tickrail.config.origins import Origin, Tree
from tickrail.config.toml_lines import key_lines, parse_key
from tickrail.errors import ConfigProblems

NAMES = st.sampled_from(["a", "b", "c", "d e", "EURUSD.SIM", "", '"', "#x", "x=y"])
SCALARS = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.text(alphabet="a\"'#=[]{}\\\n,. é", max_size=6),
    st.lists(st.integers(0, 3), max_size=3),
)
TABLES = st.recursive(
    st.dictionaries(NAMES, SCALARS, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | SCALARS, max_size=3),
    max_leaves=8,
)


def model_merge(low: Any, high: Any) -> Any:
    """What merging means, in four lines."""
    if not (isinstance(low, dict) and isinstance(high, dict)):
        return high
    return {
        key: model_merge(low.get(key), high[key]) if key in high else low[key]
        for key in [*low, *(k for k in high if k not in low)]
    }


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {place: leaf for key, item in value.items() for place, leaf in leaves(item, (*path, key)).items()}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TABLES, min_size=1, max_size=4))
def test_layers_merge_as_the_model_says(layers: list[dict[str, Any]]) -> None:
    tree, expected = Tree(), {}
    for number, layer in enumerate(layers):
        for key, value in layer.items():
            tree.set((key,), value, Origin("file", str(number)))
        expected = model_merge(expected, layer)
    assert tree.values == expected
    assert json.dumps(tree.values) == json.dumps(expected), "and in the same order"
    for path in leaves(expected):
        if path:
            assert tree.origins[path].name == str(last_setter(layers, path))
    assert {path for path in tree.origins if not isinstance(tree.get(path), dict)} == {
        p for p, v in leaves(expected).items() if p
    }


def last_setter(layers: list[dict[str, Any]], path: tuple[str, ...]) -> int:
    """The number of the last layer that has a value, or ends, at this very path."""
    return max(number for number, layer in enumerate(layers) if path in leaves(layer))


def write_toml(
    draw: st.DrawFn,
    table: dict[str, Any],
    lines: list[str],
    expected: dict[tuple[str, ...], int],
    path: tuple[str, ...],
) -> None:
    """Write a table in any of the forms that TOML has, and note where each key went."""
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key in [key for key in table if key not in nested]:
        lines += draw(st.lists(st.sampled_from(["", "# a = 1", "   "]), max_size=2))
        expected[(*path, key)] = len(lines) + 1
        lines += (
            f"{spell(key)} = {spell_value(draw, table[key])}{draw(st.sampled_from(['', ' # [x] = 2', '  ']))}".split(
                "\n"
            )
        )
    for key, value in list(nested.items()):
        if draw(st.booleans()):
            del nested[key]
            for place in inner_places(value, (*path, key)):
                expected[place] = len(lines) + 1
            lines.append(f"{spell(key)} = {inline(value)}")
    for key, value in nested.items():
        expected[(*path, key)] = len(lines) + 1
        lines.append("[" + " . ".join(spell(part) for part in (*path, key)) + "]" + draw(st.sampled_from(["", " # {"])))
        write_toml(draw, value, lines, expected, (*path, key))


def spell(key: str) -> str:
    return key if key.isalnum() and key.isascii() else json.dumps(key)


def spell_value(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, str) and "'" not in value and "\\" not in value and draw(st.booleans()):
        return "'''\n" + value + "'''" if "\n" in value or draw(st.booleans()) else f"'{value}'"
    if isinstance(value, list) and draw(st.booleans()):
        return "[ # ]\n" + "".join(f"  {json.dumps(item)}, # '\n" for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{spell(key)} = {inline(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def inner_places(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    nested = (
        [place for key, item in value.items() for place in inner_places(item, (*path, key))]
        if isinstance(value, dict)
        else []
    )
    return [path, *nested]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[tuple[str, ...], int]]:
    table = draw(TABLES)
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    write_toml(draw, table, lines, expected, ())
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join(lines) + newline, table, expected


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(documents())
def test_each_key_is_found_on_its_line(document: tuple[str, dict[str, Any], dict[tuple[str, ...], int]]) -> None:
    text, table, expected = document
    assert tomli.loads(text) == table, "the test writes TOML"
    assert key_lines(text) == expected


def test_a_table_within_a_line_may_take_several() -> None:
    text = 'a = { # as TOML 1.1 has it\n  x = 1,\n  "y z" = { w = "\\e}", }, # }\n}\nb = 1\n'
    table = tomli.loads(text)
    assert table == {"a": {"x": 1, "y z": {"w": "\x1b}"}}, "b": 1}
    assert key_lines(text) == {("a",): 1, ("a", "x"): 2, ("a", "y z"): 3, ("a", "y z", "w"): 3, ("b",): 5}


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_dotted_key_has_its_parts(parts: list[str]) -> None:
    assert parse_key(" . ".join(map(spell, parts))) == tuple(parts)


@pytest.mark.parametrize("text", ["", "a..b", "a.", "a = 1\nb", "a\n", "a b", "a=1", "a = 1 #", '"a', "[a]"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_key(text)


LAYERS = ("default", "base", "env", "secret", "variable", "set", "argument")
KINDS = ("default", "file", "file", "secret", "env", "set", "argument")
#: One value of the runtime, and one parameter of one strategy, as each layer says it.
VALUES = {
    "runtime.seed": ("[runtime]\nseed = {}\n", "RUNTIME__SEED", "runtime.seed"),
    "strategies.ema-eurusd.params.fast": (
        "[strategies.ema-eurusd.params]\nfast = {}\n",
        "STRATEGIES__EMA_EURUSD__FAST",
        "strategies.ema-eurusd.fast",
    ),
}
STRATEGY = '[strategies.ema-eurusd]\nclass = "m:C"\n'


def write_layers(root: Path, path: str, setters: set[str]) -> dict[str, Any]:
    """Let each of ``setters`` set the value at ``path`` to its own number; returns the arguments of ``load_config``."""
    toml, name, dotted = VALUES[path]
    number = {layer: LAYERS.index(layer) for layer in LAYERS}
    for folder, layer in (("base", "base"), ("backtest", "env")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        text = toml.format(number[layer]) if layer in setters else ""
        (root / folder / "x.toml").write_text((STRATEGY if layer == "base" else "") + text)
    secrets = root.parent / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / name.lower()).unlink(missing_ok=True)
    if "secret" in setters:
        (secrets / name.lower()).write_text(f"{number['secret']}\n")
    return {
        "root": root,
        "secrets_dir": secrets,
        "environ": {f"TICKRAIL_{name}": str(number["variable"])} if "variable" in setters else {},
        "overrides": [f"{dotted}={number['set']}"] if "set" in setters else [],
        "arguments": {dotted: number["argument"]} if "argument" in setters else None,
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=128, deadline=None)
@given(st.sets(st.sampled_from(LAYERS[1:])))
def test_the_highest_layer_wins(tmp_path: Path, setters: set[str]) -> None:
    loaded = load_config("backtest", **write_layers(tmp_path / "config", "runtime.seed", setters))
    highest = max((LAYERS.index(layer) for layer in setters), default=0)
    assert loaded.config.runtime.seed == highest
    assert loaded.origin("runtime.seed").kind == KINDS[highest]
    history = [origin.kind for origin in loaded.origin("runtime.seed").history()]
    assert history == [KINDS[number] for number in sorted(map(LAYERS.index, setters), reverse=True)] or not setters


SAID = {
    "base": "config/base/x.toml:4",
    "env": "config/backtest/x.toml:2",
    "secret": "secret secrets/strategies__ema_eurusd__fast",
    "variable": "env TICKRAIL_STRATEGIES__EMA_EURUSD__FAST",
    "set": "--set strategies.ema-eurusd.params.fast",
    "argument": "argument strategies.ema-eurusd.params.fast",
}


@pytest.mark.parametrize("layer", LAYERS[1:])
def test_one_parameter_of_one_strategy_is_changed_from_each_layer_and_shows_its_origin(
    tmp_path: Path, layer: str
) -> None:
    """Each layer with all lower ones below it: it wins, and the lower ones are the history."""
    below = set(LAYERS[1 : LAYERS.index(layer) + 1])
    path = "strategies.ema-eurusd.params.fast"
    loaded = load_config("backtest", **write_layers(tmp_path / "config", path, below))
    value = loaded.config.strategies["ema-eurusd"].params["fast"]
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    assert int(shown) == LAYERS.index(layer)
    said = [str(origin).replace(f"{tmp_path}/", "") for origin in loaded.origin(path).history()]
    assert said == [SAID[one] for one in reversed(LAYERS) if one in below]


ANYTHING = st.text(max_size=30) | st.sampled_from(
    ["[", "{", "nan", "1e999", "'''", "2024-01-01", "9" * 5_000, "\ud800", "a,b", "{a={b=1}}"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_any_text_ends_in_a_configuration_or_in_problems(
    tmp_path: Path, text: str, secret: str, variable: str, override: str
) -> None:
    (tmp_path / "config" / "backtest").mkdir(parents=True, exist_ok=True)
    (tmp_path / "config" / "backtest" / "x.toml").write_text('[strategies.ema]\nclass = "m:C"\n')
    (tmp_path / "config" / "backtest" / "y.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "secrets").mkdir(exist_ok=True)
    (tmp_path / "secrets" / "strategies__ema__pin").write_bytes(secret.encode("utf-8", "surrogatepass"))
    try:
        load_config(
            "backtest",
            root=tmp_path / "config",
            secrets_dir=tmp_path / "secrets",
            environ={"TICKRAIL_STRATEGIES__EMA__FAST": variable},
            overrides=[override],
        )
    except ConfigProblems as error:
        assert all(problem.origin for problem in error.problems)


VALUES_OF_ANY_KIND = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.binary(max_size=3)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES_OF_ANY_KIND, st.integers(0, MAX_DEPTH + 3))
def test_what_is_plain_at_a_glance_breaks_no_limit(value: Any, depth: int) -> None:
    for number in range(depth):
        value = {"a": value} if number % 2 else [value]
    if is_plain(value):
        assert list(offences((), value)) == []


def test_a_glance_is_enough_for_what_files_hold() -> None:
    assert is_plain({"runtime": {"seed": 1, "modules": ["a:b"], "on": True, "rate": 0.5}, "text": "plain"})
    assert not is_plain({"rate": float("nan")})
    assert not is_plain({"n": 2**63})
    assert not is_plain({"t": "é"}), "left to the careful look, which finds nothing wrong with it"
    assert list(offences((), {"t": "é"})) == []
